"""What users do over SFTP is in the linked directory at once. No events are pushed here, and the lake is listed once an hour: the gateway tells."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import asyncssh
import pytest

from lakelink.api.calls import GetGateway
from lakelink.daemon.client import Client
from tests.e2e.program import make_tree
from tests.e2e.serving import PATIENCE_S, InProcess, Lake, serving

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client (apt: openssh-client)"
)

SETTINGS = """
[gateway]
listen = "0"
workers = 2
[[gateway.workflows]]
name = "put-aside"
files = ["*.done"]
move = "{lake}/acme/aside/{{name}}"
"""
DAY_NS = 86_400_000_000_000
UPLOADS = 25


@pytest.fixture(scope="module")
def scene(tmp_path_factory, seaweed):
    """A daemon with a gateway of two workers and a link of the partner's home, and a client that is logged in twice."""
    folder = tmp_path_factory.mktemp("dropped")
    program = InProcess(folder, seaweed, folder.name)
    (folder / "lakelink.toml").write_text(SETTINGS.format(lake=program.lake))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id"], check=True)
    received = make_tree(folder / "received", {})
    added = program(
        "gateway",
        "user",
        "add",
        "acme",
        "--home",
        f"{program.lake}/acme",
        "--key",
        "id.pub",
        "--uid",
        "1234",
        "--gid",
        "4321",
    )
    assert added.code == 0, added.err
    assert program("link", "add", "acme", received, f"{program.lake}/acme", "--list-interval", "1h").code == 0
    with serving(program) as daemon:
        daemon.available("acme")
        yield Scene(program, received)
        assert daemon.stop() == 0


class Scene:
    def __init__(self, program, received):
        self.received: Path = received
        self.lake = Lake(program)
        self._key = str(program.folder / "id")
        self._port = int(Client(program.folder / "state" / "gateway").ask(GetGateway()).listening[0].rpartition(":")[2])

    def play(self, story):
        """Run a story, given a client."""

        async def session():
            options = {"username": "acme", "client_keys": [self._key], "known_hosts": None, "config": None}
            async with (
                asyncssh.connect("127.0.0.1", self._port, **options) as client,
                client.start_sftp_client() as sftp,
            ):
                return await story(sftp)

        return asyncio.run(session())

    async def seen(self, condition, what):
        """Seconds until it is so in the linked directory."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < PATIENCE_S, what
            await asyncio.sleep(0.001)
        return time.monotonic() - began

    def names(self):
        return {path.name for path in self.received.iterdir() if path.name != ".lakelink"}

    async def put(self, sftp, name, content):
        async with sftp.open(name, "wb") as file:
            await file.write(content)


def test_an_upload_is_a_file_with_its_owner_and_times(scene):
    content = os.urandom(3 << 20)
    modified_s = (time.time_ns() - DAY_NS) // 1_000_000_000

    async def story(sftp):
        await scene.put(sftp, "/order.bin", content)
        await sftp.setstat("/order.bin", asyncssh.SFTPAttrs(permissions=0o640, atime=modified_s, mtime=modified_s))
        found = scene.received / "order.bin"
        await scene.seen(lambda: found.exists() and found.stat().st_mtime_ns == modified_s * 10**9, "its times")
        return found

    found = scene.play(story)
    assert found.read_bytes() == content
    told = found.stat()
    assert stat.S_IMODE(told.st_mode) == 0o640
    if os.geteuid() == 0:
        assert (told.st_uid, told.st_gid) == (1234, 4321)


def test_every_upload_is_there_soon(scene):
    """How soon is printed; docs/benchmarks.md has figures of a quiet machine."""

    async def story(sftp):
        took = []
        for number in range(UPLOADS):
            path = scene.received / f"small-{number}"
            await scene.put(sftp, path.name, b"%d\n" % number * 100)
            took.append(await scene.seen(path.exists, path.name))
            assert path.read_bytes() == b"%d\n" % number * 100
        return sorted(took)

    took = scene.play(story)
    print(
        f"CLOSE answered until the file is there: p50 {took[len(took) // 2] * 1e3:.0f} ms, at most {took[-1] * 1e3:.0f} ms"
    )


def test_renames_removals_and_directories_come_as_soon(scene):
    async def story(sftp):
        await sftp.mkdir("/in")
        await scene.seen((scene.received / "in").is_dir, "a directory")
        await scene.put(sftp, "/in/a.filepart", b"whole")
        await sftp.posix_rename("/in/a.filepart", "/in/a")
        await scene.seen((scene.received / "in/a").exists, "a file under its last name")
        await scene.seen(lambda: not (scene.received / "in/a.filepart").exists(), "its first name to go")
        await scene.put(sftp, "/in/b", b"two")
        await scene.seen((scene.received / "in/b").exists, "a second file")
        await sftp.rename("/in", "/done")
        await scene.seen(
            lambda: (scene.received / "done/a").exists() and (scene.received / "done/b").exists(), "the move"
        )
        await scene.seen(lambda: not (scene.received / "in").exists(), "the old directory to go")
        await sftp.remove("/done/b")
        await scene.seen(lambda: not (scene.received / "done/b").exists(), "a removal")

    scene.play(story)
    assert (scene.received / "done/a").read_bytes() == b"whole"
    assert "in" not in scene.names()


def test_many_uploads_at_once_are_all_there(scene):
    async def drop(sftp, number):
        for each in range(25):
            await scene.put(sftp, f"/bulk-{number}-{each}", b"x" * each)

    async def story(sftp):
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(drop(sftp, number))
        wanted = {f"bulk-{number}-{each}" for number in range(8) for each in range(25)}
        await scene.seen(lambda: wanted <= scene.names(), "all of them")

    scene.play(story)


def test_what_a_workflow_moves_is_moved_in_the_directory(scene):
    async def story(sftp):
        await scene.put(sftp, "/order.done", b"done")
        await scene.seen((scene.received / "aside/order.done").exists, "the file at its new place")
        await scene.seen(lambda: not (scene.received / "order.done").exists(), "its old place to be empty")

    scene.play(story)
