"""Large objects come in ranges, each in one piece or in small ones: what is promised holds both ways."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import errno
import hashlib
import os
import threading

import pytest
from awscrt import checksums
from scripted_http import Reply, ScriptedServer, error

from lakelink.core.backoff import Backoff
from lakelink.errors import ChangedWhileRead, Corrupt, StorageError, Unreachable
from lakelink.locations.base import Read
from lakelink.locations.s3 import pouring
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.pouring import RANGE_BYTES
from lakelink.model.entry import Version
from lakelink.ports.bulk import AT_ONCE, MAX_HELD_BYTES, MIN_BULK_BYTES, BulkReceiver
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.crt_io import Terms, TlsSettings, proxy_url
from lakelink.ports.wire import WireRequest

DATA = os.urandom(2 * RANGE_BYTES + (3 << 20) + 17)
QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=5))
KEYS = CredentialSource("AK", "SK")
WAYS = pytest.mark.parametrize("large", [True, False], ids=["by-threads", "by-native-callbacks"])
"""Which way an answer takes: that of large ones, or the ordinary one, as through a proxy."""


class Ordinary:
    """A wire that does not say how long an answer will be."""

    def __init__(self, wire):
        self._wire = wire

    async def send(self, request):
        return await self._wire.send(dataclasses.replace(request, bulk_bytes=0))

    async def aclose(self):
        await self._wire.aclose()


def crc64nvme(data):
    return base64.b64encode(checksums.crc64nvme(data).to_bytes(8, "big")).decode()


def range_of(seen):
    start, end = (int(part) for part in seen.headers["range"].removeprefix("bytes=").split("-"))
    return start, end + 1


def store(*, etag="e", headers=None, answer=None):
    """A store with one object, DATA; `answer` may give another reply to a GET."""

    def handler(seen):
        known = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"} | (headers or {})
        if seen.method == "HEAD":
            return Reply(headers=known | {"Content-Length": str(len(DATA))})
        other = answer(seen) if answer else None
        if other is not None:
            return other
        start, end = range_of(seen)
        place = {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}"}
        return Reply(206, DATA[start:end], known | place)

    return handler


def pour(tmp_path, handler, large, etag="e"):
    """What `pour` leaves in a file, and the GETs that the server saw."""

    async def main():
        async with ScriptedServer(handler) as server:
            access = S3Access(endpoint=server.url, credentials=KEYS, proxy="", region="us-east-1")
            wrap = None if large else Ordinary
            location = open_s3("s3://lake/p", access, traffic=QUICK, wrap=wrap, environ={})
            try:
                (content,) = await location.read([Read("big", len(DATA), Version(len(DATA), 0, etag=etag))])
                with (tmp_path / "f").open("w+b") as file:
                    async with asyncio.timeout(60):
                        count = await content.pour(file.fileno())
                    assert count == len(DATA)
            finally:
                await location.aclose()
            return [seen for seen in server.seen if seen.method == "GET"]

    gets = asyncio.run(main())
    return (tmp_path / "f").read_bytes(), gets


@WAYS
def test_each_range_is_one_signed_request_for_the_version_that_was_seen(tmp_path, large):
    found, gets = pour(tmp_path, store(headers={"x-amz-checksum-crc64nvme": crc64nvme(DATA)}), large)
    assert found == DATA
    assert sorted(range_of(seen)[0] for seen in gets) == [0, RANGE_BYTES, 2 * RANGE_BYTES]
    for seen in gets:
        assert seen.headers["if-match"] == '"e"'
        assert "range;" in seen.headers["authorization"]
        assert seen.headers["user-agent"].startswith("lakelink/")


@WAYS
def test_a_version_that_is_gone_stops_the_download(tmp_path, large):
    def answer(seen):
        return error(412, "PreconditionFailed") if range_of(seen)[0] else None

    with pytest.raises(ChangedWhileRead):
        pour(tmp_path, store(answer=answer), large)


@WAYS
def test_another_version_in_a_range_is_noticed_where_the_condition_is_ignored(tmp_path, large):
    def answer(seen):
        start, end = range_of(seen)
        place = {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}", "ETag": '"other"'}
        return Reply(206, DATA[start:end], place) if start else None

    with pytest.raises(ChangedWhileRead):
        pour(tmp_path, store(answer=answer), large)


@WAYS
def test_a_busy_store_is_asked_again(tmp_path, large):
    refused = []

    def answer(seen):
        if len(refused) < 3:
            refused.append(seen)
            return error(503, "SlowDown")
        return None

    found, gets = pour(tmp_path, store(answer=answer), large)
    assert found == DATA
    assert len(gets) == 6


@WAYS
@pytest.mark.parametrize("status", [200, 206])
def test_a_store_that_answers_the_whole_object_to_every_range_is_refused(tmp_path, large, status):
    def answer(_seen):
        return Reply(status, DATA, {"ETag": '"e"', "Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})

    with pytest.raises(StorageError, match="ranges"):
        pour(tmp_path, store(answer=answer), large)


@WAYS
@pytest.mark.parametrize(
    ("etag", "headers"),
    [
        ("e-3", {"x-amz-checksum-crc64nvme": crc64nvme(DATA)}),
        (hashlib.md5(DATA, usedforsecurity=False).hexdigest(), {}),
        ("e-3", {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(DATA).digest()).decode()}),
    ],
    ids=["crc64nvme", "md5", "sha256"],
)
def test_one_wrong_bit_is_found_whatever_checksum_is_promised(tmp_path, large, etag, headers):
    found, _ = pour(tmp_path, store(etag=etag, headers=headers), large, etag=etag)
    assert found == DATA
    flipped = []

    def answer(seen):
        start, end = range_of(seen)
        if not start:
            return None
        flipped.append(start)
        body = bytearray(DATA[start:end])
        body[len(flipped) * 1000] ^= 1  # elsewhere each time: twice the same would pass for an ETag that is no MD5
        place = {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}", "ETag": f'"{etag}"'}
        return Reply(206, bytes(body), place)

    with pytest.raises(Corrupt):
        pour(tmp_path, store(etag=etag, headers=headers, answer=answer), large, etag=etag)


@WAYS
def test_a_sink_is_not_called_once_send_was_cancelled(large):
    """Its file may be closed by then, and its descriptor be another file's."""
    size = 2 << 20
    inside, entered, leave = [], threading.Event(), threading.Event()

    def sink(_chunk):
        inside.append("in")
        entered.set()
        leave.wait(30)
        inside.append("out")

    def handler(_seen):
        return Reply(206, bytes(size), {"ETag": '"e"', "Content-Range": f"bytes 0-{size - 1}/{size}"})

    async def main():
        async with ScriptedServer(handler) as server:
            signer = CrtSigner(KEYS, "us-east-1", environ={})
            wire = CrtWire(parse_endpoint(server.url), signer, CrtWireOptions(proxy=""), {})
            request = WireRequest("GetObject", "GET", "/lake/k", headers=[("range", f"bytes=0-{size - 1}")])
            request.sink, request.bulk_bytes = sink, size if large else 0
            sending = asyncio.ensure_future(wire.send(request))
            assert await asyncio.to_thread(entered.wait, 30)
            sending.cancel()
            threading.Timer(0.2, leave.set).start()
            await asyncio.wait([sending])
            seen = list(inside)
            assert seen[-1] == "out"
            await asyncio.sleep(0.2)
            assert inside == seen
            await wire.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("hurried", [False, True])
