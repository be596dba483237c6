"""The daemon's interface over a real socket: calls, errors, limits, streams, and who may ask."""

import asyncio
import contextlib
import os
import socket
import stat
import threading

import msgspec
import pytest

from lakelink.api.answers import Daemon, Settled, WirePath, wire_path
from lakelink.api.calls import CALLS, Call, DescribeDaemon, SettleLink, ShowLink, answer_type
from lakelink.api.failure import error_of, failure_of
from lakelink.api.principal import Principal
from lakelink.daemon import endpoint, http, server
from lakelink.daemon.client import Client
from lakelink.daemon.server import ApiServer
from lakelink.errors import Busy, InternalError, NoDaemon, NotFound, NotPermitted, Refused, Unreachable, UsageError
from lakelink.model.linkspec import LinkState, LinkStatus

DAEMON = Daemon(pid=1, version="0", uid=0, started_ns=0, state_dir="/s", settings="")
STATUS = LinkStatus(
    name="logs", ident="i", files="/srv", lake="s3://lake", state=LinkState.AVAILABLE, paused=False, declared=False
)


@contextlib.contextmanager
def serving(folder, handler):
    """The server in a thread with a loop of its own, so that the client blocks as it does in a command."""
    ready, end = threading.Event(), threading.Event()

    async def main():
        api = ApiServer(folder, handler)
        await api.start()
        ready.set()
        await asyncio.to_thread(end.wait)
        await api.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(30)
        yield Client(folder)
    finally:
        end.set()
        thread.join(30)
        assert not thread.is_alive()


async def describe(asked):
    assert asked.principal == Principal(os.geteuid(), os.getegid(), os.getpid())
    return DAEMON


def raw(folder, data):
    with contextlib.closing(endpoint.connect(folder, 30)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_call_is_answered_and_knows_who_asks(tmp_path):
    with serving(tmp_path, describe) as client:
        assert client.ask(DescribeDaemon()) == DAEMON
        mode = (tmp_path / endpoint.SOCKET).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not (tmp_path / endpoint.SOCKET).exists()


def test_a_deep_state_directory_is_no_obstacle(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 12)
    deep.mkdir(parents=True)
    with serving(deep, describe) as client:
        assert client.ask(DescribeDaemon()) == DAEMON


def test_errors_arrive_as_what_they_were(tmp_path):
    async def refuse(asked):
        raise Busy("a task runs", hint="Wait.")

    with serving(tmp_path, refuse) as client:
        with pytest.raises(Busy, match="a task runs") as caught:
            client.ask(DescribeDaemon())
        assert caught.value.hint == "Wait."
        assert caught.value.exit_code == 3


def test_a_defect_is_told_and_the_server_goes_on(tmp_path):
    async def fail(asked):
        if isinstance(asked.call, ShowLink):
            raise ZeroDivisionError("oops")
        return DAEMON

    with serving(tmp_path, fail) as client:
        with pytest.raises(InternalError, match="ZeroDivisionError: oops"):
            client.ask(ShowLink(link="x"))
        assert client.ask(DescribeDaemon()) == DAEMON


def test_a_long_call_beats_and_then_answers(tmp_path):
    async def settle(asked):
        asked.beat(Settled(settled=False, status=STATUS))
        await asyncio.sleep(0.05)
        return Settled(settled=True, status=STATUS)

    beats = []
    with serving(tmp_path, settle) as client:
        answer = client.ask(SettleLink(link="logs", timeout_s=1), beats.append)
    assert answer.settled
    assert [beat.settled for beat in beats] == [False]


def test_a_silent_long_call_still_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "BEAT_S", 0.02)
    monkeypatch.setattr("lakelink.daemon.client.BEAT_WITHIN_S", 20.0)
    lines = []

    async def settle(asked):
        await asyncio.sleep(0.2)
        raise Refused("no")

    with serving(tmp_path, settle) as client:
        monkeypatch.setattr(
            client, "_lines", lambda call, inner=client._lines: (lines.append(x) or x for x in inner(call))
        )
        with pytest.raises(Refused):
            client.ask(SettleLink(link="logs", timeout_s=1))
    assert len(lines) > 2


