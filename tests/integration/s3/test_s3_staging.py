"""Large objects by way of a staged one, against a store whose CompleteMultipartUpload is known to race."""

import asyncio
import os
from contextlib import asynccontextmanager

from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.locations.base import Read, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.s3.conditions import head
from lakelink.locations.s3.listing import list_pages
from lakelink.locations.s3.multipart import put_large
from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.locations.s3.options import MIB, S3Options
from lakelink.model.entry import Expect, Kind, Posix
from lakelink.ports.crt_auth import CredentialSource

ROUNDS = 16
SIZE = 9 * MIB
POSIX = Posix(mode=0o640, uid=7, gid=8, mtime_ns=1_600_000_000_123_456_789, atime_ns=1_600_000_000_000_000_000)


@asynccontextmanager
async def opened(store, prefix, wrap=None, **options):
    access = S3Access(
        endpoint=store.endpoint,
        region="us-east-1",
        credentials=CredentialSource(store.access_key, store.secret_key, ""),
    )
    chosen = S3Options(**{"staged_completion": True} | options)
    location = open_s3(f"s3://{store.bucket}/{prefix}", access, chosen, wrap=wrap)
    try:
        yield location
    finally:
        await location.aclose()


async def put(location, path, body, version=None, posix=None, attributes=None):
    """The entry, or the error as a value."""
    write = Write(path, Kind.FILE, BytesContent(body), posix, Expect(version), attributes)
    (answer,) = await location.write([write])
    return answer


async def get(location, path):
    (entry,) = await location.stat([path])
    (content,) = await location.read([Read(path, entry.size_bytes, entry.version)])
    return await content.load()


async def keys(location, below=""):
    """Everything that lies there, lakelink's own names too."""
    prefix = location.keys.prefix + below
    return [row[0].decode() async for page in list_pages(location.client, prefix) for row in page.objects]


def test_a_small_write_against_our_large_one_has_one_winner_and_no_acknowledged_byte_is_lost(seaweed, s3_prefix):
    big = os.urandom(SIZE)

    async def one(ours, plain, theirs, number):
        """Both name the same version. The small one comes right before the last step of the large one, or right after it."""
        path, large_first = f"f{number}", number // 2 % 2 == 0
        base = await put(theirs, path, b"base") if number % 2 else None
        version = base.version if base else None
        wire = ours.client.wire = TellsOfCopies(plain)
        if not large_first:
            wire.may_go.clear()

        async def rival():
            await (wire.answered if large_first else wire.staged).wait()
            answer = await put(theirs, path, b"rival %d" % number, version)
            wire.may_go.set()
            return answer

        large, small = await asyncio.gather(put(ours, path, big, version), rival())
        won = [not isinstance(answer, LakelinkError) for answer in (large, small)]
        assert sum(won) == 1, (number, large, small)
        assert isinstance(small if won[0] else large, PreconditionFailed)
        assert await get(theirs, path) == (big if won[0] else b"rival %d" % number)
        assert won[0] is large_first
        return won[0]

    async def run():
        async with opened(seaweed, s3_prefix) as ours, opened(seaweed, s3_prefix) as theirs:
            await put(theirs, "warm", b"")  # what the store honours is found out before the races
            await put(ours, "warm2", b"")
            plain = ours.client.wire
            wins = [await one(ours, plain, theirs, number) for number in range(ROUNDS)]
            assert await keys(ours, ".lakelink/") == []
            return wins

    wins = asyncio.run(run())
    assert len(wins) == ROUNDS


class TellsOfCopies:
    """Tells when the last step of a large write is about to begin and when it was answered, and lets it wait in between.

    The two requests never meet within the store: SeaweedFS checks the condition of a copy and stores it a moment later, and of two that meet
    there both are told that they won, about once in a hundred times. `lakelink store validate` races the store; here it is asked what we send.
    """

    def __init__(self, wire):
        self._wire = wire
        self.staged, self.may_go, self.answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_go.set()

    async def send(self, request):
        if request.operation != "CopyObject":
            return await self._wire.send(request)
        self.staged.set()
        async with asyncio.timeout(60):
            await self.may_go.wait()
        try:
            return await self._wire.send(request)
        finally:
            self.answered.set()

    async def aclose(self):
        await self._wire.aclose()