def test_the_disk_begins_early_unless_somebody_waits_for_the_bytes_alone(tmp_path, monkeypatch, hurried):
    begun = []
    monkeypatch.setattr(pouring, "begin_writeback", lambda fd, offset, size: begun.append((offset, size)))

    async def main():
        async with ScriptedServer(store()) as server:
            access = S3Access(endpoint=server.url, credentials=KEYS, proxy="", region="us-east-1")
            location = open_s3("s3://lake/p", access, traffic=QUICK, environ={})
            try:
                (content,) = await location.read([Read("big", len(DATA), Version(len(DATA), 0, etag="e"))])
                content.hurried = hurried
                with (tmp_path / "f").open("w+b") as file:
                    await content.pour(file.fileno())
            finally:
                await location.aclose()

    asyncio.run(main())
    assert (tmp_path / "f").read_bytes() == DATA
    assert sum(size for _, size in begun) == (0 if hurried else len(DATA))


def receiver(url="http://store:9000", *, proxy="", environ=None):
    endpoint = parse_endpoint(url)
    proxied = bool(proxy_url(endpoint, proxy, environ or {}))
    terms = Terms(connect_timeout_s=10.0, stall_timeout_s=60.0, max_connections=256, proxied=proxied)
    return BulkReceiver(endpoint, TlsSettings(), terms)


