"""Contents that misbehave on purpose, and one that says what it is made of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from lakelink.errors import LakelinkError
from lakelink.locations.content import BytesContent, Content


def pattern(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that differ between seeds and positions, so that a torn or shifted copy never equals a whole one."""
    return hashlib.shake_128(str(seed).encode()).digest(size_bytes)


class _Odd(Content):
    """Not a BytesContent: an adapter takes those from memory, and would not notice what happens on the way."""

    def __init__(self, data: bytes, announced_bytes: int | None = None) -> None:
        self._data = data
        self.size_bytes = len(data) if announced_bytes is None else announced_bytes

    async def load(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


class GatedContent(_Odd):
    """Delivers the first half, says so, and waits for the gate before the rest: a transfer caught in the middle."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.halfway = asyncio.Event()
        self.gate = asyncio.Event()

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        data = self._data[start:end]
        half = len(data) // 2
        async for chunk in BytesContent(data[:half]).chunks():
            yield chunk
        self.halfway.set()
        await self.gate.wait()
        async for chunk in BytesContent(data[half:]).chunks():
            yield chunk


class BrokenContent(_Odd):
    """Delivers the first half and fails then, however often it is opened."""

    def __init__(self, data: bytes, error: LakelinkError) -> None:
        super().__init__(data)
        self._error = error

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        data = self._data[start:end]
        yield data[: len(data) // 2]
        raise self._error


class MisannouncedContent(_Odd):
    """Announces another length than it delivers."""

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return BytesContent(self._data).chunks(start, end)


class ReopenedContent(_Odd):
    """Counts its openings: a target that repeats a write opens it again instead of keeping the bytes."""

    opened = 0

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        self.opened += 1
        return BytesContent(self._data).chunks(start, end)
