"""Large objects come in ranges, each in one piece or in small ones: what is promised holds both ways."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import threading

import pytest
from awscrt import checksums
from scripted_http import Reply, ScriptedServer, error

from lakelink.core.backoff import Backoff
from lakelink.errors import ChangedWhileRead, Corrupt, StorageError
from lakelink.locations.base import Read
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.pouring import RANGE_BYTES
from lakelink.model.entry import Version
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_bulk import HELD_BYTES, MAX_BULK_BYTES, MIN_BULK_BYTES, BulkReceiver
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.crt_io import TlsSettings
from lakelink.ports.wire import WireRequest

DATA = os.urandom(2 * RANGE_BYTES + (3 << 20) + 17)
QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=5))
KEYS = CredentialSource("AK", "SK")
WAYS = pytest.mark.parametrize("stall_timeout_s", [60.0, 20.0], ids=["in-one-piece", "in-small-pieces"])
"""The native client that collects whole answers has a patience of 30 s: who asks for less gets small pieces."""


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


def pour(tmp_path, handler, stall_timeout_s, etag="e"):
    """What `pour` leaves in a file, and the GETs that the server saw."""

    async def main():
        async with ScriptedServer(handler) as server:
            access = S3Access(
                endpoint=server.url, credentials=KEYS, proxy="", region="us-east-1", stall_timeout_s=stall_timeout_s
            )
            location = open_s3("s3://lake/p", access, traffic=QUICK, environ={})
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
def test_each_range_is_one_signed_request_for_the_version_that_was_seen(tmp_path, stall_timeout_s):
    found, gets = pour(tmp_path, store(headers={"x-amz-checksum-crc64nvme": crc64nvme(DATA)}), stall_timeout_s)
    assert found == DATA
    assert sorted(range_of(seen)[0] for seen in gets) == [0, RANGE_BYTES, 2 * RANGE_BYTES]
    for seen in gets:
        assert seen.headers["if-match"] == '"e"'
        assert "range;" in seen.headers["authorization"]
        assert seen.headers["user-agent"].startswith("lakelink/")


@WAYS
def test_a_version_that_is_gone_stops_the_download(tmp_path, stall_timeout_s):
    def answer(seen):
        return error(412, "PreconditionFailed") if range_of(seen)[0] else None

    with pytest.raises(ChangedWhileRead):
        pour(tmp_path, store(answer=answer), stall_timeout_s)


@WAYS
def test_another_version_in_a_range_is_noticed_where_the_condition_is_ignored(tmp_path, stall_timeout_s):
    def answer(seen):
        start, end = range_of(seen)
        place = {"Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}", "ETag": '"other"'}
        return Reply(206, DATA[start:end], place) if start else None

    with pytest.raises(ChangedWhileRead):
        pour(tmp_path, store(answer=answer), stall_timeout_s)


@WAYS
def test_a_busy_store_is_asked_again(tmp_path, stall_timeout_s):
    refused = []

    def answer(seen):
        if len(refused) < 3:
            refused.append(seen)
            return error(503, "SlowDown")
        return None

    found, gets = pour(tmp_path, store(answer=answer), stall_timeout_s)
    assert found == DATA
    assert len(gets) == 6


@WAYS
@pytest.mark.parametrize("status", [200, 206])
def test_a_store_that_answers_the_whole_object_to_every_range_is_refused(tmp_path, stall_timeout_s, status):
    def answer(_seen):
        return Reply(status, DATA, {"ETag": '"e"', "Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})

    with pytest.raises(StorageError, match="ranges"):
        pour(tmp_path, store(answer=answer), stall_timeout_s)


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
def test_one_wrong_bit_is_found_whatever_checksum_is_promised(tmp_path, stall_timeout_s, etag, headers):
    found, _ = pour(tmp_path, store(etag=etag, headers=headers), stall_timeout_s, etag=etag)
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
        pour(tmp_path, store(etag=etag, headers=headers, answer=answer), stall_timeout_s, etag=etag)


@WAYS
def test_a_sink_is_not_called_once_send_was_cancelled(stall_timeout_s):
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
            options = CrtWireOptions(proxy="", stall_timeout_s=stall_timeout_s)
            wire = CrtWire(parse_endpoint(server.url), signer, options, {})
            request = WireRequest("GetObject", "GET", "/lake/k", headers=[("range", f"bytes=0-{size - 1}")])
            request.sink, request.bulk_bytes = sink, size
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


def receiver(url="http://store:9000", *, proxy="", stall_timeout_s=60.0, environ=None):
    return BulkReceiver(
        parse_endpoint(url),
        TlsSettings(),
        connect_timeout_s=10.0,
        stall_timeout_s=stall_timeout_s,
        proxy=proxy,
        environ=environ or {},
    )


def asking(size):
    return WireRequest("GetObject", "GET", "/lake/k", bulk_bytes=size)


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"])
def test_small_pieces_where_a_proxy_is_set(monkeypatch, name):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert receiver().takes(asking(MAX_BULK_BYTES), 0.0)
    assert not receiver(proxy="http://p:3128").takes(asking(MAX_BULK_BYTES), 0.0)
    assert not receiver(environ={name: "http://p:3128"}).takes(asking(MAX_BULK_BYTES), 0.0)
    monkeypatch.setenv(name, "http://p:3128")  # the native client reads the environment of the process
    assert not receiver().takes(asking(MAX_BULK_BYTES), 0.0)


def test_small_pieces_where_one_piece_does_not_fit(monkeypatch):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    one = receiver()
    assert [one.takes(asking(size), 0.0) for size in (0, MIN_BULK_BYTES - 1, MIN_BULK_BYTES, MAX_BULK_BYTES)] == [
        False,
        False,
        True,
        True,
    ]
    assert not one.takes(asking(MAX_BULK_BYTES + 1), 0.0)
    assert not receiver(stall_timeout_s=29.0).takes(asking(MIN_BULK_BYTES), 0.0)
    assert not receiver("http://[::1]:9000").takes(asking(MIN_BULK_BYTES), 0.0)
    one.close()
    assert not one.takes(asking(MIN_BULK_BYTES), 0.0)


def test_whole_answers_held_in_memory_at_once_are_bounded():
    """With room for eight, twelve large ranges at once all arrive: some of them in small pieces."""
    waiting, most = [], HELD_BYTES // MAX_BULK_BYTES

    async def main():
        opened = asyncio.Event()

        async def handler(seen):
            waiting.append(seen)
            if len(waiting) == most + 4:
                opened.set()
            await opened.wait()
            size = MAX_BULK_BYTES
            return Reply(206, bytes(size), {"ETag": '"e"', "Content-Range": f"bytes 0-{size - 1}/{size}"})

        async with ScriptedServer(handler) as server:
            wire = CrtWire(
                parse_endpoint(server.url), CrtSigner(KEYS, "us-east-1", environ={}), CrtWireOptions(proxy=""), {}
            )
            pieces: list[list[int]] = [[] for _ in range(most + 4)]

            async def get(mine):
                request = WireRequest(
                    "GetObject", "GET", "/lake/k", headers=[("range", f"bytes=0-{MAX_BULK_BYTES - 1}")]
                )
                request.sink, request.bulk_bytes = (lambda chunk: mine.append(len(chunk))), MAX_BULK_BYTES
                await wire.send(request)

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                for mine in pieces:
                    group.create_task(get(mine))
            await wire.aclose()
            assert all(sum(mine) == MAX_BULK_BYTES for mine in pieces)
            assert sum(len(mine) == 1 for mine in pieces) == most

    asyncio.run(main())
