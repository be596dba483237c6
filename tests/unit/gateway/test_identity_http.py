"""The identity service: asked, understood, and nobody let in when it does not answer."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lakelink.config.document import parse_document
from lakelink.config.gateway_identity import read_identity
from lakelink.config.secret import Secret
from lakelink.errors import ConfigError, NotPermitted, Unreachable, Untrusted
from lakelink.gateway.identity_http import HttpIdentity
from lakelink.gateway.server.services import identity_service
from lakelink.model.account import Folder, Permission, Proof
from lakelink.ports.clock import SystemClock

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfWQ1VGt6qSZy4dUGy8xXc0PBX1mC7bGTb3Y0m5VfOa partner"
USER = {"folders": [{"path": "/", "location": "s3://lake/partners/acme"}], "keys": [KEY], "uid": 1001}


class Service:
    """Answers every request with the bytes that `answer` makes of its JSON; keeps what it was asked."""

    def __init__(self, answer, context=None):
        self.asked = []
        self._answer = answer
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            try:
                if self._context:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._one(connection)
            except OSError:
                pass
            finally:
                connection.close()

    def _one(self, connection):
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += connection.recv(65536)
        head, _, body = raw.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.asked.append((head.decode(), json.loads(body)))
        for part in self._answer(json.loads(body)):
            connection.sendall(part)


def reply(document, status="200 OK"):
    body = json.dumps(document).encode()
    return [f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]


def identity(service, extra="", scheme="http"):
    text = f'[gateway.identity]\nurl = "{scheme}://localhost:{service.port}/sftp"\ntimeout = "1s"\n{extra}\n'
    document = parse_document(text, Path("lakelink.toml"))
    return HttpIdentity(read_identity(document), document, SystemClock())


def find(service, name="acme", extra=""):
    return asyncio.run(identity(service, extra).find(name))


def test_a_user_that_the_service_knows_becomes_an_account():
    with Service(lambda _: reply({"user": USER | {"proof": "key+password", "start": "/in"}})) as service:
        account = find(service)
    assert account.name == "acme"
    assert account.folders == (Folder(path="/", location="s3://lake/partners/acme", permission=Permission.READ_WRITE),)
    assert (account.keys, account.uid, account.proof, account.start, account.password_hash) == (
        (KEY,),
        1001,
        Proof.BOTH,
        "/in",
        "",
    )
    assert service.asked[0][1] == {"version": 1, "question": "find", "user": "acme"}


def test_a_password_is_asked_each_time_and_the_address_goes_along():
    def answer(asked):
        return reply({"user": USER if asked.get("password") == "right" else None})

    with Service(answer) as service:
        provider = identity(service, "cache = '1h'")

        async def ask():
            return [
                await provider.check("acme", Secret("wrong"), "192.0.2.1"),
                await provider.check("acme", Secret("right"), "192.0.2.1"),
                await provider.check("acme", Secret("right"), "192.0.2.1"),
            ]

        wrong, right, again = asyncio.run(ask())
    assert wrong is None
    assert right == again
    assert [asked["address"] for _, asked in service.asked] == ["192.0.2.1"] * 3


def test_a_user_with_keys_alone_has_no_password_that_works():
    with Service(lambda _: reply({"user": USER | {"proof": "key"}})) as service:
        assert asyncio.run(identity(service).check("acme", Secret("x"), "192.0.2.1")) is None


@pytest.mark.parametrize("answer", [lambda _: reply({"user": None}), lambda _: reply({}, "404 Not Found")])
def test_a_user_that_the_service_does_not_know_is_nobody(answer):
    with Service(answer) as service:
        assert find(service) is None


def test_who_is_looked_up_is_remembered_for_a_moment_and_within_a_bound(monkeypatch):
    from lakelink.gateway import identity_http

    monkeypatch.setattr(identity_http, "MOST_KEPT", 2)
    with Service(lambda _: reply({"user": USER})) as service:
        provider = identity(service, "cache = '1h'")

        async def ask():
            for name in ("a", "a", "b", "c", "a"):
                await provider.find(name)

        asyncio.run(ask())
        assert [asked["user"] for _, asked in service.asked] == ["a", "b", "c", "a"]
        assert len(provider._kept) == 2


def slowly(_asked):
    yield b"HTTP/1.1 200 OK\r\n"
    time.sleep(1.5)
    yield b"Content-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: reply({"user": {"folders": "all"}}), Unreachable),
        (lambda _: reply({"user": USER | {"password_hash": "$6$x"}}), Unreachable),
        (lambda _: reply({"user": USER | {"keys": ["rubbish"]}}), Unreachable),
        (lambda _: reply({"user": USER | {"allow": ["everywhere"]}}), Unreachable),
        (lambda _: reply({}), Unreachable),
        (lambda _: reply({"user": USER}, "500 Oops"), Unreachable),
        (lambda _: reply({}, "302 Found"), Unreachable),
        (lambda _: reply({}, "401 No"), NotPermitted),
        (lambda _: [b"not HTTP at all\r\n\r\n"], Unreachable),
        (lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"], Unreachable),
        (lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"], Unreachable),
        (lambda _: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], Unreachable),
        (lambda _: [], Unreachable),
        (slowly, Unreachable),
    ],
)
def test_an_answer_that_is_none_lets_nobody_in(answer, error):
    with Service(answer) as service, pytest.raises(error):
        find(service)


def test_a_service_that_is_not_there_lets_nobody_in():
    with Service(lambda _: []) as service:
        pass
    with pytest.raises(Unreachable):
        find(service)


def test_chunked_answers_and_answers_until_the_end_are_read():
    body = json.dumps({"user": None}).encode()
    chunked = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n",
    ]
    for answer in (chunked, [b"HTTP/1.0 200 OK\r\n\r\n" + body]):
        with Service(lambda _, answer=answer: answer) as service:
            assert find(service) is None


def test_homes_outside_of_the_locations_of_the_settings_are_refused():
    with Service(lambda _: reply({"user": USER})) as service:
        assert find(service, extra='locations = ["s3://lake/partners"]') is not None
        with pytest.raises(Unreachable, match="none of its locations"):
            find(service, extra='locations = ["s3://lake/part"]')


def test_the_token_goes_along_and_neither_it_nor_a_password_is_logged(tmp_path, caplog):
    (tmp_path / "token").write_text("very-secret\n")
    (tmp_path / "token").chmod(0o600)
    caplog.set_level(logging.DEBUG)
    with Service(lambda _: reply({"user": {"folders": 1}})) as service:
        provider = identity(service, f'token_file = "{tmp_path}/token"')
        with pytest.raises(Unreachable) as caught:
            asyncio.run(provider.check("acme", Secret("my-password"), "192.0.2.1"))
    assert "Authorization: Bearer very-secret" in service.asked[0][0]
    seen = caplog.text + str(caught.value) + repr(provider.__dict__)
    assert "very-secret" not in seen
    assert "my-password" not in seen


def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_of_our_own_authority_taken(tmp_path):
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *names]
    try:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Service(lambda _: reply({"user": None}), context) as service:
        with pytest.raises(Untrusted):
            asyncio.run(identity(service, scheme="https").find("acme"))
        trusting = identity(service, f'ca_bundle = "{tmp_path}/cert.pem"', "https")
        assert asyncio.run(trusting.find("acme")) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('url = "http://id.example.com/"', "https"),
        ('url = "ftp://localhost/"', "https"),
        ("timeout = '1s'", "url is missing"),
        ('url = "https://x/"\ntimeout = "0s"', "above zero"),
        ('url = "https://x/"\ntoken_env = "LAKELINK_NO_SUCH"', "is not set"),
        ('url = "https://x/"\nuser = "x"', "unknown setting"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(tmp_path, text, complaint):
    document = parse_document(f"[gateway.identity]\n{text}\n", tmp_path / "lakelink.toml")
    with pytest.raises(ConfigError, match=complaint):
        identity_service(document)


def test_without_the_section_there_is_no_service(tmp_path):
    assert identity_service(parse_document("", tmp_path / "lakelink.toml")) is None
