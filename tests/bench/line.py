"""A slow line on loopback: a TCP proxy with a round-trip time and a rate, run as its own process.

python -m tests.bench.line PORT TARGET_PORT RTT_MS MBIT_PER_S
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

CHUNK = 16 << 10


class Direction:
    """One way of the line: every byte waits half a round trip, and all connections share the rate."""

    def __init__(self, delay_s: float, bytes_per_s: float) -> None:
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.free_at = 0.0

    def arrival(self, now: float, size: int) -> float:
        self.free_at = max(self.free_at, now) + size / self.bytes_per_s
        return self.free_at + self.delay_s


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
    loop = asyncio.get_running_loop()
    queue: deque[tuple[float, bytes]] = deque()
    more = asyncio.Event()
    room = asyncio.Event()
    room.set()

    async def deliver() -> None:
        while True:
            while not queue:
                more.clear()
                await more.wait()
            at, data = queue.popleft()
            if len(queue) < 64:
                room.set()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    task = asyncio.ensure_future(deliver())
    try:
        while data := await reader.read(CHUNK):
            if len(queue) >= 256:
                room.clear()
                await room.wait()
            queue.append((way.arrival(loop.time(), len(data)), data))
            more.set()
    except ConnectionError:
        pass
    queue.append((way.arrival(loop.time(), 0), b""))
    more.set()
    try:
        await task
    except ConnectionError:
        writer.close()


async def serve(port: int, target: int, rtt_s: float, bytes_per_s: float) -> None:
    up, down = Direction(rtt_s / 2, bytes_per_s), Direction(rtt_s / 2, bytes_per_s)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # The handshake crosses the line too.
            await asyncio.sleep(rtt_s)
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, there_writer, up), pump(there_reader, writer, down))

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=CHUNK)
    await server.serve_forever()


if __name__ == "__main__":
    here, there, rtt_ms, mbit = (float(value) for value in sys.argv[1:5])
    asyncio.run(serve(int(here), int(there), rtt_ms / 1000, mbit * 1e6 / 8))