def test_large_writes_that_race_each_other_have_one_winner(seaweed, s3_prefix):
    bodies = [bytes([65 + n]) * SIZE for n in range(4)]

    async def run():
        async with opened(seaweed, s3_prefix) as location:
            for number in range(4):
                base = await put(location, f"f{number}", b"base") if number % 2 else None
                version = base.version if base else None
                answers = await asyncio.gather(*(put(location, f"f{number}", body, version) for body in bodies))
                winners = [n for n, answer in enumerate(answers) if not isinstance(answer, LakelinkError)]
                assert len(winners) == 1, answers
                assert await get(location, f"f{number}") == bodies[winners[0]]
            assert await keys(location, ".lakelink/") == []

    asyncio.run(run())


def test_metadata_and_checksum_are_those_of_a_direct_upload(seaweed, s3_prefix):
    body = os.urandom(SIZE)
    attributes = {"content-type": "text/x-test", "x-amz-meta-colour": "blue"}

    async def run():
        async with opened(seaweed, s3_prefix) as location:
            entry = await put(location, "staged", body, posix=POSIX, attributes=attributes)
            direct = Write("direct", Kind.FILE, BytesContent(body), POSIX, Expect(None), attributes)
            await put_large(location.client, location.store, location.keys.key("direct"), direct, BytesContent(body))
            assert await get(location, "staged") == body
            found = [await head(location.client, location.keys.key(p), checksum=True) for p in ("staged", "direct")]
            told = ("content-length", "content-type", "etag", "x-amz-checksum-crc64nvme", "x-amz-checksum-type")
            for name in (*told, "x-amz-meta-colour", "x-amz-meta-file-mtime", "x-amz-meta-file-permissions"):
                assert found[0].headers[name] == found[1].headers[name], name
            (seen,) = await location.stat(["staged"])
            assert (entry.version, entry.posix) == (seen.version, POSIX)
            # An overwrite keeps what is not ours, as a direct one does.
            await put(location, "staged", body[::-1], entry.version, POSIX)
            (seen,) = await location.stat(["staged"])
            assert seen.attributes["x-amz-meta-colour"] == "blue"
            assert await get(location, "staged") == body[::-1]

    asyncio.run(run())


def test_above_the_limit_of_a_copy_nothing_is_staged(seaweed, s3_prefix):
    async def run():
        async with opened(seaweed, s3_prefix, copy_limit_bytes=SIZE - 1) as location:
            await put(location, "f", bytes(SIZE))
            assert location.requests.get("CopyObject", 0) <= 1  # the question whether conditions of copies are honoured
            assert await get(location, "f") == bytes(SIZE)

    asyncio.run(run())


class Held:
    """Holds the copy back for good: as if the process were killed there."""

    def __init__(self, wire):
        self._wire = wire
        self.reached = asyncio.Event()
        self.dead = False

    async def send(self, request):
        if self.dead:
            await asyncio.Event().wait()
        if request.operation == "CopyObject" and request.path.endswith("/f"):
            self.reached.set()
            self.dead = True
            await asyncio.Event().wait()
        return await self._wire.send(request)

    async def aclose(self):
        await self._wire.aclose()


def test_what_a_killed_process_staged_is_no_content_and_is_removed(seaweed, s3_prefix):
    async def leave(path):
        """A staged object, as a process leaves it that is killed before the copy."""
        held = []

        def wrap(wire):
            held.append(Held(wire))
            return held[0]

        async with opened(seaweed, s3_prefix, wrap) as location:
            writing = asyncio.ensure_future(put(location, path, bytes(SIZE)))
            async with asyncio.timeout(60):
                await held[0].reached.wait()
            writing.cancel()
            await asyncio.wait([writing])

    async def run():
        async with opened(seaweed, s3_prefix) as location:
            await leave("f")
            assert len(await keys(location, ".lakelink/staging/")) == 1
            assert [row.path async for batch in location.scan() for row in batch.rows if row.path] == []
            assert await location.sweep() == 0  # it may be that of somebody who is still at it
            assert await location.abort_uploads(["other"]) == 0
            assert await location.abort_uploads(["f"]) == 1
            await leave("d/f")
            assert await location.sweep(older_than_s=-3600) == 1
            assert await keys(location, ".lakelink/") == []

    asyncio.run(run())


def test_a_cancelled_write_leaves_neither_the_object_nor_a_staged_one(seaweed, s3_prefix):
    async def run():
        async with opened(seaweed, s3_prefix) as location:
            await put(location, "warm", b"")
            location.client.wire = wire = TellsOfCopies(location.client.wire)
            task = asyncio.ensure_future(put(location, "f", bytes(SIZE)))
            async with asyncio.timeout(60):
                await wire.staged.wait()
            task.cancel()
            await asyncio.wait([task])
            assert await keys(location, ".lakelink/") == []
            (seen,) = await location.stat(["f"])
            assert seen is None or seen.size_bytes == SIZE  # whole, or not at all

    asyncio.run(run())
