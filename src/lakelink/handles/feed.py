"""Bytes from somebody who pushes to somebody who pulls, a bounded number of them in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

LIMIT_BYTES = 4 << 20


class Feed:
    """Read once, by one reader; for one event loop."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def has_room(self) -> bool:
        return self._held < self._limit

    def push(self, data: bytes) -> None:
        """Whoever pushes waits for `room` in between."""
        self._pieces.append(data)
        self._held += len(data)
        self._filled.set()
        if self._held >= self._limit:
            self._drained.clear()

    async def room(self) -> None:
        """Returns when there is room again."""
        await self._drained.wait()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._filled.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What was pushed, in order, until `end`."""
        while True:
            while self._pieces:
                data = self._pieces.popleft()
                self._held -= len(data)
                if self._held < self._limit:
                    self._drained.set()
                yield data
            if self._ended:
                return
            self._filled.clear()
            await self._filled.wait()
