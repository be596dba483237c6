"""A file that changes while it is uploaded is never stored torn, whatever its size; a failed upload leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import os

import boto3
import pytest
from botocore.config import Config

from lakelink.core.backoff import Backoff
from lakelink.errors import ChangedWhileRead, Corrupt, PreconditionFailed, StorageError, Unreachable
from lakelink.locations.base import Read, Write
from lakelink.locations.content import CHUNK_BYTES, Content, SourceFile
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.options import MIB, Checksum, S3Options
from lakelink.locations.wrap.wire_faulty import Fault, FaultKind, FaultyWire
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt_auth import CredentialSource

POSIX = Posix(0o644, 0, 0, 5, 6)
NOTHING = Expect(None)


class OpenFile(SourceFile):
    """A real open file with the check that a local source makes."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        self._seen = self._stamp()
        self.size_bytes = os.fstat(self.fd).st_size

    def _stamp(self):
        found = os.fstat(self.fd)
        return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns

    def check(self):
        if self._stamp() != self._seen:
            raise ChangedWhileRead("the file changed while it was read")

    def close(self):
        os.close(self.fd)


class FileContent(Content):
    """The content of a real file."""

    def __init__(self, path):
        self.path = path
        self.size_bytes = path.stat().st_size

    async def load(self):
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self, start=0, end=None):
        source = OpenFile(self.path)
        try:
            stop = source.size_bytes if end is None else end
            held = b""
            while start < stop and (data := os.pread(source.fd, min(CHUNK_BYTES, stop - start), start)):
                start += len(data)
                if held:
                    yield held
                held = data
            source.check()
            yield held
        finally:
            source.close()

    def open_file(self):
        return OpenFile(self.path)


class StreamedFile(FileContent):
    """The same without a file descriptor to hand out."""

    def open_file(self):
        return None


def uploads_of(store, prefix):
    client = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        config=Config(proxies={}),
    )
    return client.list_multipart_uploads(Bucket=store.bucket, Prefix=prefix).get("Uploads", [])


def with_faults(store, prefix, work, faults=(), options=None):
    """Run `work(location, faulty)` and look that no upload is left."""

    async def main():
        wires = []

        def wrap(wire):
            wires.append(FaultyWire(wire, SystemClock(), faults))
            return wires[0]

        access = S3Access(
            endpoint=store.endpoint, credentials=CredentialSource(store.access_key, store.secret_key), proxy=""
        )
        traffic = Traffic(backoff=Backoff(base_s=0.01, cap_s=0.1, attempts=4))
        location = open_s3(f"s3://{store.bucket}/{prefix}", access, options, traffic=traffic, wrap=wrap)
        try:
            return await work(location, wires[0])
        finally:
            await location.aclose()

    result = asyncio.run(main())
    assert uploads_of(store, prefix) == []
    return result


def changer(path, how, after):
    """A condition that never holds, but changes the file when the `after`-th part is about to be sent."""
    count = 0

    def when(request):
        nonlocal count
        if request.operation == "UploadPart":
            count += 1
            if count == after:
                how(path)
        return False

    return Fault(kind=FaultKind.DELAY, when=when)


def overwrite(path):
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def shrink(path):
    os.truncate(path, path.stat().st_size // 3)


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def replace(path):
    other = path.with_name("other")
    other.write_bytes(os.urandom(path.stat().st_size))
    other.replace(path)


@pytest.mark.parametrize(
    ("content", "checksum"),
    [(FileContent, Checksum.CRC64NVME), (FileContent, Checksum.NONE), (StreamedFile, Checksum.CRC64NVME)],
)
@pytest.mark.parametrize("change", [overwrite, shrink, grow])
@pytest.mark.parametrize("size_mib", [9, 20])
def test_a_file_that_changes_during_a_multipart_upload_is_not_stored(
    seaweed, s3_prefix, tmp_path, content, change, size_mib, checksum
):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size_mib * MIB))
    before = path.read_bytes()

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, content(path), POSIX, NOTHING)])
        (found,) = await location.stat(["f"])
        if isinstance(answer, Entry):  # everything was read before it changed
            assert content is StreamedFile
            (stored,) = await location.read([Read("f", found.size_bytes, found.version)])
            assert b"".join([chunk async for chunk in stored.chunks()]) == before
            return
        assert isinstance(answer, ChangedWhileRead)
        assert found is None

    with_faults(seaweed, s3_prefix, work, [changer(path, change, 1)], S3Options(parts_at_once=1, checksum=checksum))


def test_a_file_replaced_under_its_name_is_stored_as_it_was(seaweed, s3_prefix, tmp_path):
    path = tmp_path / "file"
    before = os.urandom(20 * MIB)
    path.write_bytes(before)

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        if isinstance(answer, ChangedWhileRead):  # the link count moved ctime: seen as a change, nothing stored
            assert await location.stat(["f"]) == [None]
            return
        (stored,) = await location.read([Read("f", len(before), answer.version)])
        assert b"".join([chunk async for chunk in stored.chunks()]) == before

    with_faults(seaweed, s3_prefix, work, [changer(path, replace, 1)])


