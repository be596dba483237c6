"""Small requests on connections of the event loop's own: the same promises as on the others, and those others where they do not fit."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from types import SimpleNamespace

import pytest
from scripted_http import LISTING, Hang, Reply, Reset, ScriptedServer, error

from lakelink.core.backoff import Backoff
from lakelink.errors import PreconditionFailed, Unreachable
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.ports import quick
from lakelink.ports.bulk import Terms
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.crt_io import TlsSettings
from lakelink.ports.quick import AT_ONCE, MAX_BODY_BYTES, QuickSender
from lakelink.ports.wire import WireRequest

KEYS = CredentialSource("AK", "SK")
QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=5))
GET = WireRequest("GetObject", "GET", "/lake/x")
MD5_OF_X = "9dd4e461268c8034f5c8564e155c67a6"


def wire_to(url, **options):
    signer = CrtSigner(KEYS, "us-east-1", environ={})
    return CrtWire(parse_endpoint(url), signer, CrtWireOptions(proxy="", quick=True, **options), {})


async def until(condition):
    """Wait for what another task does."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # it cannot set an event of this loop
            await asyncio.sleep(0.002)


def in_turn(*replies):
    """Each request gets the next reply, the last one for ever."""
    queue = list(replies)

    def handler(_seen):
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(reply, type):
            raise reply
        return reply

    return handler


def played(handler, story, *, context=None, **options):
    """Run `story(wire, server)` against a server with that script."""

    async def main():
        async with ScriptedServer(handler, ssl=context) as server:
            wire = wire_to(server.url, **options)
            try:
                async with asyncio.timeout(60):
                    return await story(wire, server)
            finally:
                await wire.aclose()

    return asyncio.run(main())


def at_location(handler, story):
    """Run `story(location)` of a location below `lake/p` that asks so."""

    async def main():
        async with ScriptedServer(handler) as server:
            access = S3Access(endpoint=server.url, credentials=KEYS, proxy="", region="us-east-1", quick=True)
            location = open_s3("s3://lake/p", access, traffic=QUICK, environ={})
            location.store.conditions.write = True
            try:
                async with asyncio.timeout(60):
                    return await story(location)
            finally:
                await location.aclose()

    return asyncio.run(main())


def test_requests_are_signed_and_whole_and_share_a_connection():
    async def story(wire, server):
        for number in range(3):
            body = b"%d" % number * 100
            request = WireRequest("PutObject", "PUT", f"/lake/{number}", "a=b", [("x-amz-meta-a", "ü")], body)
            assert (await wire.send(request)).headers["x-number"] == "7"
        assert (await wire.send(WireRequest("HeadObject", "HEAD", "/lake/x"))).body == b""
        assert (await wire.send(WireRequest("PutObject", "PUT", "/lake/empty", body=b""))).status == 200
        assert [len(line) for line in (wire._quick._free, wire._quick._lent)] == [1, 0]
        return server

    server = played(in_turn(Reply(headers={"X-Number": "7"})), story)
    assert {seen.connection for seen in server.seen} == {1}
    assert [seen.body for seen in server.seen] == [b"0" * 100, b"1" * 100, b"2" * 100, b"", b""]
    assert [seen.headers.get("content-length") for seen in server.seen[-2:]] == [None, "0"]
    for seen in server.seen:
        assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
        assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert server.seen[0].target == "/lake/0?a=b"
    assert server.seen[0].headers["x-amz-meta-a"].encode("latin-1").decode() == "ü"


