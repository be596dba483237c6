"""SSH packets as they are cut and put together here: whatever the pieces, the cipher, and the moment at which keys are exchanged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

import asyncssh
import pytest

from lakelink.gateway.server import options
from tests.integration.gateway.server_scene import account, server

CIPHERS = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
]
SIZE = 700_000


@contextlib.asynccontextmanager
async def cutting(port, seed):
    """A way to that port that cuts what it carries into pieces of any size."""
    sizes = random.Random(seed)
    tasks, writers = [], []

    async def carry(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(200_000):
                while data:
                    size = sizes.choice([1, 3, 4, 5, 15, 16, 17, 60, 1000, 33_000, 150_000])
                    writer.write(data[:size])
                    data = data[size:]
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.write_eof()

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", port)
        back.transport.set_write_buffer_limits(0)
        writers.extend((back, writer))
        tasks.extend(asyncio.create_task(carry(*ends)) for ends in ((reader, back), (there, writer)))

    relay = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield relay.sockets[0].getsockname()[1]
    finally:
        relay.close()
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, *(writer.wait_closed() for writer in writers), return_exceptions=True)


async def there_and_back(connection, name):
    data = os.urandom(SIZE)
    async with connection.start_sftp_client() as sftp:
        async with sftp.open(name, "wb") as file:
            await file.write(data)
        async with sftp.open(name, "rb") as file:
            assert await file.read() == data


@pytest.mark.parametrize("cipher", CIPHERS)
def test_files_arrive_as_they_were_in_whatever_pieces_packets_come_and_through_new_keys(tmp_path, monkeypatch, cipher):
    monkeypatch.setattr(options, "REKEY_BYTES", 150_000)

    async def story():
        exchanges = []
        async with (
            server(tmp_path, [account()]) as scene,
            cutting(scene.port, cipher) as port,
            scene.connect(port=port, encryption_algs=[cipher], rekey_bytes=210_000) as connection,
        ):
            (login,) = scene.worker.server._inside.values()
            newkeys = login.connection.send_newkeys

            def counted(k, h):
                exchanges.append(1)
                newkeys(k, h)

            login.connection.send_newkeys = counted
            await asyncio.gather(*(there_and_back(connection, f"f{number}") for number in range(2)))
            assert (login.connection._keys is not None) == ("gcm" in cipher)
        return len(exchanges)

    assert asyncio.run(story()) > 5


def test_a_window_that_is_small_is_kept_to_and_no_byte_comes_twice(tmp_path, monkeypatch):
    data, sizes = os.urandom(SIZE), []
    open_session = asyncssh.SSHClientConnection.open_session

    async def narrow(self, *arguments, **given):
        return await open_session(self, *arguments, **given, window=50_000, max_pktsize=7_000)

    async def story():
        async with server(tmp_path, [account()]) as scene, scene.connect(encryption_algs=CIPHERS[:1]) as connection:
            async with connection.start_sftp_client() as sftp, sftp.open("f", "wb") as file:
                await file.write(data)
            monkeypatch.setattr(asyncssh.SSHClientConnection, "open_session", narrow)
            (login,) = scene.worker.server._inside.values()
            send_data = login.connection.send_data

            def watched(channel, piece):
                sizes.append(len(piece))
                return send_data(channel, piece)

            login.connection.send_data = watched
            async with connection.start_sftp_client() as sftp, sftp.open("f", "rb") as file:
                assert await file.read() == data

    asyncio.run(story())
    assert sum(sizes) > SIZE
    assert max(sizes) <= 7_000


@pytest.mark.parametrize("spoiled", [b"\xff\xff\xff\xff", b"\0\x80\0\0", b"\0\0\0\x10"])
def test_what_is_no_packet_ends_the_connection(tmp_path, spoiled):
    """A length beyond all bounds is not waited for; what cannot be decrypted is not looked at."""

    async def story():
        async with server(tmp_path, [account()]) as scene:
            with contextlib.suppress(asyncssh.Error, ConnectionError):
                async with (
                    scene.connect(encryption_algs=CIPHERS[:1]) as connection,
                    connection.start_sftp_client() as sftp,
                ):
                    await sftp.stat(".")
                    connection._transport.write(spoiled + bytes(4000))
                    await connection.wait_closed()
            await scene.until(lambda: not scene.worker.server._inside, "it to be let go")

    asyncio.run(story())