def test_an_unchanged_large_file_is_stored_whole_with_its_etag_and_checksum(seaweed, s3_prefix, tmp_path):
    path = tmp_path / "file"
    data = os.urandom(41 * MIB + 3)
    path.write_bytes(data)

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        (found,) = await location.stat(["f"])
        assert found.version.etag == answer.version.etag
        assert found.posix == POSIX
        (content,) = await location.read([Read("f", len(data), found.version)])
        with (tmp_path / "back").open("w+b") as file:
            await content.pour(file.fileno())
        assert (tmp_path / "back").read_bytes() == data

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE, FaultKind.LOST_AFTER])
@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject", "CopyObject"]
)
def test_one_lost_answer_anywhere_still_ends_with_one_whole_object(seaweed, s3_prefix, tmp_path, operation, kind):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(17 * MIB if "Upload" in operation else 1000))

    async def work(location, faulty):
        (first,) = await location.write([Write("first", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        faulty.add(Fault(kind=kind, operation=operation))
        content = FileContent(path)
        if operation == "CopyObject":
            (content,) = await location.read([Read("first", first.size_bytes, first.version)])
        (answer,) = await location.write([Write("f", Kind.FILE, content, POSIX, NOTHING)])
        assert faulty.struck == [(operation, kind)]
        assert isinstance(answer, Entry)
        (found,) = await location.stat(["f"])
        assert found.posix == POSIX
        assert found.version.etag == answer.version.etag
        (stored,) = await location.read([Read("f", found.size_bytes, found.version)])
        assert b"".join([chunk async for chunk in stored.chunks()]) == path.read_bytes()

    async def cleaned(location, faulty):
        await work(location, faulty)
        # A Create whose answer was lost leaves an upload that nobody knows: this is what removes it.
        await location.abort_abandoned(older_than_s=-3600)

    with_faults(seaweed, s3_prefix, cleaned)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_service_that_stays_away_ends_the_upload_and_nothing_is_visible(seaweed, s3_prefix, tmp_path, operation):
    path = tmp_path / "file"
    path.write_bytes(bytes(9 * MIB))
    fault = Fault(kind=FaultKind.STATUS, operation=operation, times=1000, status=503)

    async def work(location, _faulty):
        with pytest.raises(Unreachable):
            await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        assert await location.stat(["f"]) == [None]

    with_faults(seaweed, s3_prefix, work, [fault])


def test_a_target_that_changes_during_the_upload_is_not_overwritten(seaweed, s3_prefix, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(9 * MIB))

    async def work(location, faulty):
        (old,) = await location.write([Write("f", Kind.FILE, StreamedFile(path), POSIX, NOTHING)])
        (tmp_path / "theirs").write_bytes(b"theirs")
        theirs = Write("f", Kind.FILE, StreamedFile(tmp_path / "theirs"), POSIX, Expect(old.version))
        through, completing, go_on = faulty.send, asyncio.Event(), asyncio.Event()

        async def held(request):
            if request.operation == "CompleteMultipartUpload" and not completing.is_set():
                completing.set()
                await go_on.wait()
            return await through(request)

        monkeypatch.setattr(faulty, "send", held)
        ours = asyncio.create_task(
            location.write([Write("f", Kind.FILE, FileContent(path), POSIX, Expect(old.version))])
        )
        await completing.wait()
        (first,) = await location.write([theirs])
        go_on.set()
        assert isinstance(first, Entry)
        (second,) = await ours
        assert isinstance(second, PreconditionFailed)
        (stored,) = await location.read([Read("f", 6)])
        assert await stored.load() == b"theirs"

    with_faults(seaweed, s3_prefix, work)


def test_a_cancelled_upload_leaves_nothing(seaweed, s3_prefix, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(40 * MIB))

    async def work(location, faulty):
        parts, third = itertools.count(1), asyncio.Event()

        def from_third(request):
            if request.operation != "UploadPart" or next(parts) < 3:
                return False
            third.set()
            return True

        faulty.add(Fault(kind=FaultKind.DELAY, when=from_third, times=100, delay_s=300))
        task = asyncio.create_task(location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)]))
        await third.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await location.stat(["f"]) == [None]

    with_faults(seaweed, s3_prefix, work)


def test_an_error_inside_a_200_is_an_error(seaweed, s3_prefix, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(9 * MIB))
    late = Fault(kind=FaultKind.STATUS, operation="CompleteMultipartUpload", status=200, code="InternalError")

    async def work(location, faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        assert isinstance(answer, Entry)
        assert len(faulty.struck) == 1
        faulty.add(Fault(kind=FaultKind.STATUS, operation="CopyObject", status=200, code="InternalError"))
        (content,) = await location.read([Read("f", answer.size_bytes, answer.version)])
        (copied,) = await location.write([Write("g", Kind.FILE, content, POSIX, NOTHING)])
        assert isinstance(copied, Entry)
        assert len(faulty.struck) == 2

    with_faults(seaweed, s3_prefix, work, [late])


def test_a_part_damaged_on_the_way_is_refused_by_its_checksum(seaweed, s3_prefix, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(9 * MIB))

    def damage(request):
        if request.operation == "UploadPart":
            request.headers = [(n, "AAAAAAAAAAA=" if n.startswith("x-amz-checksum") else v) for n, v in request.headers]
        return False

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        assert isinstance(answer, Corrupt | StorageError)
        assert await location.stat(["f"]) == [None]

    with_faults(seaweed, s3_prefix, work, [Fault(kind=FaultKind.DELAY, when=damage)])