def asking(size):
    return WireRequest("GetObject", "GET", "/lake/k", bulk_bytes=size)


def test_the_ordinary_way_where_there_is_a_proxy_or_the_size_is_not_known():
    assert receiver().takes(asking(MAX_HELD_BYTES))
    assert not receiver(proxy="http://p:3128").takes(asking(MAX_HELD_BYTES))
    assert not receiver(proxy=None, environ={"http_proxy": "http://p:3128"}).takes(asking(MAX_HELD_BYTES))
    one = receiver()
    sizes = (0, MIN_BULK_BYTES - 1, MIN_BULK_BYTES, MAX_HELD_BYTES, MAX_HELD_BYTES + 1)
    assert [one.takes(asking(size)) for size in sizes] == [False, False, True, True, False]
    one.close()
    assert not one.takes(asking(MIN_BULK_BYTES))


def ranges(size):
    """A server's answer of that many bytes, and a request for it."""
    reply = Reply(206, bytes(size), {"ETag": '"e"', "Content-Range": f"bytes 0-{size - 1}/{size}"})
    request = WireRequest("GetObject", "GET", "/lake/k", headers=[("range", f"bytes=0-{size - 1}")], bulk_bytes=size)
    return reply, request


def wire_to(url, **options):
    return CrtWire(
        parse_endpoint(url), CrtSigner(KEYS, "us-east-1", environ={}), CrtWireOptions(proxy="", **options), {}
    )


def test_a_connection_is_used_again_and_a_dead_one_replaced():
    reply, request = ranges(MIN_BULK_BYTES)
    answered = []

    def handler(_seen):
        answered.append(1)
        return dataclasses.replace(reply, reset_after=len(answered) == 3)

    async def main():
        async with ScriptedServer(handler) as server:
            wire = wire_to(server.url)
            for _ in range(5):
                assert len((await wire.send(request)).body) == MIN_BULK_BYTES
            assert [seen.connection for seen in server.seen] == [1, 1, 1, 2, 2]
            await wire.aclose()

    asyncio.run(main())


def test_threads_are_bounded_and_all_answers_arrive():
    """With room for eight, twelve large ranges at once all arrive: some of them by the ordinary way."""
    reply, request = ranges(MAX_HELD_BYTES)
    waiting = []

    async def main():
        opened = asyncio.Event()

        async def handler(seen):
            waiting.append(seen)
            if len(waiting) == AT_ONCE + 4:
                opened.set()
            await opened.wait()
            return reply

        async with ScriptedServer(handler) as server:
            wire = wire_to(server.url)
            threads: list[set[str]] = [set() for _ in range(AT_ONCE + 4)]
            sizes = [0] * len(threads)

            async def get(number):
                def sink(chunk):
                    threads[number].add(threading.current_thread().name)
                    sizes[number] += len(chunk)

                await wire.send(dataclasses.replace(request, sink=sink))

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for number in range(len(threads)):
                    group.create_task(get(number))
            await wire.aclose()
            assert sizes == [MAX_HELD_BYTES] * len(sizes)
            assert sum("lakelink-bulk" in names for names in threads) == AT_ONCE

    asyncio.run(main())


def test_a_silent_store_is_given_up_and_so_is_a_connection_that_is_closed_here():
    _, request = ranges(MIN_BULK_BYTES)

    async def main():
        asked = asyncio.Event()

        async def handler(_seen):
            asked.set()
            await asyncio.Event().wait()

        async with ScriptedServer(handler) as server:
            wire = wire_to(server.url, stall_timeout_s=0.2)
            with pytest.raises(Unreachable, match="no byte moved"):
                await wire.send(request)
            await wire.aclose()
            asked.clear()
            wire = wire_to(server.url)
            sending = asyncio.ensure_future(wire.send(request))
            await asyncio.wait_for(asked.wait(), 10)
            await wire.aclose()
            with pytest.raises(Unreachable):
                await asyncio.wait_for(sending, 10)

    asyncio.run(main())


