"""Small files that were fetched ahead: served to whoever goes on, and never after they were changed through the gateway."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh
import pytest

from lakelink.gateway.folders.known import FRESH_S
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.model.account import Folder
from lakelink.model.entry import Expect, Kind
from tests.integration.gateway.sftp_server import gateway, opened

FILES = 10


@contextlib.asynccontextmanager
async def scene(directory, home):
    """A session that has opened the first two files of a directory in order, and has the others fetched; and another session."""
    top = home.rstrip("/")
    folders = (Folder(path="/", location=top), Folder(path="/again", location=top + "/"))
    async with (
        gateway(directory, folders) as running,
        running.connect() as one,
        running.connect() as two,
        one.start_sftp_client() as reader,
        two.start_sftp_client() as other,
    ):
        for number in range(FILES):
            await put(other, f"f{number}", b"old")
        await reader.readdir(".")
        for number in range(2):
            assert await get(reader, f"f{number}") == b"old"
        items = running.shared.ahead._items
        assert [key[1] for key in items] == [f"f{number}" for number in range(2, FILES)]
        await asyncio.gather(*(item.task for item in items.values()))
        yield running, reader, other


async def put(client, path, data):
    async with client.open(path, "wb") as file:
        await file.write(data)


async def get(client, path):
    async with client.open(path, "rb") as file:
        return await file.read()


def test_a_change_by_another_session_is_seen_at_once(s3_home, tmp_path):
    async def story():
        async with scene(tmp_path, s3_home) as (running, reader, other):
            await put(other, "f2", b"new")
            await other.remove("f3")
            await other.posix_rename("f4", "f5")
            await put(other, "f5", b"newer")
            await put(other, "/again/f6", b"by another way")
            await other.remove("/again/f7")
            left = {key[1] for key in running.shared.ahead._items}
            assert left == {"f8", "f9"}
            assert await get(reader, "f2") == b"new"
            for gone in ("f3", "f4", "f7"):
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await get(reader, gone)
            assert await get(reader, "f5") == b"newer"
            assert await get(reader, "f6") == b"by another way"
            assert await get(reader, "f8") == b"old"

    asyncio.run(story())


def test_a_renamed_directory_is_not_served_under_its_old_name(s3_home, tmp_path):
    async def story():
        async with scene(tmp_path, s3_home) as (running, reader, other):
            await other.mkdir("d")
            await other.posix_rename("d", "e")
            assert not running.shared.ahead._items
            assert await get(reader, "f2") == b"old"

    asyncio.run(story())


def test_a_file_replaced_by_somebody_else_is_seen_within_the_documented_time(s3_home, tmp_path):
    async def story():
        async with scene(tmp_path, s3_home) as (running, reader, _):
            elsewhere = await opened(s3_home)
            for path in ("f2", "f3", "f4"):
                (there,) = await elsewhere.stat([path])
                await elsewhere.write([Write(path, Kind.FILE, BytesContent(b"theirs"), None, Expect(there.version))])
            await elsewhere.aclose()
            assert await get(reader, "f2") == b"old"  # within the time, and whole
            for item in running.shared.ahead._items.values():
                item.at_s -= FRESH_S
            assert await get(reader, "f3") == b"theirs"
            assert await get(reader, "f4") == b"theirs"

    asyncio.run(story())


def test_a_session_that_ends_lets_go_of_what_was_fetched_for_it(s3_home, tmp_path):
    async def story():
        async with scene(tmp_path, s3_home) as (running, reader, _):
            assert running.shared.memory.room.used_bytes
            reader.exit()
            await reader.wait_closed()
            await running.sessions[0].done.wait()
            await running.sessions[0].ended()
            assert not running.shared.ahead._items
            assert running.shared.memory.room.used_bytes == 0

    asyncio.run(story())
