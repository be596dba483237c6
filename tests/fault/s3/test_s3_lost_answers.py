"""An answer that is lost, or trouble in the middle of a check, changes neither what is stored nor what is promised."""

from __future__ import annotations

import asyncio
import os

import pytest
from test_s3_torn import FileContent, with_faults

from lakelink.errors import ChangedWhileRead, PreconditionFailed, StorageError
from lakelink.locations.base import Delete, Guarantee, Read, Write
from lakelink.locations.content import BytesContent, StreamContent
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.options import MIB, Checksum, S3Options
from lakelink.locations.wrap.wire_faulty import Fault, FaultKind
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.ports.crt_auth import CredentialSource

POSIX = Posix(0o640, 1, 2, 5, 6)
NOTHING = Expect(None)
LOST = [
    Fault(kind=FaultKind.LOST_BEFORE),
    Fault(kind=FaultKind.LOST_AFTER),
    Fault(kind=FaultKind.STATUS, status=500, code="InternalError"),
]
IDS = ["lost-before", "lost-after", "500"]


def only(fault, operation, when=None, **changes):
    return Fault(kind=fault.kind, status=fault.status, code=fault.code, operation=operation, when=when, **changes)


def conditional(request):
    return any(name in {"if-match", "if-none-match"} for name, _ in request.headers)


def write_of(path, data=b"x", expect=NOTHING):
    return Write(path, Kind.FILE, BytesContent(data), POSIX, expect)


@pytest.mark.parametrize("fault", LOST, ids=IDS)
@pytest.mark.parametrize("operation", ["PutObject", "CopyObject"])
def test_trouble_while_a_store_is_asked_about_conditions_does_not_make_it_one_without(
    seaweed, s3_prefix, fault, operation
):
    async def work(location, faulty):
        faulty.add(only(fault, operation, conditional))
        (entry,) = await location.write([write_of("f")])
        assert isinstance(entry, Entry)
        assert len(faulty.struck) == 1
        assert (location.traits.write, location.traits.set_posix) == (Guarantee.ATOMIC, Guarantee.ATOMIC)
        (second,) = await location.write([write_of("f", b"y")])
        assert isinstance(second, PreconditionFailed)

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("fault", LOST, ids=IDS)
def test_trouble_while_a_store_is_asked_about_deletes_does_not_make_it_one_without(seaweed, s3_prefix, fault):
    async def work(location, faulty):
        (entry,) = await location.write([write_of("f")])
        faulty.add(only(fault, "DeleteObject", conditional))
        assert await location.delete([Delete("f", Kind.FILE, Expect(entry.version))]) == [None]
        assert len(faulty.struck) == 1
        assert location.traits.delete is Guarantee.ATOMIC

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("fault", LOST, ids=IDS)
@pytest.mark.parametrize("replace", [False, True], ids=["new", "replaced"])
def test_a_directory_marker_survives_a_lost_answer(seaweed, s3_prefix, fault, replace):
    async def work(location, faulty):
        expect = NOTHING
        if replace:
            (old,) = await location.write([Write("d", Kind.DIR, None, Posix(0o700, 0, 0, 1, 1), NOTHING)])
            expect = Expect(old.version)
        else:
            await location.write([write_of("f")])
        faulty.add(only(fault, "PutObject", lambda r: r.path.endswith("/d/")))
        (entry,) = await location.write([Write("d", Kind.DIR, None, POSIX, expect)])
        assert len(faulty.struck) == 1
        assert isinstance(entry, Entry)
        (found,) = await location.stat(["d"])
        assert found.posix == POSIX

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("fault", LOST, ids=IDS)
@pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIR])
def test_a_delete_survives_a_lost_answer(seaweed, s3_prefix, fault, kind):
    async def work(location, faulty):
        content = BytesContent(b"x") if kind is Kind.FILE else None
        (entry,) = await location.write([Write("gone", kind, content, POSIX, NOTHING)])
        (other,) = await location.write([write_of("other")])
        await location.delete([Delete("other", Kind.FILE, Expect(other.version))])  # what the store can do is known now
        location.store.conditions.batch_delete = False
        faulty.add(only(fault, "DeleteObject"))
        assert await location.delete([Delete("gone", kind, Expect(entry.version))]) == [None]
        assert len(faulty.struck) == 1
        assert await location.stat(["gone"]) == [None]

    with_faults(seaweed, s3_prefix, work)


