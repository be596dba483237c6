"""Directories come, go and move; nothing below them is missed."""

import asyncio
import os
import random
import shutil
import stat
import sys
from pathlib import Path

import pytest
from watch_scene import covered

MAKE_DEEP = """
import os, sys
for chain in range(40):
    path = sys.argv[1]
    for depth in range(12):
        path = f"{path}/c{chain}-{depth}"
        os.mkdir(path)
        open(f"{path}/f", "w").close()
"""


def test_deep_trees_made_at_full_speed_are_seen_to_the_last_file(place):
    async def body():
        async with place.watched() as seen:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", MAKE_DEEP, str(place.root))
            assert await process.wait() == 0
            await seen.all()
            files = [path for path in state_of(place.root) if path.endswith("/f")]
            assert len(files) == 480
            assert [path for path in files if not seen.covers(path)] == []
            await asserts_watched(place, seen)

    asyncio.run(body())


async def asserts_watched(place, seen):
    """A change anywhere in the tree is hinted, now that all is at rest: nothing was left unwatched, and names are right."""
    seen.hints.clear()
    wanted = touch_everywhere(place.root)
    await seen.all()
    assert wanted - {hint.path for hint in seen.hints} == set()
    assert not any(hint.subtree for hint in seen.hints)


def touch_everywhere(root):
    touched = set()
    for directory, _, _ in os.walk(root):
        if "/.lakelink" not in directory:
            file = Path(directory, "later")
            file.touch()
            touched.add(str(file.relative_to(root)))
    return touched


def test_a_directory_renamed_within_is_hinted_at_both_names_and_watched_on(place):
    (place.root / "a/deep/er").mkdir(parents=True)
    (place.root / "a/deep/f").touch()

    async def body():
        async with place.watched() as seen:
            (place.root / "a").rename(place.root / "b")
            (place.root / "b/deep/er/new").touch()
            await seen.all()
            assert any(hint.subtree for hint in seen.of("a"))
            assert any(hint.subtree for hint in seen.of("b"))
            if place.pairs:
                assert any(hint.moved_from == "a" for hint in seen.of("b"))
            assert seen.covers("b/deep/er/new")
            await asserts_watched(place, seen)

    asyncio.run(body())


def test_a_name_that_changes_hands_is_never_taken_for_the_one_before(place):
    """mkdir a, mv a b, mkdir a …: what is known by a name when the event is read is no longer what the event was about."""

    async def body():
        async with place.watched() as seen:
            for number in range(60):
                (place.root / "a").mkdir()
                (place.root / "a" / f"f{number}").touch()
                (place.root / "a").rename(place.root / f"b{number}")
                if number % 3 == 0:
                    (place.root / f"b{number}").rename(place.root / f"c{number}")
                if number % 5 == 0:
                    (place.root / "a").mkdir()
                    (place.root / "a/x").touch()
                    shutil.rmtree(place.root / "a")
            await seen.all()
            for number in range(60):
                name = f"c{number}" if number % 3 == 0 else f"b{number}"
                assert seen.covers(f"{name}/f{number}")
            await asserts_watched(place, seen)

    asyncio.run(body())


def test_two_directories_exchanged_are_both_watched_by_their_new_names(place):
    for name in ("one", "two"):
        (place.root / name / name).mkdir(parents=True)

    async def body():
        async with place.watched() as seen:
            (place.root / "one").rename(place.root / "tmp")
            (place.root / "two").rename(place.root / "one")
            (place.root / "tmp").rename(place.root / "two")
            (place.root / "one/two/f").touch()
            await seen.all()
            assert seen.covers("one/two/f")
            await asserts_watched(place, seen)

    asyncio.run(body())


