"""The receiver, over real sockets."""
# ruff: noqa: S104  # these addresses are refused, or only named

import asyncio
import base64
import json
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest

from lakelink.config.secret import Secret
from lakelink.errors import ConfigError, StorageError
from lakelink.watch import http_request, webhook
from lakelink.watch.fanout import MAX_SHARES
from lakelink.watch.feed import EVERYTHING
from lakelink.watch.webhook import WebhookOptions, WebhookReceiver, is_loopback

TOKEN = "the token"
AUTHORIZED = f"Authorization: Bearer {TOKEN}"


def event(key="in/a", bucket="lake"):
    seen = {"bucket": {"name": bucket}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put", "s3": seen}]})


@asynccontextmanager
async def receiving(**options):
    receiver = WebhookReceiver(WebhookOptions(**options))
    await receiver.start()
    try:
        async with asyncio.timeout(60):
            yield receiver
    finally:
        await receiver.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Pusher:
    """A connection of a store."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, receiver, context=None):
        port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    def send(self, body, *headers, line="POST /events HTTP/1.1", length=None):
        size = len(body) if length is None else length
        text = "\r\n".join([line, "Host: x", f"Content-Length: {size}", *headers, "", body])
        self.writer.write(text.encode())

    async def status(self):
        raw = await self.reader.readuntil(b"\r\n\r\n")
        return int(raw.split()[1])

    async def post(self, body, *headers, **how):
        self.send(body, *headers, **how)
        return await self.status()

    def close(self):
        self.writer.transport.abort()


@asynccontextmanager
async def pushing(receiver, context=None):
    pusher = await Pusher.of(receiver, context)
    try:
        yield pusher
    finally:
        pusher.close()


async def noting(feed, seen):
    async for delivery in feed.deliveries():
        seen += delivery.hints
        await delivery.taken()


def test_the_answer_comes_when_every_link_concerned_has_noted_it():
    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            whole, part = receiver.subscribe("lake", ""), receiver.subscribe("lake", "in")
            pusher.send(event())
            first, second = await anext(whole.deliveries()), await anext(part.deliveries())
            assert [hint.path for hint in (*first.hints, *second.hints)] == ["in/a", "a"]
            answer = asyncio.create_task(pusher.status())
            await first.taken()
            await asyncio.sleep(0.05)
            assert not answer.done()
            await second.taken()
            assert await answer == 200

    asyncio.run(main())


def test_a_connection_serves_many_requests():
    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            feed, seen = receiver.subscribe("lake", "in"), []
            task = asyncio.create_task(noting(feed, seen))
            for number in range(50):
                assert await pusher.post(event(f"in/{number}")) == 200
            assert {hint.path for hint in seen} == {str(number) for number in range(50)}
            await feed.aclose()
            await task

    asyncio.run(main())


def test_what_concerns_nobody_is_accepted_and_junk_is_refused():
    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            receiver.subscribe("lake", "in")
            assert await pusher.post(event("elsewhere/a")) == 200
            assert await pusher.post(event("in/.lakelink/x")) == 200
            assert await pusher.post('{"Event": "s3:TestEvent"}') == 200
            assert await pusher.post("junk") == 422
            assert await pusher.post("") == 422
            assert receiver.health.counts.malformed == 2
            assert receiver.health.counts.foreign == 1

    asyncio.run(main())


def test_a_link_that_notes_nothing_makes_the_store_try_again_and_is_told_of_the_loss(monkeypatch):
    monkeypatch.setattr(webhook, "TAKEN_TIMEOUT_S", 0.01)

    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            feed = receiver.subscribe("lake", "in")
            for number in range(MAX_SHARES + 3):
                assert await pusher.post(event(f"in/{number}")) == 503
            assert receiver.health.counts.deferred == 3
            deliveries = feed.deliveries()
            assert (await anext(deliveries)).hints == (EVERYTHING,)
            waiting = await anext(deliveries)
            assert len(waiting.hints) == MAX_SHARES
            await waiting.taken()
            pusher.send(event("in/z"))
            await (await anext(deliveries)).taken()
            assert await pusher.status() == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (AUTHORIZED, 200),
        (f"authorization: bearer {TOKEN}", 200),
        ("Authorization: Basic " + base64.b64encode(f"ceph:{TOKEN}".encode()).decode(), 200),
        ("X: y", 401),
        ("Authorization: Bearer", 401),
        (f"Authorization: Bearer {TOKEN}x", 401),
        (f"Authorization: {TOKEN}", 401),
        ("Authorization: Basic !!!", 401),
        ("Authorization: Basic " + base64.b64encode(b"ceph:wrong").decode(), 401),
        ("Authorization: Basic " + base64.b64encode(TOKEN.encode()).decode(), 401),
        ("Authorization: Bearer \xff", 401),
    ],
)
def test_only_who_knows_the_token_is_believed(header, status):
    async def main():
        async with receiving(token=Secret(TOKEN)) as receiver, pushing(receiver) as pusher:
            assert await pusher.post(event(), header) == status
            assert receiver.health.counts.messages == (status == 200)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "headers", "length", "status"),
    [
        ("GET /events HTTP/1.1", (), 0, 405),
        ("POST /other HTTP/1.1", (), 0, 404),
        ("POST /events HTTP/1.1", (), http_request.MAX_BODY_BYTES + 1, 413),
        ("POST /events HTTP/1.1", ("Transfer-Encoding: chunked",), 0, 411),
        ("POST /events HTTP/3", (), 0, 400),
        ("POST /events HTTP/1.1", ("X: " + "y" * http_request.MAX_HEADER_BYTES,), 0, 431),
    ],
)
def test_what_is_no_event_is_refused_and_the_connection_closed(line, headers, length, status):
    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            assert await pusher.post("", *headers, line=line, length=length) == status
            assert await pusher.reader.read() == b""

    asyncio.run(main())


def test_a_client_that_asks_first_is_told_to_go_on():
    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            body = event()
            pusher.send("", "Expect: 100-continue", length=len(body))
            assert await pusher.status() == 100
            pusher.writer.write(body.encode())
            assert await pusher.status() == 200

    asyncio.run(main())


@pytest.mark.parametrize("sent", [b"POST /events HT", b"POST /events HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"])
def test_a_slow_client_is_let_go(monkeypatch, sent):
    monkeypatch.setattr(http_request, "HEADER_S", 0.05)
    monkeypatch.setattr(http_request, "BODY_S", 0.05)

    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            pusher.writer.write(sent)
            assert await pusher.status() == 408

    asyncio.run(main())


def test_an_idle_client_is_let_go(monkeypatch):
    monkeypatch.setattr(http_request, "IDLE_S", 0.05)

    async def main():
        async with receiving() as receiver, pushing(receiver) as pusher:
            assert await pusher.reader.read() == b""

    asyncio.run(main())


def test_connections_are_bounded_and_who_comes_too_many_is_told_to_come_again(monkeypatch):
    monkeypatch.setattr(webhook, "MAX_CONNECTIONS", 2)

    async def main():
        async with receiving() as receiver, pushing(receiver) as one, pushing(receiver) as two:
            assert [await each.post(event()) for each in (one, two)] == [200, 200]
            async with pushing(receiver) as three:
                assert await three.status() == 503

    asyncio.run(main())


def test_closing_ends_requests_under_way_and_feeds():
    async def main():
        async with receiving() as receiver:
            feed = receiver.subscribe("lake", "in")
            pusher = await Pusher.of(receiver)
            pusher.send(event())
            deliveries = feed.deliveries()
            await anext(deliveries)
            reading = asyncio.create_task(anext(deliveries, None))
            await asyncio.sleep(0)
            await receiver.aclose()
            assert await reading is None
            pusher.close()

    asyncio.run(main())


def test_over_tls(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")

    async def main():
        async with receiving(cert_file=str(cert), key_file=str(key)) as receiver:
            assert receiver.url.startswith("https://127.0.0.1:")
            context = ssl.create_default_context(cafile=str(cert))
            async with pushing(receiver, context) as pusher:
                assert await pusher.post(event()) == 200
            async with pushing(receiver) as plain:
                plain.send(event())
                assert await plain.reader.read() == b""

    asyncio.run(main())


def test_what_cannot_be_safe_or_cannot_work_is_refused_before_listening(tmp_path):
    with pytest.raises(ConfigError, match="token"):
        WebhookReceiver(WebhookOptions(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="certificate"):
        WebhookReceiver(WebhookOptions(cert_file="/x"))
    WebhookReceiver(WebhookOptions(host="0.0.0.0", token=Secret("t")))
    (tmp_path / "junk.pem").write_text("junk")
    junk = str(tmp_path / "junk.pem")

    async def main():
        with pytest.raises(ConfigError, match="certificate"):
            await WebhookReceiver(WebhookOptions(cert_file=junk, key_file=junk)).start()
        async with receiving() as receiver:
            port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
            with pytest.raises(StorageError, match=str(port)):
                await WebhookReceiver(WebhookOptions(port=port)).start()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("lake.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_can_reach(host, is_one):
    assert is_loopback(host) is is_one