def test_a_lost_delete_never_removes_what_came_afterwards(seaweed, s3_prefix):
    async def work(location, faulty):
        (old,) = await location.write([write_of("f", b"old")])
        (other,) = await location.write([write_of("other")])
        await location.delete([Delete("other", Kind.FILE, Expect(other.version))])
        location.store.conditions.batch_delete = False
        faulty.add(Fault(kind=FaultKind.LOST_AFTER, operation="DeleteObject"))
        looked = asyncio.Event()

        def deleted(request):
            if request.operation == "HeadObject":
                looked.set()
            return request.operation == "HeadObject"

        faulty.add(Fault(kind=FaultKind.DELAY, when=deleted, delay_s=0.5))
        deleting = asyncio.create_task(location.delete([Delete("f", Kind.FILE, Expect(old.version))]))
        await looked.wait()
        (new,) = await location.write([write_of("f", b"new")])
        assert isinstance(new, Entry)
        (answer,) = await deleting
        assert answer is None or isinstance(answer, PreconditionFailed)
        (found,) = await location.stat(["f"])
        assert found.size_bytes == 3

    with_faults(seaweed, s3_prefix, work)


def test_a_batch_of_deletes_that_is_refused_is_an_error_of_its_paths(seaweed, s3_prefix):
    async def work(location, faulty):
        entries = await location.write([write_of("a"), write_of("b")])
        (other,) = await location.write([write_of("other")])
        await location.delete([Delete("other", Kind.FILE, Expect(other.version))])
        location.store.conditions.batch_delete = True  # as on AWS
        faulty.add(Fault(kind=FaultKind.STATUS, operation="DeleteObjects", status=400, code="MalformedXML"))
        deletes = [Delete(p, Kind.FILE, Expect(e.version)) for p, e in zip("ab", entries, strict=True)]
        answers = await location.delete(deletes)
        assert [type(answer) for answer in answers] == [StorageError, StorageError]
        assert await location.delete(deletes) == [None, None]

    with_faults(seaweed, s3_prefix, work)


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(os.urandom(9 * MIB))
    return path


def test_a_large_write_answers_with_the_last_modified_that_listings_will_show(seaweed, s3_prefix, large, monkeypatch):
    async def work(location, faulty):
        # AWS gives the time at which the upload was begun.
        through = faulty.send

        async def earlier(request):
            response = await through(request)
            if request.operation == "HeadObject" and "last-modified" in response.headers:
                response.headers["last-modified"] = "Mon, 23 Nov 2020 10:00:00 GMT"
            return response

        monkeypatch.setattr(faulty, "send", earlier)
        (entry,) = await location.write([Write("f", Kind.FILE, FileContent(large), POSIX, NOTHING)])
        (found,) = await location.stat(["f"])
        assert entry.version == found.version
        assert entry.posix == POSIX

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("expected", ["absent", "old"])
def test_a_store_that_ignores_the_condition_of_complete_still_loses_nothing_seen_before(
    seaweed, s3_prefix, large, expected
):
    async def work(location, faulty):
        expect = NOTHING
        if expected == "old":
            (old,) = await location.write([write_of("f", b"old")])
            expect = Expect(old.version)
        else:
            await location.write([write_of("other")])
        written = []

        def theirs_comes_in_between(request):
            if request.operation == "CompleteMultipartUpload":
                request.headers = [h for h in request.headers if h[0] not in {"if-match", "if-none-match"}]
            return False

        def last_part(request):
            if request.operation == "UploadPart":
                written.append(asyncio.ensure_future(location.write([write_of("f", b"theirs", expect)])))
            return request.operation == "UploadPart"

        faulty.add(Fault(kind=FaultKind.DELAY, when=theirs_comes_in_between))
        faulty.add(Fault(kind=FaultKind.DELAY, when=last_part, delay_s=0.3))
        (ours,) = await location.write([Write("f", Kind.FILE, FileContent(large), POSIX, expect)])
        ((theirs,),) = [await task for task in written]
        assert isinstance(theirs, Entry)
        assert isinstance(ours, PreconditionFailed)
        (found,) = await location.stat(["f"])
        assert found.version.etag == theirs.version.etag

    with_faults(seaweed, s3_prefix, work)


