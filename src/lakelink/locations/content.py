"""The bytes of one path, not read yet. A target takes them in the way that costs it least."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable

from lakelink.errors import NotResident
from lakelink.model.entry import Entry

CHUNK_BYTES = 1 << 20


class SourceFile(ABC):
    """An open file that holds the bytes, for kernel calls; close it with `close`."""

    fd: int
    size_bytes: int

    @abstractmethod
    def check(self) -> None:
        """Nothing happened to the file since it was observed.

        Call it after the last byte is read and before the copy becomes visible.

        Raises:
            ChangedWhileRead: size, mtime or inode moved: throw away what was read.
        """

    @abstractmethod
    def close(self) -> None: ...


class Content(ABC):
    """The bytes of one version of one path. May be opened several times, so that a write can be retried.

    `size_bytes` is None only where nobody knows it before the end (a pipe). Every way of reading raises, before the last byte is
    handed out or the call returns: ChangedWhileRead (source changed: observe again), Corrupt (length or checksum is off),
    NotFound (gone), NotPermitted, Unreachable (retries are used up).
    """

    size_bytes: int | None
    entry: Entry | None = None
    """What is known of the path beside its bytes. Of an object: complete once `load` has returned, since the answer carries it."""
    atime_ns: int | None = None
    """When it was last read, where the side that holds it tells: a row of a scan has no room for it."""
    hold_bytes: int | None = None
    """Of a stream: how much of it may be in the memory of whoever takes it, copies included; None = as the location sees fit."""
    hurried: bool = False
    """Somebody waits for the bytes and not for the disk, which need not begin to write them while they come."""

    @abstractmethod
    async def load(self) -> bytes:
        """All bytes at once. For small content only: the caller bounds the size."""

    @abstractmethod
    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes [start, end) in order, in pieces of at most a few MiB."""

    async def pour(self, fd: int) -> int:
        """Write all bytes into `fd` from offset 0 on; returns how many. The file has exactly these bytes afterwards.

        Adapters do it natively and in parallel where they can. Not atomic: `fd` is a staging file that nobody sees, open for reading too
        (a checksum of bytes that came in parallel is taken from the file).
        """
        offset = 0
        async for chunk in self.chunks():
            view = memoryview(chunk)
            while view:
                written = os.pwrite(fd, view, offset)
                offset += written
                view = view[written:]
        os.ftruncate(fd, offset)
        return offset

    def at_hand(self) -> bytes | None:
        """All bytes, where they are in memory already; None otherwise."""
        return None

    def open_file(self) -> SourceFile | None:
        """Where the bytes are in a file of this machine: that file, open for reading (blocking, quick); None otherwise."""
        return None


class BytesContent(Content):
    """Bytes already in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)

    async def load(self) -> bytes:
        return self.data

    def at_hand(self) -> bytes | None:
        return self.data

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        data = self.data[start:end]
        for offset in range(0, len(data), CHUNK_BYTES):
            yield data[offset : offset + CHUNK_BYTES]


class Placeholder(Content):
    """No bytes at all: the file stands for them. Only a location that makes stubs takes it, and never reads it."""

    def __init__(self, size_bytes: int, prepare: Callable[[int], object]) -> None:
        """`prepare` makes an open empty file, that nobody sees yet, into the stub (blocking)."""
        self.size_bytes = size_bytes
        self.prepare = prepare

    async def load(self) -> bytes:
        raise NotResident("a placeholder has no bytes")

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:  # noqa: ARG002
        raise NotResident("a placeholder has no bytes")


class StreamContent(Content):
    """A stream of unknown length, read once: a pipe. Cannot be read from the middle, nor twice."""

    size_bytes: int | None = None

    def __init__(self, opener: Callable[[], AsyncIterator[bytes]], *, hold_bytes: int | None = None) -> None:
        self._opener = opener
        self.hold_bytes = hold_bytes

    async def load(self) -> bytes:
        return b"".join([chunk async for chunk in self._opener()])

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if start or end is not None:
            raise ValueError("a stream has no ranges")
        return self._opener()


class ExtendedContent(Content):
    """The first `cut_bytes` of one version, then a stream, read once. Where both are in one store, the first part need not be fetched."""

    size_bytes: int | None = None

    def __init__(self, origin: Content, cut_bytes: int, rest: StreamContent) -> None:
        self.origin = origin
        self.cut_bytes = cut_bytes
        self.rest = rest
        self.hold_bytes = rest.hold_bytes

    async def load(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if start or end is not None:
            raise ValueError("a stream has no ranges")
        if self.cut_bytes:
            async for chunk in self.origin.chunks(0, self.cut_bytes):
                yield chunk
        async for chunk in self.rest.chunks():
            yield chunk
