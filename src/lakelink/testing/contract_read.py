"""Reading: one version, whole, as often as it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile

from lakelink.errors import ChangedWhileRead, LakelinkError, NotFound, PreconditionFailed
from lakelink.locations.base import Read
from lakelink.model.entry import Expect, Kind, Version
from lakelink.testing.contents import pattern
from lakelink.testing.contract_write import LARGE_BYTES, MIDDLE_BYTES, SMALL_BYTES
from lakelink.testing.hand import PATIENCE_S, Hand, require, value
from lakelink.testing.promise import Registry

_registry = Registry()
PROMISES = _registry.promises
promise = _registry.promise


@promise()
async def every_way_of_reading_gives_the_same_bytes(at: Hand) -> None:
    for size_bytes in (0, SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        data = pattern(size_bytes, 2)
        version = await at.put(f"f{size_bytes}", data)
        content = await at.open(f"f{size_bytes}", expect=version, size_bytes=size_bytes)
        require(content.size_bytes == size_bytes, f"the content says {content.size_bytes} of {size_bytes} bytes")
        async with asyncio.timeout(PATIENCE_S):
            require(await content.load() == data, f"load: {size_bytes} bytes differ")
            chunks = [chunk async for chunk in content.chunks()]
            require(b"".join(chunks) == data, f"chunks: {size_bytes} bytes differ")
            with tempfile.TemporaryFile() as file:
                os.pwrite(file.fileno(), b"longer than before" * 10, size_bytes)
                require(await content.pour(file.fileno()) == size_bytes, "pour says another length")
                require(_all_of(file.fileno()) == data, f"pour: {size_bytes} bytes differ")
        _check_open_file(content.open_file(), data)


def _check_open_file(source: object, data: bytes) -> None:
    from lakelink.locations.content import SourceFile

    if isinstance(source, SourceFile):
        try:
            require(source.size_bytes == len(data), "open_file says another length")
            require(os.pread(source.fd, len(data) + 1, 0) == data, "open_file: the bytes differ")
            source.check()
        finally:
            source.close()


def _all_of(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size + 1, 0)


@promise(concerns=lambda t: t.ranges)
async def a_range_is_cut_exactly(at: Hand) -> None:
    data = pattern(MIDDLE_BYTES)
    await at.put("f", data)
    content = await at.open("f", size_bytes=len(data))
    for start, end in ((0, 1), (1, 2), (4095, 8193), (len(data) - 1, len(data)), (1 << 20, None), (7, 7), (0, None)):
        async with asyncio.timeout(PATIENCE_S):
            seen = b"".join([chunk async for chunk in content.chunks(start, end)])
        require(seen == data[start:end], f"[{start}, {end}) gives {len(seen)} other bytes")


@promise()
async def a_content_can_be_opened_again(at: Hand) -> None:
    data = pattern(MIDDLE_BYTES)
    await at.put("f", data)
    content = await at.open("f", size_bytes=len(data))
    async with asyncio.timeout(PATIENCE_S):
        abandoned = content.chunks()
        await anext(abandoned)
        for _ in range(2):
            require(b"".join([chunk async for chunk in content.chunks()]) == data, "a later opening differs")
        if isinstance(abandoned, contextlib.AbstractAsyncContextManager) or hasattr(abandoned, "aclose"):
            await abandoned.aclose()


@promise()
async def only_the_version_named_is_read(at: Hand) -> None:
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        name = f"f{size_bytes}"
        first = await at.put(name, pattern(size_bytes, 1))
        await at.put(name, pattern(size_bytes, 2), expect=Expect(first))
        try:
            await at.get(name, expect=first, size_bytes=size_bytes)
        except ChangedWhileRead:
            continue
        require(condition=False, sentence=f"a version of {size_bytes} bytes that is not there any more was read")


@promise()
async def a_content_never_mixes_versions(at: Hand) -> None:
    for size_bytes in (SMALL_BYTES, MIDDLE_BYTES, LARGE_BYTES):
        name = f"f{size_bytes}"
        first = await at.put(name, pattern(size_bytes, 1))
        content = await at.open(name, expect=first, size_bytes=size_bytes)
        await at.put(name, pattern(size_bytes, 2), expect=Expect(first))
        try:
            async with asyncio.timeout(PATIENCE_S):
                seen = b"".join([chunk async for chunk in content.chunks()])
        except ChangedWhileRead:
            continue
        require(seen == pattern(size_bytes, 1), f"{size_bytes} bytes are neither the version opened nor an error")


@promise()
async def a_file_replaced_while_it_is_read_is_old_or_an_error(at: Hand) -> None:
    first = await at.put("f", pattern(LARGE_BYTES, 1))
    content = await at.open("f", expect=first, size_bytes=LARGE_BYTES)
    seen: list[bytes] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in content.chunks():
                if not seen:
                    await at.put("f", pattern(LARGE_BYTES, 2), expect=Expect(first))
                seen.append(chunk)
    except ChangedWhileRead:
        return
    require(b"".join(seen) == pattern(LARGE_BYTES, 1), "a mix of two versions was handed out without an error")


@promise()
async def readers_see_old_or_new_while_writers_write(at: Hand) -> None:
    bodies = [pattern(MIDDLE_BYTES, 1), pattern(SMALL_BYTES, 2)]
    version = await at.put("f", bodies[0])
    writing = True

    async def alternate() -> None:
        nonlocal version, writing
        for number in range(1, 13):
            version = await at.put("f", bodies[number % 2], expect=Expect(version))
        writing = False

    async def watch() -> None:
        while writing:
            try:
                seen = await at.get("f", size_bytes=MIDDLE_BYTES)
            except (ChangedWhileRead, PreconditionFailed):
                continue
            require(seen in bodies, f"a reader saw {len(seen)} bytes that were never written")
            require(await at.stat("f") is not None, "a file that is only ever replaced was seen as absent")

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        for task in (alternate(), watch(), watch()):
            tasks.create_task(task)


@promise()
async def what_is_absent_is_absent_everywhere(at: Hand) -> None:
    require(await at.stat("none") is None, "stat sees something")
    require(await at.stat("none/below") is None, "stat sees something below nothing")
    try:
        await at.get("none")
    except NotFound:
        return
    require(condition=False, sentence="what is not there was read")


@promise()
async def a_path_below_a_file_is_absent(at: Hand) -> None:
    await at.put("f", b"x")
    require(await at.stat("f/below") is None, "stat sees something below a file")


@promise(concerns=lambda t: t.directories)
async def a_directory_has_no_content(at: Hand) -> None:
    await at.make_directory("d")
    try:
        await at.get("d")
    except LakelinkError:
        return
    require(condition=False, sentence="a directory was read")


@promise()
async def a_batch_of_reads_is_answered_in_its_order(at: Hand) -> None:
    names = [f"f{number:02}" for number in range(40)]
    for name in names:
        await at.put(name, name.encode())
    wanted = [*reversed(names), "missing"]
    async with asyncio.timeout(PATIENCE_S):
        answers = await at.location.read([Read(name, 3, None) for name in wanted])
        require(len(answers) == len(wanted), "another number of answers than of reads")
        for name, answer in zip(wanted[:-1], answers[:-1], strict=True):
            require(await value(answer).load() == name.encode(), f"{name} came with the bytes of another")
        last = answers[-1]
        try:
            await value(last).load()
        except NotFound:
            return
    require(condition=False, sentence="what is not there was read")


@promise(concerns=lambda t: t.symlinks)
async def links_are_never_followed(at: Hand) -> None:
    await at.put("d/f", b"behind")
    await at.make_symlink("l", "d")
    require((await at.see("l")).kind is Kind.SYMLINK, "stat follows a link")
    require(await at.stat("l/f") is None, "stat looks behind a link")
    try:
        await at.get("l/f")
    except LakelinkError:
        pass
    else:
        require(condition=False, sentence="read looks behind a link")
    with contextlib.suppress(LakelinkError):  # the lake may hold a key of that name: it is no way through the link
        await at.put("l/new", b"x")
    require(await at.stat("d/new") is None, "a write went through a link")
    with contextlib.suppress(LakelinkError):
        await at.remove("l/f", Version(6, 0))
    require(await at.get("d/f") == b"behind", "a delete went through a link")
