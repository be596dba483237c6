"""What uploads hold in memory is what they have reserved."""

from __future__ import annotations

import asyncio
import tracemalloc

from lakelink.handles.open import Memory, open_writer
from lakelink.handles.room import Room
from lakelink.handles.spool import Spool
from lakelink.handles.writer import Target
from lakelink.model.entry import Posix
from lakelink.ports.clock import SystemClock
from tests.integration.gateway.sftp_server import opened

MIB = 1 << 20
ROOM_BYTES = 96 * MIB
FILE_BYTES = 72 * MIB
UPLOADS = 4
BESIDE_BYTES = 8 * MIB  # code, objects, what a request is made of


def test_large_uploads_at_once_hold_no_more_than_the_room(s3_home, tmp_path):
    async def story() -> tuple[list[int], int, int, int]:
        location = await opened(s3_home)
        memory = Memory(Spool(str(tmp_path), Room(1 << 30)), Room(ROOM_BYTES))
        most_reserved = 0

        async def upload(number: int) -> int:
            nonlocal most_reserved
            target = Target(location, f"f{number}", None, SystemClock())
            writer = await open_writer(target, Posix(0o640, 1, 1, 0, 0), memory, keep=False)
            piece = memoryview(bytes([number]) * (255 << 10))
            for offset in range(0, FILE_BYTES, len(piece)):
                data = piece[: FILE_BYTES - offset]
                if not writer.write_now(offset, data):
                    await writer.write(offset, data)
                most_reserved = max(most_reserved, memory.room.used_bytes)
            entry = await writer.commit()
            await writer.discard()
            return entry.size_bytes

        await upload(9)  # what is imported and opened for the first one is not what is measured
        tracemalloc.start(1)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        try:
            sizes = await asyncio.gather(*(upload(number) for number in range(UPLOADS)))
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
            await location.aclose()
        return sizes, peak, most_reserved, memory.room.used_bytes

    sizes, peak, most_reserved, left = asyncio.run(story())
    assert sizes == [FILE_BYTES] * UPLOADS
    assert most_reserved <= ROOM_BYTES
    assert peak <= most_reserved + BESIDE_BYTES
    assert left == 0
