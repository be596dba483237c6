"""Both sides changed: whatever the rule, every byte is somewhere afterwards, and both sides are equal."""

from __future__ import annotations

import asyncio

import pytest

from lakelink.model.link import ALL_EVENTS, ConflictRule, Event, Rule
from tests.integration.links.world import make_world


def run(work) -> None:
    asyncio.run(work)


async def _bytes(world) -> list[bytes]:
    """All that is left: at paths of either side, and in the trash."""
    both = [*world.local().values(), *(await world.remote()).values()]
    return [one[1] for one in both if one[0] == "file"] + world.trash()


@pytest.mark.parametrize("rule", list(ConflictRule))
def test_an_edit_on_both_sides_loses_no_byte_under_any_rule(tmp_path, seaweed, s3_prefix, rule):
    world = make_world(tmp_path, seaweed, s3_prefix, rule=Rule(conflict=rule))

    async def work() -> None:
        (world.root / "d").mkdir()
        file = world.root / "d" / "report.txt"
        file.write_bytes(b"base")
        async with world.link() as link:
            await world.agree(link)
        file.write_bytes(b"mine, longer")
        await world.put("d/report.txt", b"theirs")
        async with world.link() as link:
            await world.agree(link)
            left = await _bytes(world)
            assert {b"mine, longer", b"theirs"} <= set(left)
            names = [path for path in world.local() if "conflict" in path]
            if rule is ConflictRule.KEEP_BOTH:
                assert file.read_bytes() == b"theirs"
                assert len(names) == 1
                assert names[0].startswith("d/report.lakelink-conflict-here-")
                assert names[0].endswith(".txt")
                (clash,) = link.journal.conflicts()
                assert clash.copy == names[0]
            else:
                assert not names
                assert not link.journal.conflicts()
                (clash,) = link.journal.conflicts(resolved=True)
            if rule is ConflictRule.FILES:
                assert file.read_bytes() == b"mine, longer"
            if rule is ConflictRule.LAKE:
                assert file.read_bytes() == b"theirs"
            # A repetition makes no more of them.
            await asyncio.wait_for(link.survey(), 60)
            assert [path for path in world.local() if "conflict" in path] == names

    run(work())


