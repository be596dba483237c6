"""What the wire and the client make of a service that misbehaves, over real sockets."""

from __future__ import annotations

import asyncio
import email.utils
import fcntl
import os
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from scripted_http import LISTING, Hang, Reply, Reset, ScriptedServer, error

from lakelink.core.backoff import Backoff, RetryBudget
from lakelink.errors import (
    ConfigError,
    Corrupt,
    CredentialsRefused,
    NotPermitted,
    PreconditionFailed,
    StorageError,
    Unreachable,
    Untrusted,
)
from lakelink.locations.base import Guarantee, Read, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.s3.open import S3Access, Traffic, open_s3
from lakelink.locations.s3.options import Addressing, S3Options
from lakelink.locations.wrap.wire_adaptive import AdaptiveWire
from lakelink.locations.wrap.wire_retrying import RetryingWire
from lakelink.model.entry import Entry, Expect, Kind, Version
from lakelink.ports import crt, lean
from lakelink.ports.clock import SystemClock
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.crt_io import TlsSettings
from lakelink.ports.random import SystemRandom
from lakelink.ports.wire import WireRequest

QUICK = Traffic(backoff=Backoff(base_s=0.005, cap_s=0.02, attempts=5))
STATIC = CredentialSource("AK", "SK")
NOTHING = Expect(None)


def opened(server, *, traffic=QUICK, credentials=STATIC, options=None, environ=None, **access):
    settings = {"endpoint": server.url, "credentials": credentials, "proxy": "", "region": "us-east-1"} | access
    location = open_s3("s3://lake/p", S3Access(**settings), options, traffic=traffic, environ=environ or {})
    location.store.conditions.write = location.store.conditions.copy = (
        True  # these servers only do what the script says
    )
    return location


def wire_to(server, **options):
    signer = CrtSigner(STATIC, "us-east-1", environ={})
    return CrtWire(parse_endpoint(server.url), signer, CrtWireOptions(proxy="", **options), {})


async def until(condition):
    """Wait for what another thread does."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # it cannot set an event of this loop
            await asyncio.sleep(0.005)


def scenario(handler, work, **kwargs):
    """Run `work(location, server)` against a server with that script."""

    async def main():
        async with ScriptedServer(handler) as server:
            location = opened(server, **kwargs)
            try:
                async with asyncio.timeout(120):
                    return await work(location, server)
            finally:
                await location.aclose()

    return asyncio.run(main())


async def listed(location, _server=None):
    return [row.path async for batch in location.scan() for row in batch.rows]


def in_turn(*replies):
    """Each request gets the next reply, the last one for ever."""
    queue = list(replies)

    def handler(_seen):
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(reply, type):
            raise reply
        return reply

    return handler


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that no system knows."""
    folder = tmp_path_factory.mktemp("certificate")
    key, pem = folder / "key.pem", folder / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return pem, context


GET = WireRequest("GetObject", "GET", "/lake/x")


@pytest.fixture(autouse=True, params=["lean", "native"])
def way(request, monkeypatch):
    """Everything holds both for the sockets that small requests take and for the native connections."""
    if request.param == "native":
        monkeypatch.setattr(lean.LeanSender, "takes", lambda *_: False)
    return request.param


