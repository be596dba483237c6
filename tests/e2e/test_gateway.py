"""The gateway as its operator meets it: users by command, several workers, kicks, drains, reloads, crashes; and uploads that reach the lake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import asyncssh
import pytest

from lakelink.api.calls import GetGateway, ListSessions
from lakelink.daemon.client import Client
from tests.e2e.program import make_tree
from tests.e2e.serving import InProcess, Lake, serving, wait_for

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)

PATIENCE_S = 60.0
needs_openssh = pytest.mark.skipif(
    shutil.which("sftp") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)


class Gateway:
    """A running `lakelink gateway serve`."""

    def __init__(self, program, process, port):
        self.program, self.process, self.port = program, process, port
        self.client = Client(Path(program.env["LAKELINK_STATE_DIR"]) / "gateway")

    def connect(self, user="acme"):
        key = str(self.program.folder / "id")
        return asyncssh.connect("127.0.0.1", self.port, username=user, client_keys=[key], known_hosts=None, config=None)

    def sessions(self):
        return self.client.ask(ListSessions())

    def status(self):
        return self.client.ask(GetGateway())


@contextlib.contextmanager
def gateway(program, settings="", *options):
    (program.folder / "lakelink.toml").write_text(f'[gateway]\nlisten = "0"\n{settings}\n', encoding="utf-8")
    process = program.start("gateway", "serve", "--json", "--log", "json", *options, stderr=None)
    try:
        text = ""
        while "}" not in text:
            line = process.stdout.readline().decode()
            assert line, "the gateway ended"
            text += line
        yield Gateway(program, process, int(json.loads(text)["listening"][0].rpartition(":")[2]))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_S)
        process.stdout.close()


def make_user(program, home):
    """A key, and the user acme who has it."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", program.folder / "id"]
    subprocess.run(command, check=True)
    ran = program("gateway", "user", "add", "acme", "--home", home, "--key", "id.pub")
    assert ran.code == 0, ran.err


@pytest.fixture
def here(tmp_path):
    """The program, a key, and the user acme at home in a directory."""
    program = InProcess(tmp_path)
    (tmp_path / "home").mkdir()
    make_user(program, "home")
    return program


def test_users_are_added_shown_changed_and_removed_by_commands(here):
    ran = here("gateway", "user", "show", "acme", "--json")
    said = subprocess.run(["ssh-keygen", "-lf", here.folder / "id.pub"], capture_output=True, text=True, check=True)
    fingerprint = said.stdout.split()[1]
    assert [key["fingerprint"] for key in ran.json["keys"]] == [fingerprint]
    assert ran.json["folders"][0]["location"] == str(here.folder / "home")
    assert here("gateway", "user", "add", "acme", "--home", "x").code == 3
    assert here("gateway", "user", "add", "bob").code == 2
    assert (
        here("gateway", "user", "update", "acme", "--allow", "192.0.2.0/24", "--folder", "/out=home:read-only").code
        == 0
    )
    ran = here("gateway", "user", "show", "acme", "--json")
    assert ran.json["allow"] == ["192.0.2.0/24"]
    assert [(each["path"], each["permission"]) for each in ran.json["folders"]] == [
        ("/", "read-write"),
        ("/out", "read-only"),
    ]
    assert here("gateway", "user", "update", "acme", "--allow", "192.0.2.1/24").code == 2
    assert here("gateway", "user", "key", "remove", "acme", fingerprint).code == 0
    assert "nobody can log in" in here("gateway", "user", "update", "acme", "--disable").err
    assert (
        here("gateway", "user", "list").out
        == f"acme  /={here.folder}/home /out={here.folder}/home:read-only  (no login, disabled)\n"
    )
    assert here("gateway", "user", "remove", "acme").code == 0
    assert here("gateway", "user", "remove", "acme").code == 1


def test_what_keeps_a_user_out_is_told_and_a_key_may_be_given_itself(here):
    line = (here.folder / "id.pub").read_text().strip()
    ran = here("gateway", "user", "add", "bob", "--home", "later", "--key", line, "--proof", "key+password")
    assert ran.code == 0
    assert "bob has no password, so nobody can log in" in ran.err
    assert f"{here.folder}/later is no directory" in ran.err
    assert "(no login)" in here("gateway", "user", "list").out
    ran = here("gateway", "user", "update", "bob", "--proof", "key", "--home", "home", "--bandwidth", "10MiB/s")
    assert (ran.code, ran.err) == (0, "")
    assert "bandwidth: 10 MiB/s" in here("gateway", "user", "show", "bob").out
    fingerprint = here("gateway", "user", "show", "bob", "--json").json["keys"][0]["fingerprint"]
    assert here("gateway", "user", "show", "acme", "--json").json["keys"][0]["fingerprint"] == fingerprint
    assert here("gateway", "user", "key", "add", "bob", "--key", "nothing.pub").code == 2
    assert here("gateway", "user", "key", "remove", "bob", fingerprint).out == "user bob has no keys\n"
    assert here("gateway", "kick", "--unban", "nonsense").code == 2


