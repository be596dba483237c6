"""A client that dies: at each stage of an upload nothing of it is seen, and what was there is there."""

from __future__ import annotations

import asyncio
import os

import asyncssh
import pytest
from asyncssh.sftp import FXF_CREAT, FXF_TRUNC, FXF_WRITE

from lakelink.errors import Unreachable
from lakelink.locations.base import Uploader
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.account import Folder
from tests.integration.gateway.sftp_server import gateway, opened

STAGES = ["opened", "first bytes", "streaming", "out of order", "described", "closing"]
MIB = 1 << 20


class Slow(Delegating):
    """A location whose writes begin and then wait to be let on: a client can die in the middle of a CLOSE."""

    def __init__(self, inner):
        super().__init__(inner)
        self.begun = asyncio.Event()
        self.hold = False

    async def write(self, writes):
        self.begun.set()
        if self.hold:
            await asyncio.Event().wait()
        return await self.inner.write(writes)


async def reach(stage, client, location):
    file = await client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None)
    if stage == "opened":
        return
    await file.write(b"n" * 1000)
    if stage == "streaming":
        for at in range(1000, 20 * MIB, MIB):
            await file.write(b"n" * MIB, at)
    if stage == "out of order":
        await file.write(b"n" * 1000, 500_000)
        await file.write(b"n" * 1000, 200)
    if stage == "described":
        await file.utime((1, 2))
    if stage == "closing":
        location.hold = True
        location.begun.clear()
        closing = asyncio.create_task(file.close())
        await location.begun.wait()
        closing.cancel()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_client_that_dies_leaves_what_was_there(request, kind, stage, tmp_path, s3_prefix):
    home = f"memory:{s3_prefix}" if kind == "memory" else request.getfixturevalue("s3_home")
    old = os.urandom(5000)

    async def story():
        made = []

        async def slow(text):
            made.append(Slow(await opened(text)))
            return made[0]

        async with gateway(tmp_path, (Folder(path="/", location=home),), opener=slow) as running:
            async with (
                running.connect() as connection,
                connection.start_sftp_client() as client,
                client.open("f", "wb") as file,
            ):
                await file.write(old)
            connection = await running.connect()
            client = await connection.start_sftp_client()
            await reach(stage, client, made[0])
            connection.abort()
            await asyncio.wait_for(running.quiet(), 60)
            made[0].hold = False
            assert running.shared.memory.room.used_bytes == 0
            assert running.shared.memory.spool.room.used_bytes == 0
            async with running.connect() as third, third.start_sftp_client() as client:
                assert [name for name in await client.listdir(".") if name[0] != "."] == ["f"]
                async with client.open("f", "rb") as file:
                    assert await file.read() == old
            inner = made[0].inner
            if isinstance(inner, Uploader):
                assert await inner.abort_uploads(["f"]) == 0
            assert [stored.path for stored in running.stored] == ["/f"]

    asyncio.run(asyncio.wait_for(story(), 120))


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "closing"])
def test_a_client_that_dies_leaves_no_file_on_this_machine(local_home, stage, tmp_path):
    async def story():
        async with gateway(tmp_path / "gateway", (Folder(path="/", location=local_home),)) as running:
            connection = await running.connect()
            client = await connection.start_sftp_client()
            await reach(stage, client, None)
            connection.abort()
            await asyncio.wait_for(running.quiet(), 60)

    asyncio.run(asyncio.wait_for(story(), 120))
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


async def finish(file, size):
    for at in range(0, size, MIB):
        await file.write(b"n" * min(MIB, size), at)
    await file.close()


def test_a_store_that_fails_makes_close_fail_and_the_old_file_stays(tmp_path, s3_prefix):
    class Failing(Delegating):
        failing = False

        async def write(self, writes):
            if self.failing:
                raise Unreachable("s3.example.org does not answer")
            return await self.inner.write(writes)

    async def story():
        made = []

        async def failing(text):
            made.append(Failing(await opened(text)))
            return made[0]

        folder = Folder(path="/", location=f"memory:{s3_prefix}")
        async with (
            gateway(tmp_path, (folder,), opener=failing) as running,
            running.connect() as connection,
            connection.start_sftp_client() as client,
        ):
            async with client.open("f", "wb") as file:
                await file.write(b"old")
            made[0].failing = True
            for size in (10, 20 * MIB):
                file = await client.open("f", FXF_WRITE | FXF_CREAT | FXF_TRUNC, encoding=None)
                with pytest.raises(asyncssh.SFTPFailure, match="storage cannot be reached") as caught:
                    await finish(file, size)
                assert "example.org" not in str(caught.value)
            made[0].failing = False
            async with client.open("f", "rb") as file:
                assert await file.read() == b"old"
            assert [record.code for record in running.audit if record.operation == "write"][-1] == "LL300"

    asyncio.run(asyncio.wait_for(story(), 120))
