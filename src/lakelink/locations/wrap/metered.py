"""What was asked of a location: calls, paths, failures, bytes and seconds by verb."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lakelink.errors import LakelinkError
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, Read, SetPosix, Write
from lakelink.locations.content import Content, SourceFile
from lakelink.locations.wrap.delegating import Delegating, DelegatingContent
from lakelink.model.entry import Entry, Kind
from lakelink.ports.clock import Clock

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True)
class VerbCount:
    """Sums over all calls of one verb. `seconds` add up over calls that ran at the same time."""

    calls: int = 0
    paths: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Meter:
    """Sums of one location. Bytes read count when they are handed out, bytes written when the write is answered as done."""

    verbs: dict[str, VerbCount] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0

    def verb(self, name: str) -> VerbCount:
        return self.verbs.setdefault(name, VerbCount())


class Metered(Delegating):
    """`inner`, counted in `meter`. Where `inner` counts no requests of its own, `requests` are the calls by verb."""

    def __init__(self, inner: Location, clock: Clock, meter: Meter | None = None) -> None:
        super().__init__(inner)
        self.meter = meter or Meter()
        self._clock = clock

    @property
    def requests(self) -> Mapping[str, int]:
        return self.inner.requests or {name: count.calls for name, count in self.meter.verbs.items()}

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        count = self.meter.verb("scan")
        count.calls += 1
        try:
            async for batch in self.inner.scan(excludes):
                count.paths += len(batch.rows)
                count.failures += len(batch.problems)
                yield batch
        except LakelinkError:
            count.failures += 1
            raise

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        return await self._count("stat", self.inner.stat, paths)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        answers = await self._count("read", self.inner.read, reads)
        return [a if isinstance(a, LakelinkError) else MeteredContent(a, self.meter) for a in answers]

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        answers = await self._count("write", self.inner.write, writes)
        done = [a for a in answers if not isinstance(a, LakelinkError)]
        self.meter.bytes_written += sum(entry.size_bytes for entry in done if entry.kind is Kind.FILE)
        return answers

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        return await self._count("delete", self.inner.delete, deletes)

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        return await self._count("set_posix", self.inner.set_posix, changes)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        return await self._count("copy", self.inner.copy, copies)

    async def _count(
        self, name: str, verb: Callable[[Sequence[Q]], Awaitable[list[A]]], wanted: Sequence[Q]
    ) -> list[A]:
        count = self.meter.verb(name)
        count.calls += 1
        count.paths += len(wanted)
        begin = self._clock.monotonic()
        try:
            answers = await verb(wanted)
        except LakelinkError:
            count.failures += len(wanted)
            raise
        finally:
            count.seconds += self._clock.monotonic() - begin
        count.failures += sum(isinstance(answer, LakelinkError) for answer in answers)
        return answers


class MeteredContent(DelegatingContent):
    """Counts the bytes that are handed out; a file that is handed over as a whole counts with its size."""

    def __init__(self, inner: Content, meter: Meter) -> None:
        super().__init__(inner)
        self._meter = meter

    async def load(self) -> bytes:
        data = await self.inner.load()
        self._meter.bytes_read += len(data)
        return data

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in self.inner.chunks(start, end):
            self._meter.bytes_read += len(chunk)
            yield chunk

    async def pour(self, fd: int) -> int:
        poured = await self.inner.pour(fd)
        self._meter.bytes_read += poured
        return poured

    def open_file(self) -> SourceFile | None:
        source = self.inner.open_file()
        if source is not None:
            self._meter.bytes_read += source.size_bytes
        return source