@pytest.mark.parametrize(
    "trouble",
    [
        Reset,
        error(503, "SlowDown"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<half", reset_after=True),
        Reply(raw=b"garbage\r\n\r\n"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["reset", "503", "truncated", "garbage", "two-answers"],
)
def test_passing_trouble_is_retried_until_the_listing_is_whole(trouble):
    async def story(location):
        return [row.path async for batch in location.scan() for row in batch.rows]

    assert at_location(in_turn(trouble, trouble, Reply(body=LISTING)), story) == ["a"]


def test_after_an_answer_that_is_none_its_connection_is_not_used_again():
    async def story(wire, server):
        with pytest.raises(Unreachable):
            await wire.send(GET)
        assert (await wire.send(GET)).body == b"good"
        return [seen.connection for seen in server.seen]

    assert played(in_turn(Reply(raw=b"garbage\r\n\r\n"), Reply(body=b"good")), story) == [1, 2]


def test_a_connection_that_the_store_closes_is_replaced():
    async def story(wire, server):
        for _ in range(3):
            assert (await wire.send(GET)).body == b"1"
            (line,) = wire._quick._free
            await until(lambda line=line: not line.is_open)
        return server.connections

    assert played(in_turn(Reply(body=b"1", reset_after=True)), story) == 3


def test_a_store_that_says_it_will_close_is_believed():
    async def story(wire, server):
        for _ in range(3):
            assert (await wire.send(GET)).body == b"1"
        return server.connections

    assert played(in_turn(Reply(body=b"1", headers={"Connection": "close"})), story) == 3


def test_a_body_without_a_length_ends_with_the_connection():
    async def story(wire, _server):
        return (await wire.send(GET)).body

    assert played(in_turn(Reply(raw=b"HTTP/1.1 200 OK\r\n\r\nall", reset_after=True)), story) == b"all"


def test_a_store_that_never_answers_is_given_up_after_the_time_limit():
    async def story(wire, _server):
        with pytest.raises(Unreachable, match="no byte moved"):
            await wire.send(GET)

    played(in_turn(Hang), story, stall_timeout_s=0.2)


def test_a_slow_answer_that_keeps_moving_is_waited_for(monkeypatch):
    """By a clock of the test's own: four times nearly as long as a silence may last, and never silent for that long."""
    ask = asyncio.Semaphore(0)

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for letter in b"loris":
            await ask.acquire()
            writer.write(bytes([letter]))
            await writer.drain()
        writer.close()

    async def main():
        now = 1000.0
        monkeypatch.setattr(quick, "time", SimpleNamespace(monotonic=lambda: now))
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        wire = wire_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        asked = asyncio.create_task(wire.send(GET))
        for received in range(1, 5):
            ask.release()
            await until(lambda count=received: [line._answer.received for line in wire._quick._lent] == [count])
            wire._quick.sweep(now)
            now += 55
            wire._quick.sweep(now)
        ask.release()
        assert (await asked).body == b"loris"
        await wire.aclose()
        server.close()

    asyncio.run(main())


def test_an_idle_connection_is_closed_after_a_while():
    async def story(wire, server):
        await wire.send(GET)
        (line,) = wire._quick._free
        wire._quick.sweep(line.moved_at_s + quick.IDLE_S + 1)
        assert wire._quick.busy == 0
        await wire.send(GET)
        return server.connections

    assert played(in_turn(Reply()), story) == 2


def test_a_cancelled_request_closes_its_connection_and_the_next_one_works():
    async def story(wire, server):
        asked = asyncio.create_task(wire.send(WireRequest("GetObject", "GET", "/lake/slow")))
        await until(lambda: server.seen)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert wire._quick.busy == 0
        return (await wire.send(GET)).body, server.connections

    async def handler(seen):
        if seen.target == "/lake/slow":
            raise Hang
        return Reply(body=b"ok")

    assert played(handler, story) == (b"ok", 2)


def test_closing_the_wire_ends_what_is_under_way():
    async def story(wire, server):
        asked = asyncio.create_task(wire.send(GET))
        await until(lambda: server.seen)
        await wire.aclose()
        with pytest.raises(Unreachable):
            await asked
        with pytest.raises(Unreachable):
            await wire.send(GET)

    played(in_turn(Hang), story)


def test_nobody_at_the_port_is_said_as_the_ordinary_way_says_it():
    async def story(wire, server):
        server._server.close()
        await server._server.wait_closed()
        with pytest.raises(Unreachable, match="no connection to"):
            await wire.send(GET)

    played(in_turn(Reply()), story)


def test_what_does_not_fit_goes_the_ordinary_way():
    """Large bodies, answers that go elsewhere, and more at once than there are places."""
    crowd = AT_ONCE + 5
    here = []

    async def story(wire, server):
        await wire.send(WireRequest("PutObject", "PUT", "/lake/large", body=bytes(MAX_BODY_BYTES + 1)))
        pieces: list[bytes] = []
        await wire.send(WireRequest("GetObject", "GET", "/lake/y", sink=lambda chunk: pieces.append(bytes(chunk))))
        assert b"".join(pieces) == b"ok"
        assert wire._quick.busy == 0
        answers = await asyncio.gather(*(wire.send(GET) for _ in range(crowd)))
        assert [answer.body for answer in answers] == [b"ok"] * crowd
        assert wire._quick.busy == AT_ONCE

    async def main():
        all_are_here = asyncio.Event()

        async def handler(seen):
            if seen.target == GET.path:
                here.append(seen)
                if len(here) == crowd:
                    all_are_here.set()
                await all_are_here.wait()
            return Reply(body=b"ok")

        async with ScriptedServer(handler) as server:
            wire = wire_to(server.url)
            async with asyncio.timeout(60):
                await story(wire, server)
            await wire.aclose()

    asyncio.run(main())
    assert len(here) == crowd


def test_a_proxy_is_left_to_the_ordinary_way():
    endpoint = parse_endpoint("http://store:9000")
    assert QuickSender(endpoint, TlsSettings(), Terms()).takes(GET)
    assert not QuickSender(endpoint, TlsSettings(), Terms(proxied=True)).takes(GET)


def test_a_header_that_would_be_two_is_never_sent():
    def message(value):
        return SimpleNamespace(method="GET", path="/x", headers=[("a", value)])

    assert quick._head_of(message("b")) == b"GET /x HTTP/1.1\r\na: b\r\n\r\n"
    for value in ("b\r\nc: d", "b\nc", "b\rc", "b\0"):
        assert quick._head_of(message(value)) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_put_whose_answer_was_lost_is_settled_by_looking_and_never_repeated_blindly(when):
    stored, puts = {}, []

    def handler(seen):
        name = seen.target
        if seen.method == "HEAD":
            return Reply(headers={"ETag": stored[name], "Content-Length": "1"}) if name in stored else Reply(404)
        if name in stored:
            return error(412, "PreconditionFailed")
        puts.append(seen)
        if len(puts) == 1 and when == "before":
            raise Reset
        stored[name] = f'"{MD5_OF_X}"'
        if len(puts) == 1:
            raise Reset
        return Reply(headers={"ETag": stored[name]})

    async def story(location):
        write = Write("a", Kind.FILE, BytesContent(b"x"), None, Expect(None))
        (first,) = await location.write([write])
        (second,) = await location.write([write])
        return first, second

    first, second = at_location(handler, story)
    assert isinstance(first, Entry)
    assert first.version.etag == MD5_OF_X
    assert isinstance(second, PreconditionFailed)
    assert len(puts) == (2 if when == "before" else 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that no system knows."""
    folder = tmp_path_factory.mktemp("certificate")
    key, pem = folder / "key.pem", folder / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return pem, context


def test_https_works_with_a_known_certificate_and_is_left_to_the_ordinary_way_with_another(certificate):
    pem, context = certificate

    async def known(wire, server):
        assert (await wire.send(GET)).body == b"ok"
        assert (await wire.send(GET)).body == b"ok"
        assert wire._quick.busy == 1
        return server.connections

    for tls in (TlsSettings(ca_bundle=str(pem)), TlsSettings(verify=False)):
        assert played(in_turn(Reply(body=b"ok")), known, context=context, tls=tls) == 1

    async def unknown(_wire, server):
        sender = QuickSender(parse_endpoint(server.url), TlsSettings(), Terms())
        message = SimpleNamespace(method="GET", path="/lake/x", headers=[("host", "127.0.0.1")])
        assert await sender.send(GET, message) is None
        assert not sender.takes(GET)
        return server.seen

    assert played(in_turn(Reply(body=b"ok")), unknown, context=context) == []
