"""Files without a name on this machine, for bytes that come in no order; bounded together, gone with the process."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator

from lakelink.errors import NoSpace, StorageError
from lakelink.handles.disk import call, write_all
from lakelink.handles.room import Room
from lakelink.locations.content import CHUNK_BYTES, Content, SourceFile

_STEP_BYTES = 1 << 20  # room is taken in steps, so that a small write does not ask for it


class Spool:
    """Where such files are made. `room` bounds them together."""

    def __init__(self, directory: str, room: Room) -> None:
        self.directory = directory or tempfile.gettempdir()
        self.room = room

    async def open(self) -> SpoolFile:
        """An empty file.

        Raises:
            StorageError: it cannot be made.
        """
        try:
            fd = await asyncio.to_thread(self._open)
        except OSError as error:
            raise StorageError(
                f"no file can be made to collect an upload in: {os.strerror(error.errno or 0)}"
            ) from error
        return SpoolFile(fd, self.room)

    def _open(self) -> int:
        try:
            return os.open(self.directory, os.O_TMPFILE | os.O_RDWR, 0o600)
        except OSError:
            fd, name = tempfile.mkstemp(dir=self.directory, prefix=".lakelink-spool-")
            os.unlink(name)  # noqa: PTH108  # as everywhere below the port, names are strings
            return fd


class SpoolFile:
    """One such file; `close` it in the end."""

    def __init__(self, fd: int, room: Room) -> None:
        self.fd = fd
        self._room = room
        self._taken = 0
        self.size_bytes = 0

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """All of it is in the file.

        Raises:
            NoSpace: the bound of all spooled bytes, or the disk.
        """
        end = offset + len(data)
        self._reach(end)
        await call(write_all, self.fd, data, offset)
        self.size_bytes = max(self.size_bytes, end)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """What is there, b"" behind the end."""
        return await call(os.pread, self.fd, size_bytes, offset)

    async def truncate(self, size_bytes: int) -> None:
        """The file has that size; what is added reads as zeros."""
        self._reach(size_bytes)
        await call(os.ftruncate, self.fd, size_bytes)
        self.size_bytes = size_bytes

    def content(self) -> Content:
        """Its bytes, as long as it is open."""
        return _SpoolContent(self.fd, self.size_bytes)

    def close(self) -> None:
        """Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._room.give(self._taken)
            self._taken = 0

    def _reach(self, end: int) -> None:
        missing = end - self._taken
        if missing <= 0:
            return
        step = -(-missing // _STEP_BYTES) * _STEP_BYTES
        if not self._room.take(step):
            raise NoSpace(
                "no room is left to collect uploads in", hint="Raise the gateway's spool, or upload in order."
            )
        self._taken += step


class _Source(SourceFile):
    def __init__(self, fd: int, size_bytes: int) -> None:
        self.fd = fd
        self.size_bytes = size_bytes

    def check(self) -> None:
        """Nobody else has this file."""

    def close(self) -> None:
        os.close(self.fd)


class _SpoolContent(Content):
    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self.size_bytes: int = size_bytes

    def open_file(self) -> SourceFile:
        return _Source(os.dup(self._fd), self.size_bytes)

    async def load(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        while start < end:
            data = await asyncio.to_thread(os.pread, self._fd, min(CHUNK_BYTES, end - start), start)
            if not data:
                raise StorageError("a spooled upload became shorter")
            start += len(data)
            yield data