def test_a_conflict_of_a_conflict_copy_is_named_after_the_original(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        for mine, theirs in ((b"1 mine", b"1 theirs"), (b"2 mine", b"2 theirs")):
            name = next((path for path in world.local() if "conflict" in path), "report")
            (world.root / name).write_bytes(mine)
            await world.put(name, theirs)
            async with world.link() as link:
                await world.agree(link)
        names = [path for path in world.local() if "conflict" in path]
        assert len(names) == 2
        assert all(name.count("conflict") == 1 for name in names)

    run(work())


def test_the_same_content_on_both_sides_is_no_conflict(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        big = bytes(range(256)) * 100_000
        (world.root / "a").write_bytes(b"same")
        (world.root / "big").write_bytes(big)
        await world.put("a", b"same")
        await world.put("big", big)
        async with world.link() as link:
            await world.agree(link)
            assert not link.journal.conflicts(resolved=True)
            assert not world.trash()

    run(work())


def test_a_deletion_loses_to_a_modification_on_either_side(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        for name in ("a", "b"):
            (world.root / name).write_bytes(b"base")
        async with world.link() as link:
            await world.agree(link)
        (world.root / "a").unlink()
        await world.put("a", b"lake's")
        (world.root / "b").write_bytes(b"files'")
        await world.remove("b")
        async with world.link() as link:
            await world.agree(link)
            assert (world.root / "a").read_bytes() == b"lake's"
            assert (world.root / "b").read_bytes() == b"files'"

    run(work())


def test_a_file_becomes_a_directory_and_a_directory_a_file_on_either_side(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        for name in ("f1", "f2"):
            (world.root / name).write_bytes(name.encode())
        for name in ("d1", "d2"):
            (world.root / name / "sub").mkdir(parents=True)
            (world.root / name / "sub" / "x").write_bytes(name.encode())
        async with world.link() as link:
            await world.agree(link)
            (world.root / "f1").unlink()
            (world.root / "f1" / "now").mkdir(parents=True)
            (world.root / "f1" / "now" / "y").write_bytes(b"y")
            (world.root / "d1" / "sub" / "x").unlink()
            (world.root / "d1" / "sub").rmdir()
            (world.root / "d1").rmdir()
            (world.root / "d1").write_bytes(b"a file")
            await world.remove("f2")
            await world.put("f2/now/z", b"z")
            await world.remove("d2/sub/x", "d2/sub", "d2")
            await world.put("d2", b"an object")
            await world.agree(link)
            local = world.local()
            assert local["f1/now/y"][1] == b"y"
            assert local["d1"][1] == b"a file"
            assert local["f2/now/z"][1] == b"z"
            assert local["d2"][1] == b"an object"
            assert not link.journal.problems()
            assert not link.journal.conflicts(resolved=True)

    run(work())


def test_a_directory_against_a_file_makes_the_file_step_aside(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        (world.root / "x").mkdir()
        (world.root / "x" / "in").write_bytes(b"in")
        (world.root / "y").write_bytes(b"a file here")
        await world.put("x", b"a file there")
        await world.put("y/out", b"out")
        async with world.link() as link:
            await world.agree(link)
            local = world.local()
            assert local["x"] == ("dir",)
            assert local["x/in"][1] == b"in"
            assert local["y"] == ("dir",)
            assert local["y/out"][1] == b"out"
            copies = sorted(v[1] for path, v in local.items() if "conflict" in path)
            assert copies == [b"a file here", b"a file there"]
            assert len(link.journal.conflicts()) == 2

    run(work())


def test_a_directory_that_became_a_file_stays_one_where_the_other_side_put_something_into_it(
    tmp_path, seaweed, s3_prefix
):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        for name in ("x", "y"):
            (world.root / name / "sub").mkdir(parents=True)
            (world.root / name / "sub" / "old").write_bytes(name.encode())
        async with world.link() as link:
            await world.agree(link)
        for name in ("x/sub/old", "x/sub", "x"):
            place = world.root / name
            place.rmdir() if place.is_dir() else place.unlink()
        (world.root / "x").write_bytes(b"a file here")
        await world.put("x/sub/new", b"new there")
        await world.put("x/sub/old", b"changed there")
        await world.remove("y/sub/old", "y/sub", "y")
        await world.put("y", b"a file there")
        (world.root / "y" / "sub" / "new").write_bytes(b"new here")
        async with world.link() as link:
            await world.agree(link)
            local = world.local()
            assert local["x/sub/new"][1] == b"new there"
            assert local["x/sub/old"][1] == b"changed there"
            assert local["y/sub/new"][1] == b"new here"
            assert sorted(v[1] for path, v in local.items() if "conflict" in path) == [b"a file here", b"a file there"]
            assert not link.journal.problems()

    run(work())


def test_what_the_policies_do_not_carry_is_held_and_a_change_on_the_other_side_is_a_conflict(
    tmp_path, seaweed, s3_prefix
):
    rule = Rule(imports=ALL_EVENTS, exports=frozenset())
    world = make_world(tmp_path, seaweed, s3_prefix, rule=rule)

    async def work() -> None:
        for name in ("kept", "edited", "gone"):
            await world.put(name, b"base")
        async with world.link() as link:
            await world.agree(link)
            (world.root / "edited").write_bytes(b"mine")
            (world.root / "gone").unlink()
            (world.root / "new").write_bytes(b"new")
            await asyncio.wait_for(link.survey(), 60)
            assert [held.path for held in link.journal.held()] == ["edited", "gone", "new"]
            assert [held.event for held in link.journal.held()] == [Event.CHANGED, Event.DELETED, Event.NEW]
            assert link.status().held == 3
            remote = await world.remote()
            assert remote["edited"][1] == b"base"
            assert "new" not in remote
            await world.put("edited", b"theirs")
            await world.put("kept", b"more")
            await asyncio.wait_for(link.survey(), 60)
            local = world.local()
            assert local["edited"][1] == b"theirs"
            assert local["kept"][1] == b"more"
            assert "gone" not in local  # nothing is resurrected
            (copy,) = [v[1] for path, v in local.items() if "conflict" in path]
            assert copy == b"mine"
            (clash,) = link.journal.conflicts()
            assert clash.path == "edited"
            # The copy is here only, and is held as new.
            assert [held.path for held in link.journal.held()] == [clash.copy, "gone", "new"]

    run(work())


def test_what_stands_is_listed_once_and_no_longer_when_its_cause_is_gone(tmp_path, seaweed, s3_prefix):
    rule = Rule(imports=frozenset(), exports=ALL_EVENTS)
    world = make_world(tmp_path, seaweed, s3_prefix, rule=rule)

    async def work() -> None:
        (world.root / "x").write_bytes(b"base")
        async with world.link() as link:
            await world.agree(link)
            (world.root / "x").write_bytes(b"mine, longer")
            await world.put("x", b"theirs")
            for _ in range(2):
                await asyncio.wait_for(link.survey(), 60)
                (clash,) = link.journal.conflicts()
            assert clash.copy == ""
            assert link.status().conflicts == 1
            (world.root / "x").write_bytes(b"theirs")
            await asyncio.wait_for(link.survey(), 60)
            assert not link.journal.conflicts()

    run(work())


def test_names_that_the_other_side_cannot_hold_are_listed_and_everything_else_goes_on(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        odd = world.root / b"caf\xe9".decode("utf-8", "surrogateescape")
        odd.write_bytes(b"latin")
        (world.root / "plain").write_bytes(b"plain")
        (world.root / ("n" * 200)).mkdir()
        deep = world.root / ("n" * 200)
        for _ in range(5):
            deep = deep / ("n" * 200)
            deep.mkdir()
        async with world.link() as link:
            await asyncio.wait_for(link.survey(), 60)
            codes = {trouble.problem.path: trouble.problem.code for trouble in link.journal.problems()}
            assert codes[odd.name] == "LL406"
            assert len(codes) >= 2
            assert (await world.remote())["plain"][1] == b"plain"
            odd.unlink()
            await asyncio.wait_for(link.survey([odd.name]), 60)
            assert odd.name not in {trouble.problem.path for trouble in link.journal.problems()}

    run(work())


def test_hard_links_are_files_of_their_own_and_sparse_files_keep_their_holes(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)

    async def work() -> None:
        one = world.root / "one"
        one.write_bytes(b"one")
        (world.root / "two").hardlink_to(one)
        with (world.root / "sparse").open("wb") as file:
            file.truncate(64 << 20)
            file.seek(32 << 20)
            file.write(b"middle")
        async with world.link() as link:
            await world.agree(link)
            assert (await world.remote())["two"][1] == b"one"
            one.write_bytes(b"both names")
            await world.agree(link)
            assert (await world.remote())["two"][1] == b"both names"

    run(work())