def test_a_complete_that_is_refused_as_unknown_does_not_end_the_conditions_of_small_writes(seaweed, s3_prefix, large):
    async def work(location, faulty):
        await location.write([write_of("first")])  # the store takes our checksum
        faulty.add(Fault(kind=FaultKind.STATUS, operation="CompleteMultipartUpload", status=501, code="NotImplemented"))
        (entry,) = await location.write([Write("f", Kind.FILE, FileContent(large), POSIX, NOTHING)])
        assert isinstance(entry, Entry)
        assert location.traits.write is Guarantee.ATOMIC
        faulty.add(Fault(kind=FaultKind.STATUS, operation="PutObject", status=501, code="NotImplemented"))
        (second,) = await location.write([write_of("g")])
        assert not isinstance(second, Entry)
        assert location.traits.write is Guarantee.ATOMIC

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>"], ids=["empty", "foreign"])
@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
def test_a_200_that_names_no_object_is_not_believed(seaweed, s3_prefix, large, monkeypatch, body, done):
    async def work(location, faulty):
        through, struck = faulty.send, []

        async def hollow(request):
            if request.operation in {"CompleteMultipartUpload", "CopyObject"} and request.operation not in struck:
                if request.operation == "CopyObject" and not request.path.endswith("/g"):
                    return await through(request)  # the store is asked what it can do
                struck.append(request.operation)
                response = await through(request) if done else type(await through(probe))(200)
                response.body = body
                return response
            return await through(request)

        probe = location.client.request("HeadObject", "HEAD", "nothing")
        monkeypatch.setattr(faulty, "send", hollow)
        (entry,) = await location.write([Write("f", Kind.FILE, FileContent(large), POSIX, NOTHING)])
        assert isinstance(entry, Entry)
        (content,) = await location.read([_read("f", entry)])
        (copied,) = await location.write([Write("g", Kind.FILE, content, POSIX, NOTHING)])
        assert isinstance(copied, Entry)
        assert struck == ["CompleteMultipartUpload", "CopyObject"]
        assert [e.version.etag for e in await location.stat(["f", "g"])] == [entry.version.etag, copied.version.etag]

    with_faults(seaweed, s3_prefix, work)


def _read(path, entry):
    return Read(path, entry.size_bytes, entry.version)


def test_an_upload_that_somebody_ended_is_sent_again_and_not_waited_for(seaweed, s3_prefix, large):
    async def work(location, faulty):
        faulty.add(
            Fault(kind=FaultKind.STATUS, operation="CompleteMultipartUpload", status=404, code="NoSuchUpload", times=99)
        )
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(large), POSIX, NOTHING)])
        assert isinstance(answer, ChangedWhileRead)
        assert len(faulty.struck) == 1

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("size_mib", [1, 20])
def test_a_pipe_that_breaks_stores_nothing(seaweed, s3_prefix, size_mib):
    async def broken():
        for _ in range(size_mib):
            yield bytes(MIB)
        raise OSError(5, "Input/output error")

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, StreamContent(broken), None, NOTHING)])
        assert isinstance(answer, StorageError)
        assert await location.stat(["f"]) == [None]

    with_faults(seaweed, s3_prefix, work)


