"""One path at a time over a location: what tests and probes say most often. Errors that are values in a batch are raised here."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from lakelink.errors import LakelinkError
from lakelink.locations.base import Delete, Location, Read, SetPosix, Write
from lakelink.locations.content import BytesContent, Content
from lakelink.model.entry import Entry, Expect, Kind, Posix, Row, Version

ABSENT = Expect(None)
PATIENCE_S = 120.0  # longer than any single call below may take; reaching it is a failure, not a measurement
_T = TypeVar("_T")


class ContractBroken(AssertionError):
    """A promise of the port is not kept; the message says which and what was seen."""


def require(condition: object, sentence: str) -> None:
    """The condition holds, or the promise is broken. Works under `python -O` as well."""
    if not condition:
        raise ContractBroken(sentence)


def value(answer: _T | LakelinkError) -> _T:
    """The answer; an error is raised."""
    if isinstance(answer, LakelinkError):
        raise answer
    return answer


class Hand:
    """A location, used by hand."""

    def __init__(self, location: Location) -> None:
        self.location = location

    async def write(self, write: Write) -> Entry:
        """Carry out one write; the answer names the version that is there now."""
        async with asyncio.timeout(PATIENCE_S):
            entry = value((await self.location.write([write]))[0])
        require(
            entry.kind is write.kind, f"the answer of a write says {entry.kind.name}, {write.kind.name} was written"
        )
        return entry

    async def put(
        self,
        path: str,
        data: bytes | Content = b"",
        *,
        expect: Expect = ABSENT,
        posix: Posix | None = None,
    ) -> Version:
        """Store a file; its version."""
        content = BytesContent(data) if isinstance(data, bytes) else data
        entry = await self.write(Write(path, Kind.FILE, content, posix, expect))
        if entry.version is None:
            raise ContractBroken("the answer of a write carries no version")
        return entry.version

    async def make_directory(self, path: str, posix: Posix | None = None) -> Entry:
        return await self.write(Write(path, Kind.DIR, None, posix, ABSENT))

    async def make_symlink(self, path: str, target: str, posix: Posix | None = None) -> Entry:
        content = BytesContent(target.encode("utf-8", "surrogateescape"))
        return await self.write(Write(path, Kind.SYMLINK, content, posix, ABSENT))

    async def stat(self, path: str) -> Entry | None:
        async with asyncio.timeout(PATIENCE_S):
            return value((await self.location.stat([path]))[0])

    async def see(self, path: str) -> Entry:
        """What is at the path; there must be something."""
        entry = await self.stat(path)
        if entry is None:
            raise ContractBroken(f"{path!r} should be there and stat says that it is not")
        return entry

    async def version(self, path: str) -> Version:
        """The version that stat names."""
        version = (await self.see(path)).version
        if version is None:
            raise ContractBroken(f"stat of {path!r} carries no version")
        return version

    async def open(self, path: str, *, expect: Version | None = None, size_bytes: int = 0) -> Content:
        async with asyncio.timeout(PATIENCE_S):
            return value((await self.location.read([Read(path, size_bytes, expect)]))[0])

    async def get(self, path: str, *, expect: Version | None = None, size_bytes: int = 0) -> bytes:
        """All bytes of the path."""
        content = await self.open(path, expect=expect, size_bytes=size_bytes)
        async with asyncio.timeout(PATIENCE_S):
            return b"".join([chunk async for chunk in content.chunks()])

    async def remove(self, path: str, version: Version | None, kind: Kind = Kind.FILE) -> None:
        async with asyncio.timeout(PATIENCE_S):
            answer = (await self.location.delete([Delete(path, kind, Expect(version))]))[0]
        if answer is not None:
            raise answer

    async def set_posix(self, path: str, posix: Posix, version: Version, kind: Kind = Kind.FILE) -> Entry:
        async with asyncio.timeout(PATIENCE_S):
            return value((await self.location.set_posix([SetPosix(path, kind, posix, Expect(version))]))[0])

    async def rows(self) -> dict[str, Row]:
        """Everything that a complete scan reports, by path; no path twice, no problem."""
        rows: dict[str, Row] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for batch in self.location.scan():
                require(not batch.problems, f"the scan reports {batch.problems[:3]}")
                for row in batch.rows:
                    require(row.path not in rows, f"the scan reports {row.path!r} twice")
                    rows[row.path] = row
        return rows

    async def files(self) -> set[str]:
        """Paths of everything but directories."""
        return {path for path, row in (await self.rows()).items() if row.kind is not Kind.DIR}

    async def clear(self) -> None:
        """Remove everything below the root, deepest first, whatever its version is now."""
        async with asyncio.timeout(PATIENCE_S):
            rows = [row async for batch in self.location.scan() for row in batch.rows if row.path]
            rows.sort(key=lambda row: row.path.count("/"), reverse=True)
            deepest_first = [row for row in rows if row.kind is not Kind.DIR] + [r for r in rows if r.kind is Kind.DIR]
            for row in deepest_first:
                await self.location.delete([Delete(row.path, row.kind, Expect(row.version))])