def test_an_answer_that_ends_early_is_no_answer():
    reply, request = ranges(MIN_BULK_BYTES)
    got = []

    async def main():
        short = Reply(raw=reply.encoded(head=False)[: MIN_BULK_BYTES // 2], reset_after=True)
        async with ScriptedServer(lambda _seen: short) as server:
            wire = wire_to(server.url)
            with pytest.raises(Unreachable):
                await wire.send(request)
            with pytest.raises(Unreachable):
                await wire.send(dataclasses.replace(request, sink=lambda chunk: got.append(len(chunk))))
            await wire.aclose()

    asyncio.run(main())
    assert sum(got) <= MIN_BULK_BYTES // 2


def test_an_error_of_the_file_is_raised_as_it_is():
    reply, request = ranges(MIN_BULK_BYTES)

    def full(_chunk):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def main():
        async with ScriptedServer(lambda _seen: reply) as server:
            wire = wire_to(server.url)
            with pytest.raises(OSError, match="No space"):
                await wire.send(dataclasses.replace(request, sink=full))
            await wire.aclose()

    asyncio.run(main())


PART = os.urandom(MIN_BULK_BYTES + 300_000)


def part(body=PART):
    return WireRequest("UploadPart", "PUT", "/lake/k", query="partNumber=1&uploadId=u", body=body)


def test_a_large_part_in_memory_goes_the_way_of_large_answers_whole_and_on_one_connection():
    answered = []

    def handler(_seen):
        answered.append(1)
        return Reply(200, b"", {"ETag": f'"{len(answered)}"'}, reset_after=len(answered) == 3)

    async def main():
        async with ScriptedServer(handler) as server:
            wire = wire_to(server.url)
            for number in range(1, 6):
                answer = await wire.send(part())
                assert (answer.status, answer.headers["etag"]) == (200, f'"{number}"')
            assert [seen.connection for seen in server.seen] == [1, 1, 1, 2, 2]
            assert {seen.body for seen in server.seen} == {PART}
            assert all("content-length;" in seen.headers["authorization"] for seen in server.seen)
            assert wire._bulk.idle == 1
            await wire.aclose()

    asyncio.run(main())


def test_other_requests_with_a_body_keep_to_the_ways_on_which_nothing_is_sent_twice():
    one = receiver()
    assert one.takes(part())
    for request in (part(b"small"), dataclasses.replace(part(), operation="PutObject")):
        assert not one.takes(request)


@contextlib.asynccontextmanager
async def raw_server(handle):
    """The URL of a server that does with each connection what `handle` does."""
    open_ones = []

    async def serve(reader, writer):
        open_ones.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handle(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def test_why_a_part_is_refused_is_read_though_not_all_of_it_was_taken():
    refusal = error(403, "ExpiredToken").encoded(head=False)

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await writer.drain()
        while await reader.read(1 << 16):
            pass

    async def main():
        async with raw_server(refuse) as url:
            wire = wire_to(url)
            answer = await wire.send(part())
            await wire.aclose()
            assert answer.status == 403
            assert b"ExpiredToken" in answer.body

    asyncio.run(main())


def test_a_part_that_breaks_off_is_unreachable():
    async def cut(reader, writer):
        await reader.readexactly(100_000)
        writer.transport.abort()

    async def main():
        async with raw_server(cut) as url:
            wire = wire_to(url)
            with pytest.raises(Unreachable):
                await wire.send(part(bytes(8 << 20)))
            assert wire._bulk.idle == 0
            await wire.aclose()

    asyncio.run(main())


def test_a_part_that_nobody_reads_is_given_up():
    async def deaf(_reader, writer):
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async def main():
        async with raw_server(deaf) as url:
            wire = wire_to(url, stall_timeout_s=0.3)
            with pytest.raises(Unreachable, match="no byte moved"):
                await wire.send(part(bytes(64 << 20)))
            await wire.aclose()

    asyncio.run(main())


def test_a_cancelled_part_leaves_its_connection():
    async def main():
        began, ended = asyncio.Event(), asyncio.Event()

        async def slow(reader, _writer):
            await reader.readexactly(100_000)
            began.set()
            try:
                while await reader.read(1 << 16):
                    pass
            finally:
                ended.set()

        async with raw_server(slow) as url:
            wire = wire_to(url)
            sending = asyncio.ensure_future(wire.send(part(bytes(64 << 20))))
            await asyncio.wait_for(began.wait(), 10)
            sending.cancel()
            await asyncio.wait([sending])
            await asyncio.wait_for(ended.wait(), 10)
            assert wire._bulk.idle == 0
            await wire.aclose()

    asyncio.run(main())