@pytest.mark.parametrize("size_bytes", [1000, 9 * MIB])
def test_without_other_checksums_damaged_bytes_are_refused_by_their_md5(seaweed, s3_prefix, tmp_path, size_bytes):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size_bytes))

    def damage(request):
        if request.operation in {"PutObject", "UploadPart"} and "probe-" not in request.path and request.body:
            if isinstance(request.body, bytes):
                request.body = bytes(len(request.body))
            else:
                request.body = bytes(request.body_bytes)
        return False

    async def work(location, _faulty):
        (answer,) = await location.write([Write("f", Kind.FILE, FileContent(path), POSIX, NOTHING)])
        assert not isinstance(answer, Entry)
        assert await location.stat(["f"]) == [None]

    options = S3Options(checksum=Checksum.NONE)
    with_faults(seaweed, s3_prefix, work, [Fault(kind=FaultKind.DELAY, when=damage)], options)


def test_one_connection_and_one_request_at_a_time_are_enough_for_everything(seaweed, s3_prefix, large, tmp_path):
    async def work():
        access = S3Access(
            endpoint=seaweed.endpoint,
            credentials=CredentialSource(seaweed.access_key, seaweed.secret_key),
            proxy="",
            max_connections=1,
        )
        location = open_s3(f"s3://{seaweed.bucket}/{s3_prefix}", access, traffic=Traffic(concurrency=1))
        try:
            writes = [Write("f", Kind.FILE, FileContent(large), POSIX, NOTHING), *(write_of(c) for c in "abcd")]
            entries = await location.write(writes)
            contents = await location.read([_read("f", entries[0])])
            (copied,) = await location.write([Write("g", Kind.FILE, contents[0], POSIX, NOTHING)])
            with (tmp_path / "back").open("w+b") as file:
                await contents[0].pour(file.fileno())
                assert file.seek(0, os.SEEK_END) == 9 * MIB
            names = [row.path async for batch in location.scan() for row in batch.rows if row.path]
            deletes = [Delete(w.path, Kind.FILE, Expect(e.version)) for w, e in zip(writes, entries, strict=True)]
            assert await location.delete([*deletes, Delete("g", Kind.FILE, Expect(copied.version))]) == [None] * 6
            return sorted(names)
        finally:
            await location.aclose()

    async def in_time():
        async with asyncio.timeout(240):
            return await work()

    assert asyncio.run(in_time()) == list("abcdfg")


@pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
def test_a_write_cancelled_at_any_request_leaves_the_old_or_the_new_and_no_upload(
    seaweed, s3_prefix, large, monkeypatch, effect
):
    async def work(location, faulty):
        through, loop = faulty.send, asyncio.get_running_loop()
        await location.write([write_of("first")])

        async def cancelled_at(number):
            count = 0

            async def counted(request):
                nonlocal count
                count += 1
                struck = count == number
                response = await through(request) if effect or not struck else None
                if struck:
                    loop.call_soon(task.cancel)
                    await asyncio.sleep(300)
                return response

            monkeypatch.setattr(faulty, "send", counted)
            name = f"f{number}"
            task = asyncio.create_task(location.write([Write(name, Kind.FILE, FileContent(large), POSIX, NOTHING)]))
            finished = await asyncio.gather(task, return_exceptions=True)
            monkeypatch.setattr(faulty, "send", through)
            (found,) = await location.stat([name])
            assert found is None or found.size_bytes == 9 * MIB
            return isinstance(finished[0], list)

        # A Create whose answer nobody waits for leaves an upload that nobody knows: `abort_abandoned` is for those.
        number = 2 if effect else 1
        while not await cancelled_at(number):
            number += 1
        assert number == 7  # Create, two parts, a look, Complete, a look

    with_faults(seaweed, s3_prefix, work)