@pytest.mark.parametrize(
    "trouble",
    [
        Reset,
        error(503, "SlowDown"),
        error(500, "InternalError"),
        error(429, "TooManyRequests"),
        error(400, "RequestTimeout"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<half", reset_after=True),
        Reply(raw=b"garbage\r\n\r\n", reset_after=True),
        error(503, "SlowDown", **{"Retry-After": "0"}),
        error(503, "SlowDown", **{"Retry-After": "Mon, 23 Nov 2020 10:00:00 GMT"}),
    ],
    ids=["reset", "503", "500", "429", "request-timeout", "truncated", "garbage", "retry-after", "retry-after-date"],
)
def test_passing_trouble_is_retried_until_the_listing_is_whole(trouble):
    assert scenario(in_turn(trouble, trouble, Reply(body=LISTING)), listed) == ["a"]


def test_a_storm_that_does_not_end_is_unreachable_and_gave_up_in_time():
    async def work(location, server):
        with pytest.raises(Unreachable, match="SlowDown"):
            await listed(location)
        return len(server.seen)

    assert scenario(in_turn(error(503, "SlowDown")), work) == 5


def test_an_endless_500_is_an_error_of_that_path_only():
    def handler(seen):
        return (
            error(500, "InternalError") if seen.target.endswith("/bad") else Reply(body=b"x", headers={"ETag": '"e"'})
        )

    async def work(location, _server):
        return await location.read([Read("good", 1), Read("bad", 1)])

    good, bad = scenario(handler, work)
    assert good.entry.version.etag == "e"
    assert isinstance(bad, StorageError)


def test_the_retry_budget_is_shared_so_that_a_dead_service_is_given_up_soon():
    async def main():
        async with ScriptedServer(in_turn(error(503, "SlowDown"))) as server:
            wire = wire_to(server)
            retrying = RetryingWire(
                wire,
                SystemClock(),
                SystemRandom(),
                backoff=Backoff(base_s=0.001, attempts=10),
                budget=RetryBudget(capacity=7),
            )
            answers = await asyncio.gather(*(retrying.send(GET) for _ in range(20)))
            await wire.aclose()
            assert {answer.status for answer in answers} == {503}
            assert len(server.seen) == 20 + 7

    asyncio.run(main())


def test_a_sink_that_was_given_bytes_is_never_given_them_twice():
    async def main():
        reply = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", reset_after=True)
        async with ScriptedServer(in_turn(reply)) as server:
            wire = wire_to(server)
            retrying = RetryingWire(wire, SystemClock(), SystemRandom(), backoff=Backoff(base_s=0.001))
            got = []
            with pytest.raises(Unreachable):
                await retrying.send(WireRequest("GetObject", "GET", "/lake/x", sink=got.append))
            await wire.aclose()
            assert b"".join(got) == b"half"

    asyncio.run(main())


def test_a_body_shorter_than_announced_is_unreachable_not_short():
    async def main():
        reply = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", reset_after=True)
        async with ScriptedServer(in_turn(reply)) as server:
            wire = wire_to(server)
            with pytest.raises(Unreachable):
                await wire.send(GET)
            await wire.aclose()

    asyncio.run(main())


def test_a_service_that_never_answers_is_given_up_after_the_time_limit():
    async def main():
        async with ScriptedServer(in_turn(Hang)) as server:
            wire = wire_to(server, stall_timeout_s=0.5)
            with pytest.raises(Unreachable, match="no byte moved"):
                async with asyncio.timeout(60):
                    await wire.send(GET)
            await wire.aclose()

    asyncio.run(main())


def test_a_slow_answer_that_keeps_moving_is_waited_for(monkeypatch):
    """By a clock of the test's own: six times nearly as long as a silence may last, and never silent for that long."""

    async def main():
        ask, now = asyncio.Semaphore(0), time.monotonic()
        for module in (crt, lean):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))

        async def drip(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for letter in b"loris!":
                await ask.acquire()
                writer.write(bytes([letter]))
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        signer = CrtSigner(STATIC, "us-east-1", environ={})
        options = CrtWireOptions(proxy="", stall_timeout_s=60)
        wire = CrtWire(parse_endpoint(f"http://127.0.0.1:{port}"), signer, options, {})
        asked = asyncio.create_task(wire.send(GET))
        for received in range(1, 6):
            ask.release()
            await until(lambda n=received: any(one.received == n for one in wire._running | wire._lean.running))
            wire._sweep()
            now += 55
            wire._sweep()
        ask.release()
        assert (await asked).body == b"loris!"
        await wire.aclose()
        server.close()

    asyncio.run(main())


def test_a_cancelled_request_closes_its_connection_and_the_next_one_works():
    async def main():
        arrived = asyncio.Event()

        async def handler(seen):
            if seen.target == "/lake/slow":
                arrived.set()
                await asyncio.sleep(300)
            return Reply(body=b"ok")

        async with ScriptedServer(handler) as server:
            wire = wire_to(server, max_connections=1)
            task = asyncio.create_task(wire.send(WireRequest("GetObject", "GET", "/lake/slow")))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await wire.send(GET)).body == b"ok"
            assert server.connections == 2
            await wire.aclose()

    asyncio.run(main())


