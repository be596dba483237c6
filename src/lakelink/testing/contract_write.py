"""Writing: whole or not at all, under every kind of interruption."""

from __future__ import annotations

import asyncio
import contextlib

from lakelink.errors import ChangedWhileRead, LakelinkError, PreconditionFailed, Unreachable
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent, Content, StreamContent
from lakelink.model.entry import Expect, Kind, Posix
from lakelink.testing.contents import BrokenContent, GatedContent, MisannouncedContent, ReopenedContent, pattern
from lakelink.testing.hand import ABSENT, PATIENCE_S, Hand, require
from lakelink.testing.promise import Registry

_registry = Registry()
PROMISES = _registry.promises
promise = _registry.promise

SMALL_BYTES = 10_000
MIDDLE_BYTES = (3 << 20) + 1
LARGE_BYTES = (20 << 20) + 3  # above the multipart threshold of every adapter here


@promise()
async def an_empty_file_is_a_file(at: Hand) -> None:
    await at.put("empty", b"")
    entry = await at.see("empty")
    require((entry.kind, entry.size_bytes) == (Kind.FILE, 0), f"stat says {entry}")
    require(await at.get("empty") == b"", "an empty file has bytes")


@promise(concerns=lambda t: t.directories)
async def an_empty_directory_stays(at: Hand) -> None:
    await at.make_directory("void")
    require((await at.see("void")).kind is Kind.DIR, "stat does not say that it is a directory")
    rows = await at.rows()
    require(rows["void"].kind is Kind.DIR, f"the scan says {rows['void']}")


@promise()
async def parents_are_made_as_needed(at: Hand) -> None:
    await at.put("a/b/c/d", b"deep")
    require(await at.get("a/b/c/d") == b"deep", "the bytes are not there")
    require((await at.see("a/b")).kind is Kind.DIR, "a parent is not seen as a directory")


@promise()
async def bytes_of_every_size_come_back(at: Hand) -> None:
    for size_bytes in (1, 4095, 4096, 65_537, 1 << 20, MIDDLE_BYTES, (8 << 20) - 1, 8 << 20, (8 << 20) + 1):
        data = pattern(size_bytes, size_bytes)
        version = await at.put(f"f{size_bytes}", data)
        require(version.size_bytes == size_bytes, f"the version says {version.size_bytes}, written were {size_bytes}")
        require(await at.get(f"f{size_bytes}") == data, f"a file of {size_bytes} bytes comes back different")


@promise(heavy=True)
async def a_large_file_comes_back(at: Hand) -> None:
    data = pattern(LARGE_BYTES)
    await at.put("large", data)
    require(await at.get("large", size_bytes=LARGE_BYTES) == data, "a large file comes back different")


@promise()
async def a_stream_of_unknown_length_is_stored_whole(at: Hand) -> None:
    for size_bytes in (0, SMALL_BYTES, LARGE_BYTES):
        data = pattern(size_bytes, 1)
        await at.put(f"s{size_bytes}", StreamContent(lambda d=data: BytesContent(d).chunks()))  # type: ignore[misc]
        require(await at.get(f"s{size_bytes}") == data, f"a stream of {size_bytes} bytes comes back different")


@promise()
async def an_answer_names_the_version_that_stat_names(at: Hand) -> None:
    written = await at.put("f", b"one")
    await at.put("f", b"two", expect=Expect(written))
    seen = await at.version("f")
    await at.put("f", b"three", expect=Expect(seen))
    row = (await at.rows())["f"]
    await at.put("f", b"four", expect=Expect(row.version))
    require(await at.get("f") == b"four", "a version from write, stat or scan was not good for the next write")


@promise()
async def a_batch_is_answered_in_its_order(at: Hand) -> None:
    await at.put("there", b"old")
    answers = await at.location.write(
        [
            Write(name, Kind.FILE, BytesContent(name.encode()), None, ABSENT)
            for name in ("b", "there", "a", "sub/c", "a\0b", "z")
        ]
    )
    outcome = ["failed" if isinstance(answer, LakelinkError) else "done" for answer in answers]
    require(outcome == ["done", "failed", "done", "done", "failed", "done"], f"answers: {answers}")
    require(isinstance(answers[1], PreconditionFailed), f"existing target: {answers[1]!r}")
    entries = await at.location.stat(["z", "missing", "a", "there"])
    sizes = [entry.size_bytes if entry and not isinstance(entry, LakelinkError) else entry for entry in entries]
    require(sizes == [1, None, 1, 3], f"stat answers {entries}")
    require(await at.location.write([]) == [] and await at.location.stat([]) == [], "an empty batch has answers")


@promise()
async def the_same_write_again_leaves_one_file(at: Hand) -> None:
    base = await at.put("f", b"old")
    for expect in (Expect(base), Expect(base)):
        with contextlib.suppress(
            PreconditionFailed
        ):  # the second may be refused: it cannot know that the first was ours
            await at.put("f", b"new", expect=expect)
    require(await at.files() == {"f"}, f"listed {await at.files()}")
    require(await at.get("f") == b"new", "the bytes are not those written")


@promise()
async def a_content_that_fails_leaves_the_old_file(at: Hand) -> None:
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        for error in (ChangedWhileRead("changed"), Unreachable("gone")):
            name = f"f{size_bytes}{error.code}"
            base = await at.put(name, b"old")
            await _refused(at, name, BrokenContent(pattern(size_bytes), error), Expect(base))
            require(await at.get(name) == b"old", f"a broken source of {size_bytes} bytes replaced the old file")
            await _refused(at, name + "-new", BrokenContent(pattern(size_bytes), error), ABSENT)
            require(await at.stat(name + "-new") is None, f"a broken source of {size_bytes} bytes left a file")


