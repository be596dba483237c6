"""OpenSSH's own client against the gateway, over homes in memory, on this machine and in a store."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess

import pytest

from lakelink.model.account import Folder
from tests.integration.gateway.sftp_server import gateway

pytestmark = pytest.mark.skipif(shutil.which("sftp") is None, reason="needs the OpenSSH client (apt: openssh-client)")

EVERYTHING = """\
put {0}/big big
put -p {0}/small small
put {0}/empty empty
mkdir d
put {0}/small d/s
get big {0}/big.back
get d/s {0}/small.back
get empty {0}/empty.back
rename small d/moved
ls -l d
df
rm d/moved
rm d/s
rmdir d
put {0}/small big
get big {0}/replaced.back
"""


async def sftp(running, script: str, *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "sftp",
        *running.options,
        *options,
        "-b",
        "-",
        "-P",
        str(running.port),
        "partner@127.0.0.1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(script.encode()), 120)
    return process.returncode, out.decode()


def test_files_go_up_come_back_move_and_go(home, tmp_path):
    big = os.urandom(20 << 20)
    (tmp_path / "big").write_bytes(big)
    (tmp_path / "small").write_bytes(b"hello")
    (tmp_path / "empty").touch()

    async def story():
        async with gateway(tmp_path, (Folder(path="/", location=home),)) as running:
            return await sftp(running, EVERYTHING.format(tmp_path)), running

    (code, out), running = asyncio.run(story())
    assert code == 0, out
    assert (tmp_path / "big.back").read_bytes() == big
    assert (tmp_path / "small.back").read_bytes() == b"hello"
    assert (tmp_path / "empty.back").read_bytes() == b""
    assert (tmp_path / "replaced.back").read_bytes() == b"hello"
    assert [stored.path for stored in running.stored] == ["/big", "/small", "/empty", "/d/s", "/big"]
    assert not [record for record in running.audit if record.code]


@pytest.mark.parametrize("requests", ["1", "64"])
def test_an_old_client_of_small_requests_goes_on_where_transfers_stopped(home, tmp_path, requests):
    """32 KiB at a time, one after the other or many at once, as clients ask that know no `limits@openssh.com`."""
    big = os.urandom((9 << 20) + 1)
    (tmp_path / "big").write_bytes(big)
    (tmp_path / "part").write_bytes(big[: 6 << 20])
    (tmp_path / "half.back").write_bytes(big[: 1 << 20])
    script = f"""
        put {tmp_path}/big big
        get big {tmp_path}/big.back
        put {tmp_path}/part resumed
        reput {tmp_path}/big resumed
        get resumed {tmp_path}/resumed.back
        reget big {tmp_path}/half.back
    """

    async def story():
        async with gateway(tmp_path, (Folder(path="/", location=home),)) as running:
            return await sftp(running, script, "-B", "32768", "-R", requests)

    code, out = asyncio.run(story())
    assert code == 0, out
    for name in ("big.back", "resumed.back", "half.back"):
        assert (tmp_path / name).read_bytes() == big, name
