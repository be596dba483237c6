"""The optional protocols that open files use: listing one directory, filling a file in place, renaming, and going on from an old version."""

from __future__ import annotations

import asyncio
import os

import pytest

from lakelink.config.document import Document
from lakelink.errors import NotFound, PreconditionFailed
from lakelink.locations.base import Browsable, Read, Renamer, Stager, Write
from lakelink.locations.content import BytesContent, ExtendedContent, StreamContent
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.entry import Expect, Kind, Posix

POSIX = Posix(0o640, os.getuid(), os.getgid(), 1_600_000_000_000_000_000, 1_600_000_000_000_000_000)
MIB = 1 << 20


@pytest.fixture(params=["memory", "local", "s3"])
def place(request, tmp_path, s3_prefix, monkeypatch):
    if request.param == "memory":
        return f"memory:{s3_prefix}"
    if request.param == "local":
        return str(tmp_path)
    store = request.getfixturevalue("seaweed")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{store.bucket}/{s3_prefix}"


def play(place, story, needs=None):
    async def run():
        location = await open_location(parse_location(place, Document()), OpenOptions())
        try:
            if needs is not None and not isinstance(location, needs):
                pytest.skip(f"this location is no {needs.__name__}")
            await story(location)
        finally:
            await location.aclose()

    asyncio.run(asyncio.wait_for(run(), 120))


async def put(location, path, data, expect=None):
    write = Write(path, Kind.FILE, BytesContent(data), POSIX, Expect(expect))
    (answer,) = await location.write([write])
    assert not isinstance(answer, Exception), answer
    return answer


async def get(location, path):
    (entry,) = await location.stat([path])
    if entry is None:
        return None
    (content,) = await location.read([Read(path, entry.size_bytes, entry.version)])
    return await content.load()


async def listed(location, path):
    rows = [row async for batch in location.list_directory(path) for row in batch.rows]
    assert len({row.path for row in rows}) == len(rows)
    return {row.path: row.kind for row in rows}


def test_one_directory_is_listed_with_what_is_directly_in_it(place):
    async def story(location):
        assert await listed(location, "") == {}
        for path in ("a", "d/f", "d/e/g", "d-x", "d.x"):
            await put(location, path, b"x")
        file, directory = Kind.FILE, Kind.DIR
        assert await listed(location, "") == {"a": file, "d": directory, "d-x": file, "d.x": file}
        assert await listed(location, "d") == {"d/f": file, "d/e": directory}
        for absent in ("nothing", "d/nothing", "d/f"):
            with pytest.raises(NotFound):
                await listed(location, absent)

    play(place, story, Browsable)


def test_a_directory_of_many_pages_is_listed_whole(place):
    async def story(location):
        names = [f"d/{number:05}" for number in range(2100)]
        writes = [Write(name, Kind.FILE, BytesContent(b""), None, Expect(None)) for name in names]
        await location.write(writes)
        assert sorted(await listed(location, "d")) == names

    play(place, story, Browsable)


def test_a_staged_file_is_seen_when_it_is_placed_and_not_before(place):
    async def story(location):
        staged = await location.stage("d/f")
        os.pwrite(staged.fd, b"end", 3)
        os.pwrite(staged.fd, b"beg", 0)
        assert await get(location, "d/f") is None
        entry = await staged.place(Write("d/f", Kind.FILE, None, POSIX, Expect(None)))
        staged.discard()
        assert await get(location, "d/f") == b"begend"
        assert entry.posix.mode == 0o640

        grown = await location.stage("d/f", like=entry.version)
        os.pwrite(grown.fd, b"!", 6)
        await put(location, "d/f", b"theirs", entry.version)
        with pytest.raises(PreconditionFailed):
            await grown.place(Write("d/f", Kind.FILE, None, POSIX, Expect(entry.version)))
        grown.discard()
        with pytest.raises(PreconditionFailed):
            await location.stage("d/f", like=entry.version)
        assert await get(location, "d/f") == b"theirs"

    play(place, story, Stager)


def test_a_rename_names_what_moves_and_what_it_replaces(place):
    async def story(location):
        a, b = await put(location, "a", b"a"), await put(location, "b", b"bb")
        with pytest.raises(PreconditionFailed):
            await location.rename("a", a.version, "b", Expect(None))
        with pytest.raises(PreconditionFailed):
            await location.rename("a", b.version, "c", Expect(None))
        with pytest.raises(PreconditionFailed):
            await location.rename("a", a.version, "b", Expect(a.version))
        with pytest.raises(PreconditionFailed):
            await location.rename("a", a.version, "c", Expect(b.version))
        assert (await get(location, "a"), await get(location, "b"), await get(location, "c")) == (b"a", b"bb", None)
        moved = await location.rename("a", a.version, "b", Expect(b.version))
        assert (await get(location, "a"), await get(location, "b")) == (None, b"a")
        await location.rename("b", moved.version, "new/place", Expect(None))
        assert await get(location, "new/place") == b"a"
        (directory,) = await location.stat(["new"])
        await put(location, "there/x", b"x")
        with pytest.raises(PreconditionFailed):
            await location.rename("new", directory.version, "there", Expect(None))
        await location.rename("new", directory.version, "elsewhere", Expect(None))
        assert await get(location, "elsewhere/place") == b"a"

    play(place, story, Renamer)


@pytest.mark.parametrize("cut", [0, 3, 6 * MIB])
def test_what_goes_on_from_an_old_version_is_stored_whole(place, cut):
    old, rest = os.urandom(7 * MIB), os.urandom(9 * MIB)

    async def stream():
        for at in range(0, len(rest), MIB):
            yield rest[at : at + MIB]

    async def story(location):
        before = await put(location, "f", old)
        (origin,) = await location.read([Read("f", len(old), before.version, fetch=False)])
        content = ExtendedContent(origin, cut, StreamContent(stream))
        (answer,) = await location.write([Write("f", Kind.FILE, content, POSIX, Expect(before.version))])
        assert not isinstance(answer, Exception), answer
        assert await get(location, "f") == old[:cut] + rest
        if location.requests and cut:
            assert bool(location.requests.get("UploadPartCopy")) == (cut > 5 * MIB)

    play(place, story)
