"""What happens to files is hinted, with what is known about their being whole."""

import asyncio
import os
import sys


def test_a_file_written_and_closed_is_settled(place):
    async def body():
        async with place.watched() as seen:
            (place.root / "a").write_bytes(b"x")
            await seen.all()
            assert seen.last("a").settled
            assert not seen.last("a").subtree

    asyncio.run(body())


def test_a_file_that_is_open_for_writing_is_not_settled_until_it_is_closed(place):
    async def body():
        async with place.watched() as seen:
            with (place.root / "a").open("wb") as file:
                file.write(b"x")
                file.flush()
                await seen.all()
                assert not seen.last("a").settled
                file.write(b"y")
                file.flush()
                os.fchmod(file.fileno(), 0o600)
                await seen.all()
                assert not seen.last("a").settled, "a chmod does not settle it"
                (place.root / "a").rename(place.root / "b")
                await seen.all()
                assert not seen.last("b").settled, "a rename does not settle it"
                (place.root / "b").chmod(0o644)
                await seen.all()
                assert not seen.last("b").settled
            await seen.all()
            assert seen.last("b").settled

    asyncio.run(body())


def test_metadata_links_and_deletes_are_hinted(place):
    root = place.root
    for name in ("mode", "time", "gone", "twin"):
        (root / name).touch()
    (root / "dir").mkdir()
    (root / "dir/gone").touch()

    async def body():
        async with place.watched() as seen:
            (root / "mode").chmod(0o600)
            os.utime(root / "time", ns=(1, 1))
            (root / "gone").unlink()
            (root / "link").symlink_to("mode")
            (root / "other").hardlink_to(root / "twin")
            (root / "dir").chmod(0o700)
            (root / "dir/gone").unlink()
            await seen.all()
            for path in ("mode", "time", "gone", "link", "other", "dir", "dir/gone"):
                assert seen.of(path), path
            assert all(seen.last(path).settled for path in ("mode", "time", "gone", "dir", "dir/gone"))
            assert not any(hint.subtree for hint in seen.hints)

    asyncio.run(body())


def test_the_root_itself_is_hinted(place):
    async def body():
        async with place.watched() as seen:
            place.root.chmod(0o700)
            await seen.until(lambda: seen.of(""))
            assert not seen.last("").subtree

    asyncio.run(body())


def test_a_renamed_file_says_where_it_was(place):
    (place.root / "sub").mkdir()
    (place.root / "a").write_bytes(b"x")

    async def body():
        async with place.watched() as seen:
            (place.root / "a").rename(place.root / "sub/b")
            await seen.all()
            assert seen.of("a")
            assert seen.last("sub/b").settled
            assert seen.last("sub/b").moved_from == ("a" if place.pairs else None)

    asyncio.run(body())


def test_events_that_come_one_by_one_are_paired_as_well(place, monkeypatch):
    """The two halves of a rename in two reads, as at the end of a full buffer."""
    monkeypatch.setattr("lakelink.watch.inotify.READ_BYTES", 16 + 256)
    monkeypatch.setattr("lakelink.watch.fanotify.READ_BYTES", 512)
    names = [f"{number:0200}" for number in range(20)]
    for name in names:
        (place.root / f"a{name}").touch()

    async def body():
        async with place.watched() as seen:
            for name in names:
                (place.root / f"a{name}").rename(place.root / f"b{name}")
            await seen.all()
            if place.pairs:
                assert [seen.of(f"b{name}")[0].moved_from for name in names] == [f"a{name}" for name in names]
            assert all(seen.of(f"a{name}") for name in names)

    asyncio.run(body())


def test_a_file_renamed_out_and_one_renamed_in_are_hinted(place):
    outside = place.outside / "outside"
    outside.mkdir()
    if place.kind == "fanotify-whole":  # only a rename on the same file system is one; `.lakelink` is outside as well
        outside = place.root / ".lakelink"
        outside.mkdir()
    (place.root / "leaves").write_bytes(b"x")
    (outside / "comes").write_bytes(b"x")

    async def body():
        async with place.watched() as seen:
            (place.root / "leaves").rename(outside / "left")
            (outside / "comes").rename(place.root / "came")
            await seen.all()
            assert seen.of("leaves")
            assert seen.last("came").moved_from is None
            assert not [hint for hint in seen.hints if "left" in hint.path or "lakelink" in hint.path]

    asyncio.run(body())


def test_names_that_are_not_utf8_come_back_as_the_bytes_that_they_are(place):
    name = b"\xff\xfe-caf\xe9"

    async def body():
        async with place.watched() as seen:
            directory = place.root / os.fsdecode(name)
            directory.mkdir()
            (directory / os.fsdecode(name)).touch()
            (place.root / "é \n").touch()
            await seen.all()
            paths = {hint.path.encode("utf-8", "surrogateescape") for hint in seen.hints}
            assert {name, name + b"/" + name, b"\xc3\xa9 \n"} <= paths

    asyncio.run(body())


def test_what_is_lakelinks_own_is_not_hinted(place):
    async def body():
        async with place.watched() as seen:
            own = place.root / ".lakelink"
            (own / "tmp").mkdir(parents=True)
            (own / "tmp/new-1").write_bytes(b"x")
            (own / "tmp/new-1").rename(place.root / "placed")
            (place.root / "sub").mkdir()
            (place.root / "sub/.lakelink").touch()
            await seen.all()
            assert seen.of("placed")
            assert seen.last("placed").moved_from is None
            assert seen.of("sub/.lakelink"), "only the one at the top is ours"
            assert not [hint for hint in seen.hints if hint.path.startswith(".lakelink")]

    asyncio.run(body())


def test_many_writes_to_one_file_are_few_hints(place):
    code = "import sys; f = open(sys.argv[1], 'wb', 0)\nfor i in range(30000): f.write(b'x'); i % 2 or f.truncate(0)"

    async def body():
        async with place.watched() as seen:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(place.root / "log"))
            assert await process.wait() == 0
            await seen.all()
            assert seen.last("log").settled
            assert len(seen.of("log")) < 15000

    asyncio.run(body())


def test_twenty_thousand_files_at_full_speed_do_not_overflow(place):
    """As `tar x` makes them; every one is hinted by itself."""
    code = (
        "import os, sys\n"
        "for d in range(100):\n"
        "    os.mkdir(f'{sys.argv[1]}/d{d}')\n"
        "    for f in range(COUNT):\n"
        "        with open(f'{sys.argv[1]}/d{d}/f{f}', 'wb', 0) as file: file.write(b'x')\n"
        "        os.utime(f'{sys.argv[1]}/d{d}/f{f}', ns=(1, 1))\n"
    )
    count = 150 if place.kind == "fanotify-whole" else 200

    async def body():
        async with place.watched() as seen:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code.replace("COUNT", str(count)), str(place.root)
            )
            assert await process.wait() == 0
            await seen.all()
            paths = {hint.path for hint in seen.hints}
            assert {f"d{d}/f{f}" for d in range(100) for f in range(count)} <= paths
            assert not any(hint.subtree for hint in seen.hints)

    asyncio.run(body())


def test_writes_through_a_mapping_are_hinted_when_it_goes(place):
    (place.root / "mapped").write_bytes(b"\0" * 4096)
    code = "import mmap, sys\nwith open(sys.argv[1], 'r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[:3] = b'abc'"

    async def body():
        async with place.watched() as seen:
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(place.root / "mapped"))
            assert await process.wait() == 0
            await seen.all()
            assert seen.last("mapped").settled

    asyncio.run(body())
