"""Small requests over plain sockets: every form of an answer, and what a connection may be used for afterwards."""

from __future__ import annotations

import asyncio

import pytest
from scripted_http import Reply, ScriptedServer

from lakelink.errors import ConfigError, StorageError, Unreachable
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.crt_io import TlsSettings
from lakelink.ports.lean import MAX_BODY_BYTES
from lakelink.ports.lean_connection import MAX_HEAD_BYTES
from lakelink.ports.wire import WireRequest

GET = WireRequest("GetObject", "GET", "/lake/x")
OK = Reply(body=b"ok")


def wire_to(url, *, sign_payload=False):
    signer = CrtSigner(CredentialSource("AK", "SK"), "us-east-1", sign_payload=sign_payload, environ={})
    return CrtWire(parse_endpoint(url), signer, CrtWireOptions(proxy="", stall_timeout_s=20), {})


def exchanged(replies, *requests, sign_payload=False):
    """The answers (or errors) of these requests, one after the other, and what the server saw."""
    queue = list(replies)

    async def main():
        async with ScriptedServer(lambda _seen: queue.pop(0)) as server:
            wire = wire_to(server.url, sign_payload=sign_payload)
            answers = []
            for request in requests:
                try:
                    answers.append(await wire.send(request))
                except (Unreachable, StorageError) as error:
                    answers.append(error)
            assert not wire._pools, "none of these is for a native connection"
            assert not wire._lean.running
            await wire.aclose()
            return answers, server.seen

    return asyncio.run(main())


def test_a_body_in_chunks_is_put_together_and_its_connection_used_again():
    chunked = Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    (first, second), seen = exchanged([chunked, OK], GET, GET)
    assert (first.body, first.body_bytes, second.body) == (b"abcdefg", 7, b"ok")
    assert [one.connection for one in seen] == [1, 1]


def test_chunks_that_break_off_are_unreachable():
    broken = Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", reset_after=True)
    (first, second), seen = exchanged([broken, OK], GET, GET)
    assert isinstance(first, Unreachable)
    assert second.body == b"ok"
    assert [one.connection for one in seen] == [1, 2]


def test_a_body_without_a_length_ends_with_its_connection():
    (first, second), seen = exchanged(
        [Reply(raw=b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", reset_after=True), OK], GET, GET
    )
    assert (first.body, second.body) == (b"all of it", b"ok")
    assert [one.connection for one in seen] == [1, 2]


def test_a_head_is_answered_without_the_body_that_it_announces():
    head = WireRequest("HeadObject", "HEAD", "/lake/x")
    (first, second), seen = exchanged([Reply(body=b"12345", headers={"ETag": '"e"'}), OK], head, GET)
    assert (first.status, first.headers["content-length"], first.headers["etag"], first.body) == (200, "5", '"e"', b"")
    assert second.body == b"ok"
    assert [one.connection for one in seen] == [1, 1]


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body_end_with_their_head(status):
    (first, second), seen = exchanged([Reply(raw=f"HTTP/1.1 {status} Said\r\n\r\n".encode()), OK], GET, GET)
    assert (first.status, first.body, second.body) == (status, b"", b"ok")
    assert [one.connection for one in seen] == [1, 1]


def test_an_interim_answer_is_not_the_answer():
    interim = b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n"
    (answer,), _ = exchanged([Reply(raw=interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")], GET)
    assert (answer.status, answer.body) == (200, b"ok")
    assert "x-interim" not in answer.headers


def test_a_server_that_closes_gets_a_new_connection_for_the_next_request():
    closing = Reply(body=b"1", headers={"Connection": "close"})
    (first, second), seen = exchanged([closing, OK], GET, GET)
    assert (first.body, second.body) == (b"1", b"ok")
    assert [one.connection for one in seen] == [1, 2]


def test_bytes_after_the_answer_are_never_taken_for_the_next_one():
    """What a confused server or proxy sends behind an answer would be somebody else's object."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    (first, second), seen = exchanged([Reply(raw=surplus + b"ok" + surplus + b"no"), OK], GET, GET)
    assert isinstance(first, Unreachable) or first.body == b"ok"
    assert second.body == b"ok"
    assert [one.connection for one in seen] == [1, 2]


def test_a_head_without_an_end_is_given_up():
    endless = b"HTTP/1.1 200 OK\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(MAX_HEAD_BYTES // 1000 * 12)
    )
    (answer,), _ = exchanged([Reply(raw=endless, reset_after=True)], GET)
    assert isinstance(answer, Unreachable)
    assert "does not end" in str(answer)


@pytest.mark.parametrize(
    "raw", [b"garbage\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
)
def test_what_is_not_an_http_answer_is_unreachable(raw):
    (first, second), seen = exchanged([Reply(raw=raw), OK], GET, GET)
    assert isinstance(first, Unreachable)
    assert second.body == b"ok"
    assert [one.connection for one in seen] == [1, 2]


def test_a_line_break_in_a_header_never_leaves_this_machine():
    smuggled = WireRequest(
        "PutObject", "PUT", "/lake/x", headers=[("x-amz-meta-a", "b\r\nx-amz-acl: public-read")], body=b"1"
    )
    (answer,), seen = exchanged([], smuggled)
    assert isinstance(answer, StorageError)
    assert not seen


@pytest.mark.parametrize("size", [0, 1, MAX_BODY_BYTES])
@pytest.mark.parametrize("sign_payload", [False, True])
def test_a_body_arrives_whole_with_its_length(size, sign_payload):
    body = bytes(range(256)) * (size // 256 + 1)
    put = WireRequest("PutObject", "PUT", "/lake/x", body=body[:size])
    (answer,), seen = exchanged([OK], put, sign_payload=sign_payload)
    assert answer.status == 200
    assert seen[0].body == body[:size]
    assert seen[0].headers["content-length"] == str(size)
    assert (seen[0].headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD") is not sign_payload


def test_a_larger_body_takes_a_native_connection():
    async def main():
        async with ScriptedServer(lambda _seen: OK) as server:
            wire = wire_to(server.url)
            put = WireRequest("PutObject", "PUT", "/lake/x", body=bytes(MAX_BODY_BYTES + 1))
            assert (await wire.send(put)).status == 200
            assert wire._pools
            assert not wire._lean._pools
            await wire.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_host_that_can_be_no_name_is_unreachable(host):
    async def main():
        wire = wire_to(f"http://{host}:9000")
        with pytest.raises(Unreachable):
            await wire.send(GET)
        await wire.aclose()

    asyncio.run(main())


def test_certificates_that_cannot_be_read_are_told_as_the_setting_that_is_wrong(tmp_path):
    """By the native connections, which take over."""

    async def main():
        signer = CrtSigner(CredentialSource("AK", "SK"), "us-east-1", environ={})
        options = CrtWireOptions(proxy="", tls=TlsSettings(ca_bundle=str(tmp_path)))
        wire = CrtWire(parse_endpoint("https://127.0.0.1:9"), signer, options, {})
        with pytest.raises(ConfigError, match="CA bundle"):
            await wire.send(GET)
        await wire.aclose()

    asyncio.run(main())