def test_a_long_call_ends_when_its_asker_leaves(tmp_path):
    ended = threading.Event()

    async def settle(asked):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with serving(tmp_path, settle):
        with contextlib.closing(endpoint.connect(tmp_path, 30)) as connection:
            body = msgspec.json.encode(SettleLink(link="logs", timeout_s=1))
            connection.sendall(b"POST /v1/link-settle HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert ended.wait(30)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /v1/daemon HTTP/2\r\n\r\n", 400),
        (b"POST /v1/daemon HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /v1/daemon HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v1/daemon HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/daemon HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/daemon HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"POST /v1/daemon HTTP/1.1\r\nX: " + b"x" * (http.HEAD_BYTES + 1000) + b"\r\n\r\n", 431),
        (b"POST /v1/daemon HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", 400),
        (b"POST /v1/nothing HTTP/1.1\r\n\r\n", 404),
        (b"POST /nothing HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1/daemon HTTP/1.1\r\n\r\n", 400),
        (b'POST /v1/daemon HTTP/1.1\r\nContent-Length: 7\r\n\r\n{"a":1}', 400),
        (b"POST /v1/daemon HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 200),
    ],
)  # fmt: skip
def test_strange_requests_are_refused_and_the_server_goes_on(tmp_path, request_bytes, status):
    with serving(tmp_path, describe) as client:
        answer = raw(tmp_path, request_bytes)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        if status != 200:
            _, _, body = answer.partition(b"\r\n\r\n")
            assert msgspec.json.decode(body)["failure"]["message"]
        assert client.ask(DescribeDaemon()) == DAEMON


def test_a_request_that_trickles_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(http, "READ_WITHIN_S", 0.1)
    with serving(tmp_path, describe), contextlib.closing(endpoint.connect(tmp_path, 30)) as connection:
        connection.sendall(b"POST /v1/dae")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_too_many_calls_at_once_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "CONNECTIONS", 1)
    with serving(tmp_path, describe) as client, contextlib.closing(endpoint.connect(tmp_path, 30)) as idle:
        idle.sendall(b"POST ")
        with pytest.raises(Unreachable, match="calls are under way"):
            client.ask(DescribeDaemon())


def test_a_call_that_takes_too_long_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "ANSWER_WITHIN_S", 0.05)

    async def hang(asked):
        await asyncio.sleep(60)

    with serving(tmp_path, hang) as client, pytest.raises(Unreachable, match="not answered within"):
        client.ask(DescribeDaemon())


def test_without_a_daemon_the_hint_says_how_to_start_one(tmp_path):
    with pytest.raises(NoDaemon) as caught:
        Client(tmp_path).ask(DescribeDaemon())
    assert "lakelink serve" in caught.value.hint


def test_a_dead_daemon_s_socket_is_no_daemon_and_is_replaced(tmp_path):
    endpoint.listen(tmp_path).close()
    with pytest.raises(NoDaemon):
        Client(tmp_path).ask(DescribeDaemon())
    with serving(tmp_path, describe) as client:
        assert client.ask(DescribeDaemon()) == DAEMON


def test_only_the_owner_and_root_may_ask():
    Principal(1000, 1000, 1).check(1000)
    Principal(0, 0, 1).check(1000)
    with pytest.raises(NotPermitted, match="user 1001"):
        Principal(1001, 1001, 1).check(1000)


def test_errors_go_over_the_wire_and_back():
    for error in (UsageError("a", hint="b"), NotFound("c"), InternalError("d")):
        again = error_of(failure_of(error))
        assert type(again) is type(error)
        assert (again.message, again.hint, again.exit_code) == (error.message, error.hint, error.exit_code)
    unknown = error_of(msgspec.structs.replace(failure_of(Refused("x")), code="LL999", exit_code=3))
    assert (unknown.code, unknown.exit_code) == ("LL999", 3)
    assert failure_of(NotFound("a\udcff")).message == "a\\udcff"


def test_paths_travel_exactly():
    for path in ("a/b", "caf\u00e9", "not\udcff/utf8", "100%"):
        again = msgspec.json.decode(msgspec.json.encode(wire_path(path)), type=WirePath)
        assert again.exact == path


def test_every_call_has_a_name_and_an_answer():
    assert len(CALLS) == len(Call.__subclasses__())
    for name, kind in CALLS.items():
        assert name
        msgspec.json.Decoder(answer_type(kind))