def test_many_requests_share_a_bounded_number_of_connections_in_turn():
    async def main():
        async with ScriptedServer(in_turn(Reply(body=b"ok", pause_s=0.002))) as server:
            wire = wire_to(server, max_connections=4)
            answers = await asyncio.gather(*(wire.send(GET) for _ in range(100)))
            assert len(answers) == 100
            assert server.connections == 4
            waiting = [asyncio.create_task(wire.send(GET)) for _ in range(20)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert sum(isinstance(result, asyncio.CancelledError) for result in done) == 10
            assert (await wire.send(GET)).status == 200
            await wire.aclose()
            with pytest.raises(Unreachable):
                await wire.send(GET)

    asyncio.run(main())


def test_an_idle_connection_that_the_server_closed_is_not_used_again():
    async def main():
        async with ScriptedServer(in_turn(Reply(body=b"1", reset_after=True))) as server:
            wire = wire_to(server)
            for _ in range(3):
                assert (await wire.send(GET)).body == b"1"
                free = (wire._lean._pools or wire._pools)[""]._free  # a list that the pool changes
                await until(lambda kept=free: not any(connection.is_open() for connection, _ in kept))
            assert server.connections == 3
            await wire.aclose()

    asyncio.run(main())


def test_a_service_that_hangs_up_on_everyone_is_unreachable():
    async def main():
        async def hang_up(_reader, writer):
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for _ in range(20):
            wire = CrtWire(
                parse_endpoint(f"http://127.0.0.1:{port}"),
                CrtSigner(STATIC, "us-east-1", environ={}),
                CrtWireOptions(proxy=""),
                {},
            )
            with pytest.raises(Unreachable):
                await wire.send(GET)
            await wire.aclose()
        server.close()

    asyncio.run(main())


def test_error_bodies_are_bounded_and_success_bodies_are_whole():
    async def main():
        big = b"x" * 1_000_000
        async with ScriptedServer(in_turn(Reply(404, big), Reply(200, big))) as server:
            wire = wire_to(server)
            refused, whole = await wire.send(GET), await wire.send(GET)
            assert (refused.status, refused.body_bytes) == (404, len(big))
            assert len(refused.body) <= 64 * 1024
            assert whole.body == big
            await wire.aclose()

    asyncio.run(main())


def test_expired_credentials_are_fetched_again_in_mid_run(tmp_path):
    shared = tmp_path / "credentials"
    shared.write_text("[work]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_session_token = t\n")

    def handler(seen):
        if "Credential=OLD" in seen.headers["authorization"]:
            shared.write_text("[work]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
            return error(400, "ExpiredToken")
        return Reply(body=LISTING)

    async def main(monkeypatch):
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        async with ScriptedServer(handler) as server:
            location = opened(server, credentials=CredentialSource(profile="work"))
            assert await listed(location) == ["a"]
            assert "x-amz-security-token" in server.seen[0].headers
            assert len(server.seen) == 2
            await location.aclose()

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(main(monkeypatch))


def test_static_credentials_that_expired_are_refused_with_advice():
    async def work(location, server):
        with pytest.raises(CredentialsRefused) as refused:
            await listed(location)
        assert "Renew" in refused.value.hint
        return len(server.seen)

    assert scenario(in_turn(error(400, "ExpiredToken")), work) == 1


def test_missing_credentials_name_every_place_that_was_looked_at(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "creds"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "conf"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async def work(location, _server):
        with pytest.raises(CredentialsRefused) as refused:
            await listed(location)
        assert "AWS_ACCESS_KEY_ID" in refused.value.hint
        assert str(tmp_path / "creds") in refused.value.hint

    scenario(in_turn(Reply(body=LISTING)), work, credentials=CredentialSource(), environ=dict(os.environ))


def test_environment_credentials_are_found(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-env")

    async def work(location, server):
        await listed(location)
        return server.seen[0].headers["authorization"]

    authorization = scenario(
        in_turn(Reply(body=LISTING)), work, credentials=CredentialSource(), environ=dict(os.environ)
    )
    assert "Credential=FROMENV/" in authorization
    assert "secret-of-env" not in authorization


def test_anonymous_requests_are_not_signed():
    async def work(location, server):
        await listed(location)
        return server.seen[0].headers

    assert "authorization" not in scenario(
        in_turn(Reply(body=LISTING)), work, credentials=CredentialSource(anonymous=True)
    )


def test_a_clock_that_is_off_is_corrected_from_the_servers_date():
    server_now = time.time() + 7200
    dates = []

    def handler(seen):
        dates.append(seen.headers["x-amz-date"])
        if len(dates) == 1:
            return error(403, "RequestTimeTooSkewed", Date=email.utils.formatdate(server_now, usegmt=True))
        return Reply(body=LISTING)

    assert scenario(handler, listed) == ["a"]
    signed = time.strptime(dates[1], "%Y%m%dT%H%M%SZ")
    assert abs(time.mktime(signed) - time.timezone - server_now) < 30


def test_a_bucket_in_another_region_is_followed_once():
    def handler(seen):
        if "/us-east-1/s3/" in seen.headers["authorization"]:
            return error(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-3"})
        return Reply(body=LISTING)

    async def work(location, server):
        assert await listed(location) == ["a"]
        assert await listed(location) == ["a"]
        return [seen.headers["authorization"].split("/")[2] for seen in server.seen]

    assert scenario(handler, work) == ["us-east-1", "eu-west-3", "eu-west-3"]


def test_a_region_that_does_not_help_ends_with_the_region_in_the_hint():
    async def work(location, server):
        with pytest.raises(StorageError) as refused:
            await listed(location)
        assert "eu-west-3" in refused.value.hint
        return len(server.seen)

    assert scenario(in_turn(error(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-3"})), work) == 2


def test_a_missing_right_is_named():
    def handler(seen):
        return error(403, "AccessDenied") if seen.method != "HEAD" else Reply(403)

    async def work(location, _server):
        with pytest.raises(NotPermitted, match="ListObjectsV2") as refused:
            await listed(location)
        assert "s3:ListBucket" in refused.value.hint
        (put,) = await location.write([Write("a", Kind.FILE, BytesContent(b"x"), None, NOTHING)])
        assert "s3:PutObject" in put.hint
        (got,) = await location.read([Read("a", 1)])
        assert "s3:GetObject" in got.hint

    scenario(handler, work)


def test_wrong_checksums_and_wrong_etags_are_noticed():
    def handler(seen):
        name = seen.target.rpartition("/")[2]
        headers = {
            "crc": {"ETag": '"e"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="},
            "sha": {"ETag": '"e"', "x-amz-checksum-sha256": "A" * 43 + "="},
            "composite": {"ETag": '"e"', "x-amz-checksum-crc32c": "AAAAAA==-2"},
            "md5": {"ETag": '"9dd4e461268c8034f5c8564e155c67a6"'},
            "badmd5": {"ETag": '"00000000000000000000000000000000"'},
            "kms": {"ETag": '"00000000000000000000000000000000"', "x-amz-server-side-encryption": "aws:kms"},
        }[name]
        return Reply(200, b"x", headers)

    async def work(location, _server):
        crc, sha, composite, md5, kms = await location.read(
            [Read(n, 1) for n in ("crc", "sha", "composite", "md5", "kms")]
        )
        (badmd5,) = await location.read([Read("badmd5", 1)])
        return crc, sha, composite, md5, kms, badmd5

    crc, sha, composite, md5, kms, badmd5 = scenario(handler, work)
    assert [type(wrong) for wrong in (crc, sha, badmd5)] == [Corrupt] * 3
    assert not any(isinstance(right, Exception) for right in (composite, md5, kms))


def test_a_store_whose_etags_are_not_md5_is_believed_after_the_second_look():
    def handler(_seen):
        return Reply(200, b"x", {"ETag": '"00000000000000000000000000000000"'})

    async def work(location, server):
        (content,) = await location.read([Read("a", 1)])
        assert await content.load() == b"x"
        asked = len(server.seen)
        await location.read([Read("b", 1)])
        return asked, len(server.seen)

    assert scenario(handler, work) == (2, 3)


def test_a_checksum_that_the_store_refuses_is_given_up_and_remembered():
    def handler(seen):
        refused = "x-amz-checksum-crc64nvme" in seen.headers
        return error(501, "NotImplemented") if refused else Reply(headers={"ETag": '"e"'})

    async def work(location, server):
        writes = [Write(name, Kind.FILE, BytesContent(b"x"), None, NOTHING) for name in "ab"]
        for write in writes:
            (entry,) = await location.write([write])
            assert isinstance(entry, Entry)
        return ["x-amz-checksum-crc32c" in seen.headers for seen in server.seen]

    assert scenario(handler, work) == [False, True, True]


@pytest.mark.parametrize("answer", [501, 200], ids=["refused", "ignored"])
def test_a_store_without_conditions_gets_a_look_before_each_change_and_counts_as_blind(answer):
    stored = {}

    def handler(seen):
        conditional = "if-none-match" in seen.headers or "if-match" in seen.headers
        if seen.method == "HEAD":
            return Reply(headers={"ETag": stored[seen.target]}) if seen.target in stored else Reply(404)
        if conditional and answer == 501:
            return error(501, "NotImplemented")
        if seen.method == "PUT":
            stored[seen.target] = '"9dd4e461268c8034f5c8564e155c67a6"'
            return Reply(headers={"ETag": stored[seen.target]})
        if seen.method == "DELETE":
            stored.pop(seen.target, None)
        return Reply(204)

    async def work(location, _server):
        location.store.conditions.write = location.store.conditions.copy = None
        write = Write("a", Kind.FILE, BytesContent(b"x"), None, NOTHING)
        (first,) = await location.write([write])
        (second,) = await location.write([write])
        assert list(stored) == ["/lake/p/a"]
        return first, second, location.traits

    first, second, traits = scenario(handler, work)
    assert isinstance(first, Entry)
    assert isinstance(second, PreconditionFailed)
    assert (traits.write, traits.set_posix) == (Guarantee.BLIND, Guarantee.BLIND)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_put_whose_answer_was_lost_is_settled_by_looking(when):
    stored = {}

    def handler(seen):
        name = seen.target
        if seen.method == "HEAD":
            return Reply(headers={"ETag": stored[name], "Content-Length": "1"}) if name in stored else Reply(404)
        if seen.headers.get("if-none-match") == "*" and name in stored:
            return error(412, "PreconditionFailed")
        first = not any(earlier.method == "PUT" for earlier in puts)
        puts.append(seen)
        if first and when == "before":
            raise Reset
        stored[name] = '"9dd4e461268c8034f5c8564e155c67a6"'  # MD5 of b"x"
        if first:
            raise Reset
        return Reply(headers={"ETag": stored[name]})

    puts = []

    async def work(location, _server):
        return await location.write([Write("a", Kind.FILE, BytesContent(b"x"), None, NOTHING)])

    (entry,) = scenario(handler, work)
    assert entry.version.etag == "9dd4e461268c8034f5c8564e155c67a6"
    assert len(puts) == (2 if when == "before" else 1)


def test_a_lost_put_that_meets_somebody_elses_object_is_a_failed_precondition():
    def handler(seen):
        if seen.method == "HEAD":
            return Reply(headers={"ETag": '"theirs"', "Content-Length": "1"})
        raise Reset

    async def work(location, _server):
        return await location.write([Write("a", Kind.FILE, BytesContent(b"x"), None, NOTHING)])

    (refused,) = scenario(handler, work)
    assert isinstance(refused, PreconditionFailed)


def test_a_range_that_breaks_off_goes_on_where_it_stopped(tmp_path):
    data = os.urandom(9 << 20)
    asked = []

    def handler(seen):
        headers = {"ETag": '"e"', "Accept-Ranges": "bytes"}
        if seen.method == "HEAD":
            return Reply(headers=headers | {"Content-Length": str(len(data))})
        start, end = (int(part) for part in seen.headers["range"].removeprefix("bytes=").split("-"))
        asked.append((start, end))
        assert seen.headers["if-match"] == '"e"'
        body = data[start : end + 1]
        head = f'HTTP/1.1 206 P\r\nETag: "e"\r\nContent-Range: bytes {start}-{end}/{len(data)}\r\nContent-Length: {len(body)}\r\n\r\n'
        cut = len(body) // 2 if len(asked) <= 3 else len(body)
        return Reply(raw=head.encode() + body[:cut], reset_after=cut < len(body))

    async def work(location, _server):
        (content,) = await location.read([Read("big", len(data), Version(len(data), 0, etag="e"))])
        with (tmp_path / "f").open("w+b") as file:
            assert await content.pour(file.fileno()) == len(data)
            file.seek(0)
            assert file.read() == data

    scenario(handler, work)
    assert len(asked) == 5
    assert sum(start not in {0, 8 << 20} for start, _ in asked) == 3


def test_a_local_file_that_takes_no_bytes_is_the_callers_error():
    data = bytes(9 << 20)

    def handler(seen):
        if seen.method == "HEAD":
            return Reply(headers={"ETag": '"e"', "Content-Length": str(len(data))})
        start, end = (int(part) for part in seen.headers["range"].removeprefix("bytes=").split("-"))
        return Reply(206, data[start : end + 1], {"ETag": '"e"', "Content-Range": f"bytes {start}-{end}/{len(data)}"})

    async def work(location, _server):
        (content,) = await location.read([Read("big", len(data))])
        sealed = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
        os.ftruncate(sealed, len(data))
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        with pytest.raises(PermissionError):
            await content.pour(sealed)
        os.close(sealed)

    scenario(handler, work)


def test_concurrency_goes_down_when_the_store_complains():
    async def main():
        async with ScriptedServer(in_turn(error(503, "SlowDown"))) as server:
            wire = wire_to(server)
            adaptive = AdaptiveWire(wire, SystemClock())
            before = adaptive.limit
            await asyncio.gather(*(adaptive.send(GET) for _ in range(40)))
            assert adaptive.limit == before // 2
            await wire.aclose()

    asyncio.run(main())


def test_https_works_with_a_known_certificate_or_when_told_not_to_ask(certificate, tmp_path):
    pem, context = certificate

    async def main():
        async with ScriptedServer(in_turn(Reply(body=LISTING)), ssl=context) as server:
            for access in ({"ca_bundle": str(pem)}, {"verify": False}):
                location = opened(server, **access)
                assert await listed(location) == ["a"]
                await location.aclose()
            location = opened(server, ca_bundle=str(tmp_path / "nothing.pem"))
            with pytest.raises(ConfigError, match="nothing"):
                await listed(location)
            await location.aclose()

    asyncio.run(main())


def test_large_answers_come_over_https_too(certificate):
    """By threads, whose TLS is another one's, once its certificate is known or nobody asks; by the ordinary way where the two do not agree."""
    pem, context = certificate
    size = 1 << 20
    threads = []

    async def get(server, tls):
        wire = wire_to(server, tls=tls)
        request = WireRequest("GetObject", "GET", "/b/k", bulk_bytes=size)
        request.sink = lambda chunk: threads.append((threading.current_thread().name, len(chunk)))
        try:
            await wire.send(request)
        finally:
            await wire.aclose()

    async def main():
        async with ScriptedServer(lambda _seen: Reply(body=bytes(size)), ssl=context) as server:
            for tls in (TlsSettings(ca_bundle=str(pem)), TlsSettings(verify=False)):
                threads.clear()
                await get(server, tls)
                assert {name for name, _ in threads} == {"lakelink-bulk"}
                assert sum(length for _, length in threads) == size
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await get(server, TlsSettings())

    asyncio.run(main())


async def _refused_certificate(context):
    """What becomes of a listing from a server that nobody vouches for, and what that server was asked."""
    async with ScriptedServer(in_turn(Reply(body=LISTING)), ssl=context) as server:
        location = opened(server)
        try:
            await listed(location)
        except Untrusted as error:
            return error, server.seen
        finally:
            await location.aclose()
        return None, server.seen


@pytest.fixture(scope="module", autouse=True)
def refused_certificate(request):
    """Begins before the other tests of this file: the native TLS library keeps a failed handshake open for 10 to 30 s."""
    try:
        _, context = request.getfixturevalue("certificate")
    except pytest.skip.Exception:
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(asyncio.run, _refused_certificate(context))


def test_an_unknown_certificate_is_untrusted_and_not_tried_again(certificate, refused_certificate):
    error, seen = refused_certificate.result(120)
    assert "tls" in str(error)
    assert seen == []


def test_a_proxy_is_used_unless_no_proxy_names_the_host():
    async def main():
        async with ScriptedServer(in_turn(Reply(body=LISTING))) as proxy:
            environ = {"http_proxy": f"http://user:p%40ss@127.0.0.1:{proxy.port}"}
            location = open_s3(
                "s3://lake/p", S3Access(endpoint="http://store.invalid:9000", credentials=STATIC), environ=environ
            )
            assert await listed(location) == ["a"]
            assert proxy.seen[0].target.startswith("http://store.invalid:9000/lake/")
            assert proxy.seen[0].headers["host"] == "store.invalid:9000"
            assert proxy.seen[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
            await location.aclose()
            direct = open_s3(
                "s3://lake/p",
                S3Access(endpoint=proxy.url, credentials=STATIC),
                environ={"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.com,127.0.0.1"},
            )
            assert await listed(direct) == ["a"]
            await direct.aclose()

    asyncio.run(main())


def test_virtual_hosted_addressing_names_the_bucket_in_the_host():
    async def main():
        async with ScriptedServer(in_turn(Reply(body=LISTING))) as proxy:
            access = S3Access(endpoint="http://store.invalid:9000", credentials=STATIC, proxy=proxy.url)
            options = S3Options(addressing=Addressing.VIRTUAL)
            location = open_s3("s3://lake/p", access, options, environ={})
            assert await listed(location) == ["a"]
            assert proxy.seen[0].headers["host"] == "lake.store.invalid:9000"
            assert "/lake/" not in proxy.seen[0].target
            await location.aclose()
            aws = open_s3("s3://lake/p", S3Access(region="eu-west-3", credentials=STATIC, proxy=proxy.url), environ={})
            assert aws.client.request("GetObject", "GET", "k").host == "lake.s3.eu-west-3.amazonaws.com"
            assert aws.client.request("GetObject", "GET", "k").path == "/k"
            dotted = open_s3("s3://la.ke/p", S3Access(credentials=STATIC), environ={})
            assert dotted.client.request("GetObject", "GET", "k").path == "/la.ke/k"

    asyncio.run(main())
