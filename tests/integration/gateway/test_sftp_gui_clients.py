"""What WinSCP, FileZilla and old clients do, request by request, as their logs show it."""

from __future__ import annotations

import asyncio
import os
import stat

import asyncssh
import paramiko
import pytest
from asyncssh.sftp import FXF_CREAT, FXF_READ, FXF_TRUNC, FXF_WRITE

from lakelink.gateway.folders.shared import SharedOptions
from lakelink.model.account import Folder
from tests.integration.gateway.sftp_server import gateway

OLD_REQUEST_BYTES = 32 * 1024


def play(tmp_path, home, story, **how):
    async def run():
        folders = (Folder(path="/", location=home),)
        async with (
            gateway(tmp_path / "gateway", folders, **how) as running,
            running.connect() as connection,
            connection.start_sftp_client() as client,
        ):
            await story(client, running)

    asyncio.run(asyncio.wait_for(run(), 120))


async def get(client, path):
    async with client.open(path, "rb") as file:
        return await file.read()


async def put(client, path, data, flags, offset=0):
    async with client.open(path, flags, encoding=None) as file:
        for at in range(0, len(data), OLD_REQUEST_BYTES):
            await file.write(data[at : at + OLD_REQUEST_BYTES], offset + at)


async def winscp_upload(client, path, data, *, plain_rename=False):
    """Under a name that ends in .filepart; the time; then over what is there."""
    part = f"{path}.filepart"
    await client.realpath(".")
    await put(client, part, data, FXF_WRITE | FXF_CREAT | FXF_TRUNC)
    await client.setstat(part, asyncssh.SFTPAttrs(permissions=0o644, atime=1_700_000_000, mtime=1_600_000_000))
    if plain_rename:
        with pytest.raises(asyncssh.SFTPFailure):
            await client.rename(part, path)
        await client.remove(path)
        await client.rename(part, path)
    else:
        await client.posix_rename(part, path)


def test_winscp_uploads_and_overwrites(home, tmp_path):
    first, second = os.urandom(200_000), os.urandom(300_000)

    async def story(client, _running):
        for data in (first, second):
            await winscp_upload(client, "report.csv", data)
            assert await get(client, "report.csv") == data
            assert (await client.stat("report.csv")).mtime == 1_600_000_000
            assert [name for name in await client.listdir(".") if name[0] != "."] == ["report.csv"]
        await winscp_upload(client, "report.csv", first, plain_rename=True)
        assert await get(client, "report.csv") == first

    play(tmp_path, home, story)


def test_winscp_resumes_a_filepart_that_was_closed(home, tmp_path):
    data = os.urandom(300_000)

    async def story(client, _running):
        await put(client, "f.filepart", data[:100_000], FXF_WRITE | FXF_CREAT | FXF_TRUNC)
        assert (await client.stat("f.filepart")).size == 100_000
        # It opens without TRUNC, and goes on where the file ends.
        await put(client, "f.filepart", data[100_000:], FXF_WRITE | FXF_CREAT, offset=100_000)
        await client.posix_rename("f.filepart", "f")
        assert await get(client, "f") == data

    play(tmp_path, home, story)


def test_a_plain_rename_over_a_file_is_enough_where_the_gateway_allows_it(home, tmp_path):
    async def story(client, _running):
        await put(client, "f", b"old", FXF_WRITE | FXF_CREAT | FXF_TRUNC)
        await put(client, "f.filepart", b"new", FXF_WRITE | FXF_CREAT | FXF_TRUNC)
        await client.rename("f.filepart", "f")
        assert await get(client, "f") == b"new"

    play(tmp_path, home, story, shared=SharedOptions(rename_replaces=True))


def test_filezilla_uploads_over_ten_connections_and_lists_after_each(home, tmp_path):
    async def story(client, running):
        await client.mkdir("in")

        async def transfer(number):
            async with running.connect() as connection, connection.start_sftp_client() as own:
                path, data = f"in/{number}", bytes([number]) * 50_000
                await put(own, path, data, FXF_WRITE | FXF_CREAT | FXF_TRUNC)
                await own.setstat(path, asyncssh.SFTPAttrs(atime=1_600_000_000 + number, mtime=1_600_000_000 + number))
                seen = {entry.filename: entry.attrs for entry in await own.readdir("in")}
                assert (seen[str(number)].size, seen[str(number)].mtime) == (50_000, 1_600_000_000 + number)

        await asyncio.gather(*(transfer(number) for number in range(10)))
        listed = {entry.filename: entry.attrs.mtime for entry in await client.readdir("in")}
        assert [listed[str(number)] for number in range(10)] == [1_600_000_000 + number for number in range(10)]

    play(tmp_path, home, story)


