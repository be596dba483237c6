"""Reading an open file anywhere: from the page cache, or in ranges fetched ahead of whoever reads in order."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from lakelink.errors import LakelinkError, StorageError
from lakelink.handles.disk import call
from lakelink.handles.room import Room
from lakelink.locations.base import Location, Read
from lakelink.locations.content import Content, SourceFile
from lakelink.model.entry import Entry

RANGE_BYTES = 2 << 20
RANGES_AHEAD = 8


class Reader(Protocol):
    """An open file. `read_now` never waits; where it answers None, `read` does what it could not."""

    entry: Entry

    def read_now(self, offset: int, buffer: memoryview) -> int | None:
        """How many bytes were put into the buffer (0 = behind the end); None where that would have to be waited for."""
        ...

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Up to so many bytes, fewer only at the end, b"" behind it.

        Raises:
            ChangedWhileRead: it is another version now. Others as `Content`.
        """
        ...

    async def aclose(self) -> None:
        """Idempotent."""
        ...


async def open_reader(location: Location, path: str, entry: Entry, room: Room) -> Reader:
    """The bytes of that version of a path.

    Raises:
        ChangedWhileRead, NotFound …: it is another one now; look again.
    """
    (content,) = await location.read([Read(path, entry.size_bytes, entry.version)])
    if isinstance(content, LakelinkError):
        raise content
    data = content.at_hand()
    if data is not None:
        return MemoryReader(data, content.entry or entry)
    if location.traits.local:
        source = await asyncio.to_thread(content.open_file)
        if source is not None:
            return FileReader(source, entry)
    return AheadReader(content, entry, room)


class MemoryReader:
    """Bytes that are here already."""

    def __init__(self, data: bytes, entry: Entry) -> None:
        self._data = data
        self.entry = entry

    def read_now(self, offset: int, buffer: memoryview) -> int | None:
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        return self._data[offset : offset + size_bytes]

    async def aclose(self) -> None:
        self._data = b""


class FileReader:
    """A file of this machine: what the kernel has in memory at once, the rest in a thread."""

    def __init__(self, source: SourceFile, entry: Entry) -> None:
        self._source = source
        self.entry = entry
        self._flags = os.RWF_NOWAIT
        os.posix_fadvise(source.fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read_now(self, offset: int, buffer: memoryview) -> int | None:
        try:
            count = os.preadv(self._source.fd, [buffer], offset, self._flags)
        except BlockingIOError:
            return None
        except OSError:
            if not self._flags:
                return None
            self._flags = 0  # this file system cannot tell: then it is asked as everybody does
            return self.read_now(offset, buffer)
        # A short answer may only mean that the rest is not in memory yet; clients take it for slowness or the end.
        return count if count == len(buffer) or offset + count >= self.entry.size_bytes else None

    async def read(self, offset: int, size_bytes: int) -> bytes:
        return await call(os.pread, self._source.fd, size_bytes, offset)

    async def aclose(self) -> None:
        self._source.close()


class AheadReader:
    """Ranges of a content that is far away. Who reads in order finds the next ones on their way: more, the longer it goes on."""

    def __init__(self, content: Content, entry: Entry, room: Room) -> None:
        self._content = content
        self._room = room
        self.entry = entry
        self._ranges: dict[int, asyncio.Task[bytes]] = {}  # by number
        self._ahead = 0
        self._last = -1

    def read_now(self, offset: int, buffer: memoryview) -> int | None:
        if offset >= self.entry.size_bytes:
            return 0
        number, start = divmod(offset, RANGE_BYTES)
        task = self._ranges.get(number)
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        wanted = min(len(buffer), self.entry.size_bytes - offset)
        piece = memoryview(task.result())[start : start + wanted]
        if len(piece) < wanted:
            return None
        buffer[: len(piece)] = piece
        self._advance(number)
        return len(piece)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        pieces: list[bytes] = []
        end = min(offset + size_bytes, self.entry.size_bytes)
        while offset < end:
            number, start = divmod(offset, RANGE_BYTES)
            self._advance(number)
            data = await self._range(number)
            piece = data[start : start + end - offset]
            if not piece:
                raise StorageError("a range came back shorter than it is")
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    async def aclose(self) -> None:
        tasks = list(self._ranges.values())
        for number in list(self._ranges):
            self._drop(number)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _range(self, number: int) -> bytes:
        task = self._ranges.get(number)
        if task is None:
            self._room.used_bytes += RANGE_BYTES  # one range is always let through: who reads must get on
            task = self._ranges[number] = asyncio.create_task(self._fetch(number))
        try:
            return await asyncio.shield(task)
        except LakelinkError:
            self._drop(number)
            raise

    def _advance(self, number: int) -> None:
        """Somebody is at that range: drop those behind, begin those ahead."""
        if number == self._last:
            return
        in_order = number == self._last + 1
        self._ahead = min(max(1, self._ahead * 2), RANGES_AHEAD) if in_order and number else 0
        self._last = number
        for held in [n for n in self._ranges if n < number - 1 or n > number + RANGES_AHEAD]:
            self._drop(held)
        count = -(-self.entry.size_bytes // RANGE_BYTES)
        for following in range(number + 1, min(number + 1 + self._ahead, count)):
            if following not in self._ranges and self._room.take(RANGE_BYTES):
                self._ranges[following] = asyncio.create_task(self._fetch(following))

    def _drop(self, number: int) -> None:
        task = self._ranges.pop(number)
        self._room.give(RANGE_BYTES)
        if not task.cancel() and not task.cancelled():
            task.exception()  # seen: nobody waits for it any more

    async def _fetch(self, number: int) -> bytes:
        start = number * RANGE_BYTES
        end = min(start + RANGE_BYTES, self.entry.size_bytes)
        return b"".join([chunk async for chunk in self._content.chunks(start, end)])
