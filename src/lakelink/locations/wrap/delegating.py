"""What every wrapper shares: a location, or a content, that passes everything on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from lakelink.errors import LakelinkError
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, LocationSpec, Read, SetPosix, Traits, Write
from lakelink.locations.content import Content, SourceFile
from lakelink.model.entry import Entry, Kind


class Delegating:
    """A location that behaves like `inner`; wrappers override what they change."""

    def __init__(self, inner: Location) -> None:
        self.inner = inner

    @property
    def spec(self) -> LocationSpec:
        return self.inner.spec

    @property
    def traits(self) -> Traits:
        return self.inner.traits

    @property
    def requests(self) -> Mapping[str, int]:
        return self.inner.requests

    def name_problem(self, path: str, kind: Kind) -> str | None:
        return self.inner.name_problem(path, kind)

    def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        return self.inner.scan(excludes)

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        return await self.inner.stat(paths)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        return await self.inner.read(reads)

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        return await self.inner.write(writes)

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        return await self.inner.delete(deletes)

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        return await self.inner.set_posix(changes)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        return await self.inner.copy(copies)

    async def flush(self) -> None:
        await self.inner.flush()

    async def aclose(self) -> None:
        await self.inner.aclose()


class DelegatingContent(Content):
    """A content with the bytes of `inner`; wrappers override the ways of reading they change."""

    def __init__(self, inner: Content) -> None:
        self.inner = inner
        self.size_bytes = inner.size_bytes

    @property
    def entry(self) -> Entry | None:  # type: ignore[override]  # what `inner` learns by being read is known here at once
        return self.inner.entry

    async def load(self) -> bytes:
        return await self.inner.load()

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self.inner.chunks(start, end)

    async def pour(self, fd: int) -> int:
        return await self.inner.pour(fd)

    def open_file(self) -> SourceFile | None:
        return self.inner.open_file()


def unwrapped(location: Location) -> Location:
    """The adapter below all wrappers."""
    while isinstance(location, Delegating):
        location = location.inner
    return location