def test_an_overwrite_without_trunc_and_a_size_of_zero_afterwards_is_an_overwrite(home, tmp_path):
    async def story(client, _running):
        await put(client, "f", b"a long first version", FXF_WRITE | FXF_CREAT | FXF_TRUNC)
        for data in (b"short", b"shorter"):
            async with client.open("f", FXF_WRITE | FXF_CREAT, encoding=None) as file:
                await file.setstat(asyncssh.SFTPAttrs(size=0))
                await file.write(data, 0)
            assert await get(client, "f") == data
        # scp of OpenSSH 9.0: the bytes first, then the size
        async with client.open("f", FXF_WRITE | FXF_CREAT, encoding=None) as file:
            await file.write(b"sh", 0)
            await file.setstat(asyncssh.SFTPAttrs(size=2))
        assert await get(client, "f") == b"sh"

    play(tmp_path, home, story)


def test_a_space_reserved_before_the_upload_is_no_hindrance(home, tmp_path):
    data = os.urandom(9 << 20)

    async def story(client, _running):
        async with client.open("f", FXF_READ | FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None) as file:
            await file.setstat(asyncssh.SFTPAttrs(size=len(data)))
            for at in range(0, len(data), 1 << 18):
                await file.write(data[at : at + (1 << 18)], at)
        assert await get(client, "f") == data

    play(tmp_path, home, story)


def test_paramiko_pipelines_small_requests_and_gets_all_of_it(home, tmp_path):
    data = os.urandom(9_000_001)
    (tmp_path / "source").write_bytes(data)

    def client(running):
        key = paramiko.Ed25519Key.from_private_key_file(running.key_file)
        with paramiko.SSHClient() as ssh:
            ssh.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            ssh.connect(
                "127.0.0.1", running.port, "partner", pkey=key, look_for_keys=False, allow_agent=False, timeout=60
            )
            sftp = ssh.open_sftp()
            sftp.put(str(tmp_path / "source"), "f")  # ends with a stat that must show the size
            sftp.get("f", str(tmp_path / "back"))
            sftp.chmod("f", 0o600)
            sftp.utime("f", (1, 2))
            sftp.mkdir("d")
            sftp.posix_rename("f", "d/f")
            with sftp.open("d/f", "a") as file:
                file.write(b"tail")
            with sftp.open("d/f", "rb") as file:
                file.seek(len(data))
                assert file.read() == b"tail"
            with sftp.open("d/f", "r+") as file:
                file.truncate(3)
            assert sftp.stat("d/f").st_size == 3
            seen = sftp.listdir_attr("d")
            assert [(each.filename, stat.S_IMODE(each.st_mode)) for each in seen] == [("f", 0o600)]
            with sftp.open("d/g", "wx") as file:
                file.write(b"other")
            assert sftp.normalize("d/../d/./g") == "/d/g"
            assert stat.S_ISREG(sftp.lstat("d/g").st_mode)
            for wrong in (
                lambda: sftp.open("d/g", "wx"), lambda: sftp.rename("d/f", "d/g"), lambda: sftp.rmdir("d"),
                lambda: sftp.symlink("/etc/passwd", "d/l"), lambda: sftp.readlink("d/g"), lambda: sftp.mkdir("d"),
                lambda: sftp.remove("d"), lambda: sftp.listdir("d/g"), lambda: sftp.open("d", "r"),
            ):  # fmt: skip
                with pytest.raises(OSError, match=r"."):
                    wrong()
            sftp.rename("d/g", "d/h")
            sftp.remove("d/h")
            for path, errno in (("absent", 2), ("d/../../absent", 2)):
                with pytest.raises(OSError) as caught:
                    sftp.stat(path)
                assert caught.value.errno == errno
            sftp.remove("d/f")
            sftp.rmdir("d")
            assert sftp.listdir(".") == []
            sftp.close()

    async def run():
        async with gateway(tmp_path / "gateway", (Folder(path="/", location=home),)) as running:
            await asyncio.wait_for(asyncio.to_thread(client, running), 120)

    asyncio.run(run())
    assert (tmp_path / "back").read_bytes() == data
