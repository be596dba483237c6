"""Writing an open file: what every way of doing it offers, and the one for locations of this machine."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from lakelink.errors import PreconditionFailed
from lakelink.handles.disk import call, translated, write_all
from lakelink.locations.base import Location, StagedFile, Write
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.ports.clock import Clock

CLOCKS_APART_NS = 5_000_000_000  # that of the store and ours, and its whole seconds


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upload goes. `before` is what was there when it was opened: what it replaces, and nothing else.

    With `look` nothing was said to be there, and only somebody who looks knows: what turns out to have been there at `opened_ns` is replaced too.
    """

    location: Location
    path: str
    before: Entry | None
    clock: Clock
    look: Callable[[], Awaitable[Entry | None]] | None = None
    opened_ns: int = 0

    async def looked_at(self) -> Target:
        """The same, with what is really there.

        Raises:
            PreconditionFailed: it has been there for no longer than the upload, or is a directory: it stays.
        """
        if self.look is None:
            return self
        found = await self.look()
        if found is not None and (
            found.kind is not Kind.FILE
            or found.version is None
            or found.version.time_ns > self.opened_ns - CLOCKS_APART_NS
        ):
            raise PreconditionFailed(f"{self.path} was stored by somebody else meanwhile")
        return replace(self, before=found, look=None)

    @property
    def expect(self) -> Expect:
        return Expect(self.before.version if self.before else None)


class Writer(Protocol):
    """An upload. Nothing of it is visible before `commit` has returned; `discard` leaves everything as it was."""

    posix: Posix  # that it will have; may be replaced until `commit`
    keeps_times: bool  # the times of `posix` were asked for; otherwise they are those of the commit

    @property
    def size_bytes(self) -> int:
        """How long the file is now."""
        ...

    def write_now(self, offset: int, data: memoryview) -> bool:
        """Whether it was taken without waiting; otherwise nothing was done, and `write` does it."""
        ...

    async def write(self, offset: int, data: memoryview) -> None:
        """The bytes are part of the file.

        Raises:
            NoSpace, StorageError, OutOfOrder …: this upload cannot be completed.
        """
        ...

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """What was written, b"" behind the end. Raises: Unsupported: it has been sent on already."""
        ...

    async def truncate(self, size_bytes: int) -> None:
        """The file has that size; what is added reads as zeros."""
        ...

    async def commit(self) -> Entry:
        """The file is at its path, whole; on stable storage where the location says so.

        Raises:
            PreconditionFailed: somebody else wrote to the path since it was opened; theirs stays. Others: nothing was stored.
        """
        ...

    async def discard(self) -> None:
        """Nothing of it remains. Idempotent; after `commit` it does nothing."""
        ...


def settled(writer: Writer, clock: Clock) -> Posix:
    """The metadata for a file that is complete now."""
    if writer.keeps_times:
        return writer.posix
    now_ns = clock.time_ns()
    return replace(writer.posix, mtime_ns=now_ns, atime_ns=now_ns)


class StagedWriter:
    """Straight into the new file, in any order."""

    def __init__(self, target: Target, staged: StagedFile, posix: Posix, size_bytes: int = 0) -> None:
        self._target = target
        self._staged = staged
        self.posix = posix
        self.keeps_times = False
        self._size = size_bytes

    @property
    def size_bytes(self) -> int:
        return self._size

    def write_now(self, offset: int, data: memoryview) -> bool:
        end = offset + len(data)
        try:
            write_all(self._staged.fd, data, offset)
        except OSError as error:
            raise translated(error) from error
        self._size = max(self._size, end)
        return True

    async def write(self, offset: int, data: memoryview) -> None:
        self.write_now(offset, data)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        return await call(os.pread, self._staged.fd, size_bytes, offset)

    async def truncate(self, size_bytes: int) -> None:
        await call(os.ftruncate, self._staged.fd, size_bytes)
        self._size = size_bytes

    async def commit(self) -> Entry:
        target = self._target
        posix = settled(self, target.clock)
        return await self._staged.place(Write(target.path, Kind.FILE, None, posix, target.expect))

    async def discard(self) -> None:
        self._staged.discard()