@promise()
async def a_content_of_another_length_than_announced_is_not_stored(at: Hand) -> None:
    base = await at.put("f", b"old")
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        for announced in (size_bytes - 1, size_bytes + 1):
            await _refused(at, "f", MisannouncedContent(pattern(size_bytes), announced), Expect(base))
            require(await at.get("f") == b"old", f"{size_bytes} bytes announced as {announced} replaced the old file")


@promise()
async def a_write_is_invisible_until_it_is_done(at: Hand) -> None:
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        old, new = f"old{size_bytes}", f"new{size_bytes}"
        base = await at.put(old, b"old")
        replacing, creating = GatedContent(pattern(size_bytes)), GatedContent(pattern(size_bytes))
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(at.put(old, replacing, expect=Expect(base)))
            tasks.create_task(at.put(new, creating))
            await replacing.halfway.wait()
            await creating.halfway.wait()
            require(await at.get(old) == b"old", "half of a write is visible")
            require(await at.stat(new) is None, "a file is there before it is whole")
            require(new not in await at.rows(), "a scan shows a file before it is whole")
            replacing.gate.set()
            creating.gate.set()
        require(await at.get(old) == await at.get(new) == pattern(size_bytes), "the bytes written are not there")


@promise()
async def a_cancelled_write_leaves_old_or_new(at: Hand) -> None:
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        name = f"f{size_bytes}"
        base = await at.put(name, b"old")
        content = GatedContent(pattern(size_bytes))
        async with asyncio.timeout(PATIENCE_S):
            task = asyncio.ensure_future(at.put(name, content, expect=Expect(base)))
            await content.halfway.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        require(task.cancelled(), "a cancelled write goes on")
        require(await at.get(name) == b"old", "half of a cancelled write is visible")
        await at.put(name, pattern(size_bytes), expect=Expect(base))
        require(await at.get(name) == pattern(size_bytes), "after a cancelled write the path cannot be written")
    require(len(await at.files()) == 3, f"cancelled writes left {await at.files()}")


@promise()
async def a_content_is_opened_again_for_another_write(at: Hand) -> None:
    content = ReopenedContent(pattern(MIDDLE_BYTES))
    await at.put("one", content)
    await at.put("two", content)
    require(content.opened >= 2, "the bytes of the first opening were kept")
    require(await at.get("one") == await at.get("two") == pattern(MIDDLE_BYTES), "the second writing differs")


@promise()
async def a_file_below_a_file_harms_neither(at: Hand) -> None:
    await at.put("f", b"file")
    try:
        await at.put("f/below", b"below")
    except PreconditionFailed:
        require(await at.stat("f/below") is None, "a refused write left a file")
    else:
        require(await at.get("f/below") == b"below", "an accepted write is not there")
    require(await at.get("f") == b"file", "a write below a file changed the file")


@promise(concerns=lambda t: t.directories)
async def a_file_never_replaces_a_directory(at: Hand) -> None:
    await at.put("d/inside", b"inside")
    with contextlib.suppress(PreconditionFailed):  # in the lake both may be there
        await at.put("d", b"file")
    require(await at.get("d/inside") == b"inside", "a directory was replaced by a file")


@promise(concerns=lambda t: t.directories)
async def a_directory_written_again_keeps_what_is_below(at: Hand) -> None:
    await at.put("d/inside", b"inside")
    for _ in range(2):
        with contextlib.suppress(PreconditionFailed):
            await at.make_directory("d")
    require((await at.see("d")).kind is Kind.DIR, "it is no directory any more")
    require(await at.get("d/inside") == b"inside", "what was below is gone")


@promise(concerns=lambda t: t.symlinks)
async def a_symlink_is_kept_as_it_is(at: Hand) -> None:
    for name, target in (("l", "../else/where"), ("abs", "/etc/passwd"), ("self", "self"), ("odd", "a\n\u00e4 b")):
        await at.make_symlink(name, target)
        entry = await at.see(name)
        require((entry.kind, entry.target) == (Kind.SYMLINK, target), f"stat says {entry}")
        require(await at.get(name) == target.encode(), "the content of a link is not its target")


@promise(concerns=lambda t: t.symlinks and t.posix)
async def a_file_and_a_link_take_each_others_place_in_one_step(at: Hand) -> None:
    version = await at.put("x", b"file")
    as_link = Posix(0o777, 0, 0, 1, 1)
    link = await at.write(Write("x", Kind.SYMLINK, BytesContent(b"to"), as_link, Expect(version)))
    require((await at.see("x")).kind is Kind.SYMLINK, "the link did not take the file's place")
    as_file = Posix(0o644, 0, 0, 1, 1)
    await at.write(Write("x", Kind.FILE, BytesContent(b"file again"), as_file, Expect(link.version)))
    entry = await at.see("x")
    require((entry.kind, await at.get("x")) == (Kind.FILE, b"file again"), "the file did not take the link's place")


@promise()
async def a_flush_changes_nothing_that_is_seen(at: Hand) -> None:
    version = await at.put("f", b"data")
    await at.location.flush()
    require(await at.version("f") == await at.version("f"), "two looks see two versions")
    await at.put("f", b"more", expect=Expect(version))


async def _refused(at: Hand, name: str, content: Content, expect: Expect) -> None:
    try:
        await at.put(name, content, expect=expect)
    except LakelinkError:
        return
    require(condition=False, sentence=f"a write of {name} from a bad source is answered as done")
