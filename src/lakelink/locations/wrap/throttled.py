"""No faster than told: bytes per second over all contents, paths per second over all verbs.

Bytes are paced chunk by chunk, so that a large file flows evenly. What cannot be paced is not offered: a throttled content has no
`open_file`, and pours chunk by chunk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from lakelink.core.bucket import TokenBucket
from lakelink.errors import LakelinkError
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, Read, SetPosix, Write
from lakelink.locations.content import Content, SourceFile
from lakelink.locations.wrap.delegating import Delegating, DelegatingContent
from lakelink.model.entry import Entry
from lakelink.ports.clock import Clock

BURST_S = 0.1  # what was left unused for so long may be caught up with at once
PIECE_BYTES = 64 * 1024  # one wait covers so many bytes


class Pace:
    """A token bucket with somebody to wait for it: first come, first served."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._clock = clock
        self._bucket = TokenBucket(per_second, per_second * BURST_S, clock.monotonic())

    async def take(self, amount: float) -> None:
        """Returns when it is this amount's turn. A cancelled wait has used its turn all the same."""
        wait_s = self._bucket.take(amount, self._clock.monotonic())
        if wait_s > 0:
            await self._clock.sleep(wait_s)


class Throttled(Delegating):
    """`inner`, slowed down. None = no limit."""

    def __init__(
        self,
        inner: Location,
        clock: Clock,
        *,
        bytes_per_s: float | None = None,
        paths_per_s: float | None = None,
    ) -> None:
        super().__init__(inner)
        self._bytes = Pace(bytes_per_s, clock) if bytes_per_s else None
        self._paths = Pace(paths_per_s, clock) if paths_per_s else None

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        await self._turn(1)
        async for batch in self.inner.scan(excludes):
            yield batch

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        await self._turn(len(paths))
        return await self.inner.stat(paths)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        await self._turn(len(reads))
        answers = await self.inner.read(reads)
        return [a if isinstance(a, LakelinkError) else self._paced(a) for a in answers]

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        await self._turn(len(writes))
        return await self.inner.write([replace(w, content=self._paced(w.content)) if w.content else w for w in writes])

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        await self._turn(len(deletes))
        return await self.inner.delete(deletes)

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        await self._turn(len(changes))
        return await self.inner.set_posix(changes)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        await self._turn(len(copies))
        return await self.inner.copy(copies)

    async def _turn(self, paths: int) -> None:
        if self._paths and paths:
            await self._paths.take(paths)

    def _paced(self, content: Content) -> Content:
        return PacedContent(content, self._bytes) if self._bytes else content


class PacedContent(DelegatingContent):
    """The bytes of `inner` at a pace."""

    def __init__(self, inner: Content, pace: Pace) -> None:
        super().__init__(inner)
        self._pace = pace

    async def load(self) -> bytes:
        data = await self.inner.load()
        await self._pace.take(len(data))
        return data

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in self.inner.chunks(start, end):
            for offset in range(0, len(chunk), PIECE_BYTES):
                piece = chunk[offset : offset + PIECE_BYTES]
                await self._pace.take(len(piece))
                yield piece

    async def pour(self, fd: int) -> int:
        return await Content.pour(self, fd)

    def open_file(self) -> SourceFile | None:
        return None