def test_a_directory_that_moves_in_is_one_subtree_and_one_that_moves_out_is_let_go(place):
    outside = place.outside / "outside"
    if place.kind == "fanotify-whole":
        outside = place.root / ".lakelink"
    (outside / "comes/below").mkdir(parents=True)
    (outside / "comes/below/f").touch()
    (place.root / "goes/below").mkdir(parents=True)

    async def body():
        async with place.watched() as seen:
            (outside / "comes").rename(place.root / "came")
            (place.root / "goes").rename(outside / "gone")
            (outside / "gone/below/secret").touch()
            (place.root / "goes/fresh").mkdir(parents=True)  # takes the name, and is not what is let go
            await seen.all()
            assert any(hint.subtree for hint in seen.of("came"))
            assert any(hint.subtree for hint in seen.of("goes"))
            await asserts_watched(place, seen)
            await seen.until(lambda: "goes/below" not in watched_names(seen), "letting go")
            await asserts_watched(place, seen)
            seen.hints.clear()
            (outside / "gone/below/secret").write_bytes(b"x")
            (outside / "gone").rename(place.root / "back")
            await seen.all()
            assert not [hint for hint in seen.hints if "secret" in hint.path and not hint.path.startswith("back/")]
            assert any(hint.subtree for hint in seen.of("back"))
            await asserts_watched(place, seen)

    asyncio.run(body())


def watched_names(seen):
    return [path for path, _ in list(getattr(seen.feed._source, "_paths", {}).values())]


def test_a_tree_that_is_deleted_is_hinted_and_its_name_may_come_again(place):
    for number in range(20):
        (place.root / f"t/{number}/{number}").mkdir(parents=True)

    async def body():
        async with place.watched() as seen:
            shutil.rmtree(place.root / "t")
            (place.root / "t/1").mkdir(parents=True)
            (place.root / "t/1/f").touch()
            await seen.all()
            for number in range(20):
                assert seen.covers(f"t/{number}/{number}")
            assert seen.covers("t/1/f")
            await asserts_watched(place, seen)

    asyncio.run(body())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_to_a_tree_all_that_changed_is_hinted(place, seed):
    chance = random.Random(f"{place.kind}{seed}")
    for directory in range(4):
        (place.root / f"d{directory}/s").mkdir(parents=True)
        (place.root / f"d{directory}/s/f").write_bytes(b"0")

    async def body():
        before = state_of(place.root)
        async with place.watched() as seen:
            for _ in range(4):
                await asyncio.to_thread(operate, place.root, chance, 150)
                await asyncio.sleep(chance.choice([0, 0, 0.002, 0.02]))
            await seen.all()
            after = state_of(place.root)
            paths, subtrees = {h.path for h in seen.hints}, {h.path for h in seen.hints if h.subtree}
            changed = [p for p in before.keys() | after.keys() if before.get(p) != after.get(p)]
            assert [path for path in changed if not covered(path, paths, subtrees)] == []
            assert "" not in subtrees
            await asserts_watched(place, seen)

    asyncio.run(body())


def state_of(root):
    found = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory, name)
            st = path.lstat()
            facts = (st.st_mode, st.st_ino) + (() if stat.S_ISDIR(st.st_mode) else (st.st_size, st.st_mtime_ns))
            found[str(path.relative_to(root))] = facts
    return {path: facts for path, facts in found.items() if not path.startswith(("zz-mark", ".lakelink"))}


def operate(root, chance, count):
    """Random changes, each of which may fail: a few names, so that they meet."""
    names = ["a", "b", "c", "d0", "d1", "s", "f"]

    def path():
        return root.joinpath(*(chance.choice(names) for _ in range(chance.randint(1, 4))))

    def write(target):
        with target.open(chance.choice(["wb", "ab"])) as file:
            file.write(b"x" * chance.randint(0, 9))

    actions = [
        *[lambda: write(path())] * 4,
        *[lambda: path().mkdir(parents=True)] * 4,
        *[lambda: path().rename(path())] * 6,
        lambda: path().unlink(),
        lambda: path().rmdir(),
        lambda: shutil.rmtree(path()),
        lambda: path().symlink_to("a"),
        lambda: path().hardlink_to(path()),
        lambda: path().chmod(chance.choice([0o700, 0o755])),
        lambda: os.utime(path(), ns=(5, chance.randint(0, 9))),
    ]
    for _ in range(count):
        try:
            chance.choice(actions)()
        except OSError:
            continue