def test_a_password_comes_by_standard_input_and_is_never_shown(here):
    command = here.command("gateway", "user", "passwd", "acme", "--password-stdin")
    done = subprocess.run(
        command, input="correct horse\n", env=here.env, cwd=here.folder, capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (0, "user acme has another password\n")
    shown = here("gateway", "user", "show", "acme", "--json")
    assert shown.json["password"] in {"yescrypt", "sha512crypt"}
    assert "$" not in shown.out
    assert here("gateway", "user", "passwd", "acme", "--remove").code == 0
    assert here("gateway", "user", "show", "acme", "--json").json["password"] == ""


def test_declared_users_are_shown_and_changed_only_in_the_settings(here):
    line = (here.folder / "id.pub").read_text().strip()
    (here.folder / "lakelink.toml").write_text(f"[gateway.users.bob]\nhome = '/srv/bob'\nkeys = ['{line}']\n")
    assert "bob" in here("gateway", "user", "list").out
    assert here("gateway", "user", "show", "bob", "--json").json["declared"]
    for arguments in (
        ("remove", "bob"),
        ("update", "bob", "--disable"),
        ("add", "bob", "--home", "x"),
        ("passwd", "bob", "--remove"),
    ):
        ran = here("gateway", "user", *arguments)
        assert (ran.code, "declared in the settings" in ran.err) == (3, True), arguments


def test_without_a_gateway_commands_say_how_to_start_one(here):
    for arguments in (("sessions",), ("kick", "x")):
        ran = here("gateway", *arguments)
        assert ran.code == 4
        assert "lakelink gateway serve" in ran.err


def test_two_workers_share_a_port_and_what_they_know(here):
    async def story(running):
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            while len({session.worker for session in running.sessions()}) < 2:
                clients.append(await stack.enter_async_context(running.connect()))
                assert len(clients) < 40, "the kernel gives one worker everything"
            clients.append(await stack.enter_async_context(running.connect()))
            one, *_, other = sorted(running.sessions(), key=lambda session: session.worker)
            assert one.worker != other.worker
            ran = await asyncio.to_thread(here, "gateway", "kick", one.id, other.id, "--json")
            assert sorted(ran.json["kicked"]) == sorted([one.id, other.id])
            await until(lambda: len(running.sessions()) == len(clients) - 2)
            listed = await asyncio.to_thread(here, "gateway", "sessions", "--json")
            assert {each["user"] for each in listed.json["sessions"]} == {"acme"}
            await until(lambda: dict(running.status().counts).get("logins") == len(clients))  # told once a second
            await asyncio.to_thread(here, "gateway", "kick", "--user", "acme")
            await until(lambda: not running.sessions())

    with gateway(here, "workers = 2") as running:
        assert running.status().workers == 2
        asyncio.run(story(running))
        log = here("gateway", "log", "--operation", "kick", "--json")
        assert len(log.out.splitlines()) >= 2


async def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_a_worker_that_is_killed_is_replaced_and_its_sessions_are_gone(here):
    async def story(running):
        async with running.connect() as client:
            (session,) = running.sessions()
            os.kill(session.worker, signal.SIGKILL)
            await client.wait_closed()
            await until(lambda: not running.sessions() and running.status().workers == 1)

        async def again():
            async with running.connect():
                return running.sessions()[0].worker

        assert await again() != session.worker  # it waited on the socket until the next worker took it

    with gateway(here) as running:
        asyncio.run(story(running))


def test_a_stop_lets_a_transfer_end_and_takes_nobody_new(here):
    block = os.urandom(1 << 20)

    async def story(running):
        async with running.connect() as busy, running.connect() as idle, busy.start_sftp_client() as sftp:
            file = await sftp.open("/upload", "wb")
            await file.write(block)
            running.process.terminate()
            await idle.wait_closed()
            for _ in range(3):
                await file.write(block)
            with pytest.raises((OSError, asyncssh.Error)):
                async with running.connect():
                    pass
            await file.close()
            assert running.process.poll() is None
        await asyncio.to_thread(running.process.wait, PATIENCE_S)

    with gateway(here, 'drain = "1m"') as running:
        asyncio.run(story(running))
        assert running.process.returncode == 0
    assert (here.folder / "home" / "upload").read_bytes() == block * 4


def test_a_stop_does_not_wait_for_ever(here):
    async def story(running):
        async with running.connect() as busy, busy.start_sftp_client() as sftp:
            file = await sftp.open("/upload", "wb")
            await file.write(b"half")
            running.process.terminate()
            await busy.wait_closed()
        await asyncio.to_thread(running.process.wait, PATIENCE_S)

    with gateway(here, 'drain = "1s"') as running:
        asyncio.run(story(running))
    assert [path.name for path in (here.folder / "home").iterdir() if path.name != ".lakelink"] == []


def test_a_reload_brings_new_settings_to_new_sessions_and_leaves_the_old_ones_alone(here):
    async def story(running):
        async with running.connect() as old, old.start_sftp_client() as sftp:
            (session,) = running.sessions()
            file = await sftp.open("/upload", "wb")
            settings = '[gateway]\nlisten = "0"\npolicy = "compatible"\nbanner = "New rules"\n'
            (here.folder / "lakelink.toml").write_text(settings)
            running.process.send_signal(signal.SIGHUP)
            await until(lambda: running.status().policy == "compatible")
            async with running.connect():
                assert len({each.worker for each in running.sessions()}) == 2
            await file.write(b"still here")
            await file.close()
            assert session.id in {each.id for each in running.sessions()}
            (here.folder / "lakelink.toml").write_text("[gateway]\npolicy = 'nonsense'\n")
            running.process.send_signal(signal.SIGHUP)
            async with running.connect():
                assert running.status().policy == "compatible"
                for worker in {each.worker for each in running.sessions()}:
                    os.kill(worker, signal.SIGKILL)
            async with (
                running.connect()
            ):  # a worker that is started again has the settings that hold, and not those of the file
                assert running.status().policy == "compatible"

    with gateway(here) as running:
        asyncio.run(story(running))
    assert (here.folder / "home" / "upload").read_text() == "still here"


def test_a_second_gateway_of_the_state_directory_and_a_port_in_use_are_refused(here):
    with gateway(here) as running:
        ran = here("gateway", "serve", "--listen", "0")
        assert (ran.code, f"process {running.process.pid}" in ran.err) == (3, True)
        ran = here("gateway", "serve", "--listen", str(running.port), LAKELINK_STATE_DIR=str(here.folder / "other"))
        assert (ran.code, "cannot listen" in ran.err) == (2, True)


def test_idle_sessions_cost_so_little_that_five_hundred_fit_into_400_mib(here):
    """Measured with 500: 238 MiB in all. Here 60 tell what one costs."""

    def rss_bytes(pid):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    async def story(running):
        async with running.connect() as client, client.start_sftp_client() as sftp:
            await sftp.listdir("/")
            (worker,) = {session.worker for session in running.sessions()}
        await until(lambda: not running.sessions())
        before = rss_bytes(worker)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(60):
                client = await stack.enter_async_context(running.connect())
                sftp = await stack.enter_async_context(client.start_sftp_client())
                await sftp.listdir("/")
            grown = rss_bytes(worker) - before
            return rss_bytes(running.process.pid) + before + grown / 60 * 500

    with gateway(here, "max_sessions_per_user = 100\nmax_half_open_per_address = 100") as running:
        assert asyncio.run(story(running)) < 400 << 20


@needs_openssh
def test_an_upload_reaches_the_lake_and_through_a_link_a_directory(tmp_path, seaweed, s3_prefix):
    program = InProcess(tmp_path, seaweed, s3_prefix)
    lake = Lake(program)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    files = make_tree(tmp_path / "files", {"order.csv": "1,2,3\n"})
    received = make_tree(tmp_path / "received", {})
    (tmp_path / "lakelink.toml").write_text('[gateway]\nlisten = "0"\n[serve]\nmetrics = "0"\n')
    home = f"{program.lake}/acme"
    assert program("gateway", "user", "add", "acme", "--home", home, "--key", "id.pub").code == 0
    assert program("link", "add", "acme", received, home, "--list-interval", "1s").code == 0
    with serving(program) as daemon:
        daemon.available("acme")
        client = Client(tmp_path / "state" / "gateway")
        port = client.ask(GetGateway()).listening[0].rpartition(":")[2]
        options = (
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={tmp_path}/known",
            "BatchMode=yes",
        )
        done = subprocess.run(
            ["sftp", "-F", "/dev/null", "-i", tmp_path / "id", *(f"-o{each}" for each in options), "-P", port, "-b", "-", "acme@127.0.0.1"],
            input=f"put {files}/order.csv\n".encode(), capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert lake.text("acme/order.csv") == "1,2,3\n"
        wait_for((received / "order.csv").is_file, "the file to come through the link")
        assert (received / "order.csv").read_text() == "1,2,3\n"
        assert program("gateway", "kick", "--user", "acme").code == 0
        assert Client(tmp_path / "state").ask(ListSessions()) == []
        checks = {each["check"]: each for each in program("doctor", "--json").json["checks"]}
        assert checks["host keys"]["status"] == "ok"
        with urllib.request.urlopen(daemon.report().daemon.metrics) as page:  # noqa: S310  # http
            text = page.read().decode()
        assert 'lakelink_gateway_logins_total{result="done"} 1\n' in text
        assert "lakelink_gateway_uploaded_bytes_total 6\n" in text
        (tmp_path / "lakelink.toml").write_text('[serve]\nmetrics = "0"\n')
        daemon.send(signal.SIGHUP)
        wait_for(lambda: program("gateway", "sessions").code == 4, "the gateway to stop with its section")
        (tmp_path / "lakelink.toml").write_text('[gateway]\nlisten = "0"\n[serve]\nmetrics = "0"\n')
        daemon.send(signal.SIGHUP)
        wait_for(lambda: program("gateway", "sessions").code == 0, "the gateway to start with its section")
        assert daemon.stop() == 0
