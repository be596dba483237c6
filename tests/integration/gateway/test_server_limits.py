"""What a server bears: floods, slow clients, guessing, balancers, and what it offers to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest

from lakelink.gateway.server import login, options
from lakelink.gateway.server.pace import Pace
from lakelink.gateway.server.throttle import ThrottleRule
from tests.integration.gateway.server_scene import PASSWORD, account, server

MIB = 1 << 20


def rss_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def knock(port, first=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    return reader, writer


async def hang_up(connections):
    for _, writer in connections:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in connections), return_exceptions=True)


def test_hundreds_of_half_open_connections_are_bounded_and_an_honest_client_comes_in(tmp_path):
    settings = "max_half_open = 40\nmax_half_open_per_address = 30\nmax_sessions = 10"

    async def story():
        async with server(tmp_path, [account()], settings) as scene:
            before = rss_bytes()
            connections = [await knock(scene.port, b"SSH-2.0-slow\r\n") for _ in range(400)]
            await scene.until(lambda: len(scene.worker.server._listener._tasks) == 0, "all to be greeted")
            grown, half_open = rss_bytes() - before, scene.shared.half_open
            await hang_up(connections)
            await scene.until(lambda: scene.shared.half_open == 0, "all to be gone")
            async with scene.connect():
                pass
            return grown, half_open, scene.worker.server._counts, len(scene.audit("connect"))

    grown, half_open, counts, lines = asyncio.run(story())
    assert 1 <= half_open <= 30
    assert grown < 40 * MIB
    refused = counts["refused_too_many_from_address"] + counts["refused_too_many_half_open"]
    assert refused + half_open == 400
    assert lines < 400  # a flood does not fill the disk
    assert counts["logins"] == 1


def test_who_does_not_log_in_in_time_is_let_go(tmp_path):
    async def story():
        async with server(tmp_path, [account()], 'login_timeout = "1s"') as scene:
            reader, writer = await knock(scene.port, b"SSH-2.0-slow\r\n")
            async with asyncio.timeout(30):
                said = await reader.read()
            writer.close()
            return said, scene.shared.half_open

    said, half_open = asyncio.run(story())
    assert said.startswith(b"SSH-2.0-lakelink\r\n")
    assert half_open == 0


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 1000,
        b"\0" * 5000,
        b"SSH-2.0-x\r\n" + b"\xff" * 5000,
        b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14" + b"\0" * 500,
        b"SSH-1.5-x\r\n",
    ],
)
def test_what_is_no_ssh_is_hung_up_on(tmp_path, bytes_):
    async def story():
        async with server(tmp_path, [account()], 'login_timeout = "1s"') as scene:
            reader, writer = await knock(scene.port, bytes_)
            async with asyncio.timeout(30):
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            writer.close()
            async with scene.connect():
                return scene.shared.half_open

    assert asyncio.run(story()) == 0


def test_a_client_may_fail_only_so_often_in_one_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "NO_BEFORE_S", 0.01)
    monkeypatch.setattr("lakelink.gateway.server.throttle.FREE_FAILURES", 100)
    tried = []

    class Guesser(asyncssh.SSHClient):
        def password_auth_requested(self):
            tried.append(len(tried))
            return f"guess{len(tried)}"

        def kbdint_auth_requested(self):
            return None

    async def story():
        async with server(tmp_path, [account()], "max_attempts = 4") as scene:
            return await scene.refused(client_keys=None, client_factory=Guesser)

    assert "Too many authentication failures" in str(asyncio.run(story()))
    assert len(tried) == 4


def test_who_guesses_is_answered_later_each_time_and_then_shut_out_before_ssh_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "NO_BEFORE_S", 0.01)
    slept = []
    really = asyncio.sleep

    async def sleep(seconds, *rest):
        if seconds > 0.3:
            slept.append(seconds)
            seconds = 0
        return await really(seconds, *rest)

    async def story():
        async with server(tmp_path, [account()], rule=ThrottleRule(failures=6)) as scene:
            monkeypatch.setattr(login.asyncio, "sleep", sleep)
            for _ in range(6):
                await scene.refused(client_keys=None, password="wrong", preferred_auth="password")
            reader, writer = await knock(scene.port)
            said = await reader.read()
            writer.close()
            await scene.audited("connect", reason="banned")
            assert list(scene.shared.throttle.banned(scene.shared._clock.monotonic())) == ["127.0.0.1"]
            scene.shared.throttle.lift("127.0.0.1")
            async with scene.connect():
                return said

    assert asyncio.run(story()) == b""
    waited = [seconds for seconds in slept if seconds != 1.0]  # the server's own report sleeps a second
    assert waited == sorted(waited)
    assert waited[-1] > waited[0] >= 0.5


def test_a_known_and_an_unknown_name_are_told_the_same_by_the_same_work(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "NO_BEFORE_S", 0.01)
    names = ["ann", "locked", "keys", "nobody"]

    async def story():
        people = [account(), account("locked", is_enabled=False), account("keys", password_hash="")]
        async with server(tmp_path, people) as scene:
            checks, told = [], []
            for name in names:
                before = scene.worker.passwords.checks
                error = await scene.refused(name, client_keys=None, password="wrong", preferred_auth="password")
                methods = await asyncssh.get_server_auth_methods("127.0.0.1", scene.port, name, config=None)
                checks.append(scene.worker.passwords.checks - before)
                told.append((type(error), str(error).replace(name, "NAME"), methods))
            return checks, told

    checks, told = asyncio.run(story())
    assert checks == [checks[0]] * len(names)
    assert checks[0] >= 1
    assert told == [told[0]] * len(names)


def test_sessions_of_a_user_and_of_all_are_bounded(tmp_path):
    async def story():
        people = [account(max_sessions=2), account("bob")]
        async with server(tmp_path, people, "max_sessions = 3") as scene:
            async with scene.connect(), scene.connect():
                third = await scene.refused()
                async with scene.connect("bob"):
                    fourth = await scene.refused("bob")
            await scene.until(lambda: not scene.shared.sessions, "all to be gone")
            async with scene.connect():
                await scene.audited("login", reason="too-many-sessions")
                return third, fourth, [line["reason"] for line in scene.audit("login") if line["result"] == "failed"]

    third, fourth, reasons = asyncio.run(story())
    assert "Too many sessions" in str(third)
    assert "Too many sessions" in str(fourth)
    assert reasons == ["too-many-sessions-of-user", "too-many-sessions"]


def test_channels_and_handles_of_a_session_are_bounded(tmp_path):
    async def story():
        settings = "max_channels = 2\nmax_handles = 3"
        async with server(tmp_path, [account()], settings) as scene, scene.connect() as client:
            async with client.start_sftp_client() as one, client.start_sftp_client():
                with pytest.raises(asyncssh.ChannelOpenError):
                    await client.start_sftp_client()
                files = [await one.open(f"/{number}", "wb") for number in range(3)]
                with pytest.raises(asyncssh.SFTPError, match="Too many"):
                    await one.open("/3", "wb")
                for file in files:
                    await file.close()
            await scene.until(
                lambda: not next(iter(scene.worker.server._inside.values())).channels, "channels to close"
            )
            async with client.start_sftp_client() as again:
                return sorted(await again.listdir("/"))

    names = asyncio.run(story())
    assert [name for name in names if not name.startswith(".")] == ["0", "1", "2"]


def test_who_is_idle_is_let_go(tmp_path):
    async def story():
        async with server(tmp_path, [account()], 'idle_timeout = "500ms"') as scene:
            async with scene.connect() as client:
                async with asyncio.timeout(30):
                    await client.wait_closed()
            await scene.audited("idle")

    asyncio.run(story())


def test_a_client_that_is_silent_is_asked_whether_it_lives_and_let_go_when_it_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "KEEPALIVE_S", 0.2)
    asked = []
    answers = asyncssh.SSHClientConnection._process_keepalive_at_openssh_dot_com_global_request

    def answer(self, packet):
        asked.append(self)
        answers(self, packet)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "_process_keepalive_at_openssh_dot_com_global_request", answer)

    async def story():
        async with server(tmp_path, [account()]) as scene, scene.connect() as alive, scene.connect() as dead:
            dead._transport.pause_reading()
            inside = scene.worker.server._inside
            await scene.until(lambda: len(inside) == 1, "the silent one to be let go")
            await scene.until(lambda: asked.count(alive) > 4, "the other one to be asked again and again")
            assert len(inside) == 1
            dead.abort()

    asyncio.run(story())


def test_a_kick_ends_the_session_and_its_upload_leaves_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_text("old")

    async def story():
        from lakelink.model.account import Folder

        people = [account(folders=(Folder(path="/", location=str(home)),))]
        async with server(tmp_path, people) as scene:
            async with scene.connect() as client, client.start_sftp_client() as sftp:
                file = await sftp.open("/file", "wb")
                await file.write(b"half of the new")
                (session,) = scene.shared.sessions
                scene.worker.server.kick([session.id, "nobody"])
                async with asyncio.timeout(30):
                    await client.wait_closed()
            await scene.until(lambda: not scene.shared.sessions, "the session to be gone")
            await scene.audited("kick", user="ann")
            await scene.audited("logout", user="ann")

    asyncio.run(story())
    assert (home / "file").read_text() == "old"
    assert [path.name for path in home.iterdir() if path.name != ".lakelink"] == ["file"]


def v2(address):
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton(address) + b"\x0a\0\0\1" + b"\x30\x39\x08\xae"


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 2222\r\n", v2("203.0.113.9")])
def test_behind_a_trusted_balancer_lists_and_logs_see_the_client(tmp_path, header):
    async def through(scene, user):
        """A connection over a socket on which the header has been said."""
        sock = socket.create_connection(("127.0.0.1", scene.port))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(sock, header)
        async with scene.connect(user, sock=sock, client_keys=None, password=PASSWORD):
            return scene.shared.sessions

    async def story():
        people = [account(allow=("203.0.113.0/24",)), account("bob", allow=("127.0.0.0/8",))]
        settings = 'trusted_proxies = ["127.0.0.1"]\nallow = ["203.0.113.0/24"]'
        async with server(tmp_path, people, settings) as scene:
            (session,) = await through(scene, "ann")
            with pytest.raises(asyncssh.PermissionDenied):
                await through(scene, "bob")
            return session, await scene.audited("login", user="ann", result="done")

    session, line = asyncio.run(story())
    assert (session.address, session.port, line["address"]) == ("203.0.113.9", 12345, "203.0.113.9")


def test_a_balancer_that_says_nothing_and_a_stranger_that_says_it_is_one_get_nowhere(tmp_path):
    async def story(settings, first):
        async with server(tmp_path, [account()], settings) as scene:
            reader, writer = await knock(scene.port, first)
            try:
                async with asyncio.timeout(30):
                    said = await reader.read()
            except ConnectionError:
                said = b""
            writer.close()
            return said, dict(scene.worker.server._counts)

    trusted = 'login_timeout = "1s"\ntrusted_proxies = ["127.0.0.1"]'
    said, counts = asyncio.run(story(trusted, b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert (said, counts["refused_bad_proxy_header"]) == (b"", 1)
    said, counts = asyncio.run(story(trusted, b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n" + b"x" * 300))
    assert said.startswith(b"SSH-2.0-lakelink")  # what stands behind the header belongs to the stream
    said, _ = asyncio.run(story('login_timeout = "2s"', b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n" + b"\r\n" * 50))
    assert b"203" not in said


def test_the_list_of_the_gateway_is_asked_before_a_word_of_ssh(tmp_path):
    async def story():
        async with server(tmp_path, [account()], 'allow = ["192.0.2.0/24"]') as scene:
            reader, writer = await knock(scene.port)
            said = await reader.read()
            writer.close()
            await scene.audited("connect", reason="not-allowed", address="127.0.0.1")
            return said

    assert asyncio.run(story()) == b""


def audit_of(port):
    command = [sys.executable, "-m", "ssh_audit.ssh_audit", "-j", "--skip-rate-test", "-p", str(port), "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("policy", ["modern", "compatible"])
def test_ssh_audit_has_nothing_to_say_about_the_modern_policy(tmp_path, policy):
    """Except that a classical key exchange is not safe from quantum computers: it is what clients before OpenSSH 9.9 can do."""

    async def story():
        async with server(tmp_path, [account()], f'policy = "{policy}"') as scene:
            return await asyncio.to_thread(audit_of, scene.port)

    found = asyncio.run(story())
    said = [
        (kind, note)
        for group in ("kex", "key", "enc", "mac")
        for algorithm in found[group]
        for kind, notes in algorithm.get("notes", {}).items()
        if kind in {"fail", "warn"}
        for note in notes
    ]
    assert found["kex"][0]["algorithm"] == "mlkem768x25519-sha256"
    assert any(each["algorithm"] == "kex-strict-s-v00@openssh.com" for each in found["kex"])
    assert found["compression"] == ["none"]
    assert found["cves"] == []
    unsafe = [each for each in said if each[1] != "does not provide protection against post-quantum attacks"]
    assert (unsafe == []) is (policy == "modern")


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
def test_an_old_client_gets_on_with_the_compatible_policy_only(tmp_path):
    old = {
        "kex_algs": ["diffie-hellman-group14-sha1"],
        "encryption_algs": ["aes128-ctr"],
        "mac_algs": ["hmac-sha1"],
    }

    async def story(policy):
        async with server(tmp_path, [account()], f'policy = "{policy}"') as scene:
            try:
                async with scene.connect(**old):
                    return True
            except asyncssh.Error:
                return False

    assert asyncio.run(story("compatible"))
    assert not asyncio.run(story("modern"))


def test_several_host_keys_are_announced_and_proved(tmp_path):
    from lakelink.gateway.server.hostkeys import HostKeys

    (tmp_path / "state").mkdir()
    HostKeys(tmp_path / "state").generate(["ed25519", "rsa", "ed25519"])
    known = []

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, host, addr, port, key):
            known.append(key.get_fingerprint())
            return True

    async def story():
        async with server(tmp_path, [account()]) as scene:
            announced = asyncio.get_running_loop().create_future()

            def learn(added, removed, retained, revoked):
                announced.set_result([key.get_fingerprint() for key in added])

            options = {"client_factory": Client, "known_hosts": ([], [], []), "server_host_keys_handler": learn}
            async with scene.connect(**options):
                async with asyncio.timeout(30):
                    return await announced

    added = asyncio.run(story())
    listed = [key.fingerprint for key in HostKeys(tmp_path / "state").list()]
    assert known[0] in listed[:2]  # the first of its type
    assert set(added) | {known[0]} == set(listed)


def test_environment_variables_are_not_taken(tmp_path):
    async def story():
        async with server(tmp_path, [account()]) as scene, scene.connect() as client:
            async with client.start_sftp_client(env={f"A{number}": "x" * 1000 for number in range(100)}) as sftp:
                await sftp.listdir("/")
            (session,) = scene.worker.server._inside.values()
            return [channel.get_environment() for channel in session.channels]

    assert all(not environment for environment in asyncio.run(story()))


def test_a_user_moves_no_more_than_its_bandwidth_over_all_its_sessions(tmp_path, monkeypatch):
    """By the server's own clock: it goes forward by what is waited, so the test takes no such time."""
    rate, size = 100_000, 400_000
    content = bytes(range(256)) * (size // 256 + 1)
    clock = [0.0]
    waited = []

    def at_once(loop, really):
        def call_later(delay_s, callback, *args, **options):
            if getattr(callback, "__name__", "") in {"_read_on", "_flush_now"}:
                waited.append(delay_s)
                clock[0] += delay_s
                delay_s = 0
            return really(delay_s, callback, *args, **options)

        monkeypatch.setattr(loop, "call_later", call_later)

    async def story():
        loop = asyncio.get_running_loop()
        at_once(loop, loop.call_later)
        async with server(tmp_path, [account(bandwidth_bytes_per_s=rate)]) as scene:
            pace = Pace(rate, lambda: clock[0])
            monkeypatch.setattr(scene.worker.server, "pace", lambda _: pace)
            async with scene.connect() as one, one.start_sftp_client() as first, first.open("/x", "wb") as file:
                await file.write(content[:size])
            up_s = sum(waited)
            async with scene.connect() as two, two.start_sftp_client() as second, second.open("/x", "rb") as file:
                got = await file.read()
            return got, up_s, sum(waited) - up_s

    got, up_s, down_s = asyncio.run(story())
    assert got == content[:size]
    for seconds in (up_s, down_s):
        assert 0.9 * size / rate <= seconds <= 1.3 * size / rate
