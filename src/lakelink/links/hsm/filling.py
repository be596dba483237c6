"""One stub becomes a file: its bytes come into place, then its attribute says so, then its mark goes.

What a power failure leaves at each line is told apart by the attribute, which the file system makes durable in the order in which it was written:

1. MOVING is set before the first byte. Found with it after a crash, a stub's bytes are nobody's: they are fetched anew.
2. The bytes come, in ranges, into the one descriptor; length and checksum are compared. Nobody else has the file open: all who came wait.
3. mtime is put back. RELEASED and MOVING go, UNSYNCED comes, and those who wait go on. From here on users write to it.
4. `settling` brings it to stable storage and takes UNSYNCED away. Found with it after a power failure, what was not on the disk is a hole (ext4 with
   data=ordered, xfs and btrfs never show an extent whose bytes were not written), and everything else is either the object's or a user's: only the holes
   are filled. A user's fsync takes the attribute and all pages of the file along.

So no load waits for the disk, and no state of the disk is taken for more than it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from lakelink.errors import ChangedWhileRead, Corrupt, LakelinkError, Tampered
from lakelink.links.hsm.base import Event, Happened
from lakelink.links.hsm.stub import Flags, Stub
from lakelink.links.hsm.tree import Tree, has_data, has_hole
from lakelink.locations.base import Location, Prompt, Read
from lakelink.locations.content import Content
from lakelink.model.entry import Version
from lakelink.ports import permission

ALLOCATE_FROM_BYTES = 1 << 20  # larger files take their room first: a full disk is known before a byte moves
_COPY_BYTES = 1 << 20
_OPEN = os.O_RDWR | os.O_NOATIME
_ENDS = Flags.RELEASED | Flags.MOVING | Flags.LOST

LocationOf: TypeAlias = Callable[[str], Awaitable[Location]]


class Room(Protocol):
    """Who sees to it that there is room on the disk."""

    async def take(self, size_bytes: int) -> None:
        """NoSpace where there is none."""
        ...

    def give(self, size_bytes: int) -> None: ...


@dataclass(slots=True)
class Filling:
    """Loads files of one tree."""

    tree: Tree
    location_of: LocationOf
    room: Room
    loaded: Callable[[bytes], None]  # the handle of what has to be brought to stable storage
    quiet: Callable[[bytes], int] | None = None
    """A descriptor whose writes raise no event (blocking), where those of ordinary ones do."""

    async def fill(self, handle: bytes) -> Event | None:
        """The file with this handle has its bytes when this returns; None where it had them before.

        Raises:
            ChangedWhileRead, NotFound: the origin is another one now. Tampered, Corrupt, NoSpace, Unreachable …; OSError: of the file itself.
        """
        began_s = time.monotonic()
        fd = self.tree.open(handle, _OPEN)
        try:
            stub = self.tree.stub_of(fd)
            if stub is None:
                self._known(fd)
            elif stub.flags.is_stub:
                fd = await self._silenced(fd, handle, stub.size_bytes)
                await self._load(fd, stub)
            elif stub.flags & Flags.UNSYNCED and has_hole(fd, min(stub.size_bytes, os.fstat(fd).st_size)):
                await self._mend(fd, stub)
            else:
                stub = None
            self.tree.unprotect(fd)
            if stub is None:
                return None
            self.loaded(handle)
            took_s = time.monotonic() - began_s
            path, inode = self.tree.path_of(fd), os.fstat(fd).st_ino
            return Event(Happened.LOADED, path, inode, stub.origin, stub.size_bytes, took_s)
        finally:
            os.close(fd)

    async def _silenced(self, fd: int, handle: bytes, size_bytes: int) -> int:
        """A descriptor to write so many bytes by, in the place of this one. Each write by an ordinary one is a question to our own ear, and a large file
        takes hundreds; a quiet one costs three, once.
        """
        if self.quiet is None or size_bytes < ALLOCATE_FROM_BYTES:
            return fd
        opening = asyncio.get_running_loop().run_in_executor(None, self.quiet, handle)
        try:
            quiet_fd = await asyncio.shield(opening)
        except OSError:
            return fd
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        os.close(fd)
        return quiet_fd

    def _known(self, fd: int) -> None:
        found = os.fstat(fd)
        if found.st_size and not found.st_blocks:
            raise Tampered(
                f"{self.tree.path_of(fd)} is one hole and has lost its attribute: what it stood for is not known",
                hint="`lakelink hsm restore` takes the lake's version; if its zeros are meant, `lakelink hsm accept` says so.",
            )

    async def _load(self, fd: int, stub: Stub) -> None:
        before: os.stat_result | None = os.fstat(fd)
        if stub.flags & Flags.MOVING:
            before = None
        elif has_data(fd):
            raise Tampered(
                f"{self.tree.path_of(fd)} was written to while nothing guarded it",
                hint="Its bytes are kept as they are; copy the file as root from the backing directory, then restore it.",
            )
        cut = before is not None and before.st_size != stub.size_bytes
        if cut and before is not None and not before.st_size:
            # Truncated to nothing by path, where that is not seen (Tier.OPEN): nothing of the object is left to load.
            self.tree.put(fd, replace(stub, flags=stub.flags & ~_ENDS))
            return
        await self.room.take(stub.size_bytes)
        try:
            self.tree.put(fd, replace(stub, flags=stub.flags | Flags.MOVING))
            await self._bytes(fd, stub)
        except BaseException:
            self._empty(fd, stub, before)
            raise
        finally:
            self.room.give(stub.size_bytes)
        if cut and before is not None:
            os.ftruncate(fd, before.st_size)
        mtime_ns = before.st_mtime_ns if cut and before is not None else stub.mtime_ns
        os.utime(fd, ns=(time.time_ns(), mtime_ns))
        self.tree.put(fd, replace(stub, flags=(stub.flags & ~_ENDS) | Flags.UNSYNCED))

    async def _bytes(self, fd: int, stub: Stub) -> None:
        size = stub.size_bytes
        if size < ALLOCATE_FROM_BYTES and (data := await self._fetched(stub)) is not None:
            _write(fd, data)
            return
        content = await self._content(stub)
        data = content.at_hand()
        if data is not None:
            if len(data) != size:
                raise Corrupt(f"{stub.origin.path}: {len(data)} bytes came instead of {size}", hint="Run again.")
            _write(fd, data)
            return
        if size >= ALLOCATE_FROM_BYTES:
            _allocate(fd, size)
        content.hurried = True
        # A follower of the digest reads from the file, in a thread: its questions are answered like all of our own.
        came = await content.pour(fd)
        if came != size:
            raise ChangedWhileRead(f"{stub.origin.path}: {came} bytes came instead of {size}")

    async def _fetched(self, stub: Stub) -> bytes | None:
        """The bytes by the short way, where there is one and it leads to them."""
        location = await self.location_of(stub.origin.location)
        if not isinstance(location, Prompt):
            return None
        return await location.fetch(Read(stub.origin.path, stub.size_bytes, stub.origin.version))

    async def _content(self, stub: Stub) -> Content:
        origin = stub.origin
        location = await self.location_of(origin.location)
        expect: Version | None = origin.version
        if not origin.version.etag and not origin.version.ino and not location.traits.local:
            expect = None
        (found,) = await location.read([Read(origin.path, stub.size_bytes, expect)])
        if isinstance(found, LakelinkError):
            raise found
        return found

    def _empty(self, fd: int, stub: Stub, before: os.stat_result | None) -> None:
        """Back to a stub; where that fails it stays MOVING, and the next load begins anew."""
        with contextlib.suppress(OSError):
            permission.punch(fd, stub.size_bytes)
            if before is not None:
                os.ftruncate(fd, before.st_size)
                os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
            else:
                os.ftruncate(fd, stub.size_bytes)
                os.utime(fd, ns=(stub.mtime_ns, stub.mtime_ns))
            self.tree.put(fd, replace(stub, flags=stub.flags & ~Flags.MOVING))

    async def _mend(self, fd: int, stub: Stub) -> None:
        """Fill the holes that a power failure left; what is written in between is kept."""
        before = os.fstat(fd)
        content = await self._content(stub)
        with tempfile.TemporaryFile(dir=self.tree.root) as whole:
            data = content.at_hand()
            if data is not None:
                _write(whole.fileno(), data)
            else:
                await content.pour(whole.fileno())
            await asyncio.to_thread(_fill_holes, fd, whole.fileno(), min(before.st_size, stub.size_bytes))
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))


def _close_late(opening: asyncio.Future[int]) -> None:
    """Nobody waits for this descriptor any more; left open, it would keep the file from ever being released."""
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def _write(fd: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(fd, view[at:], at)


def _allocate(fd: int, size_bytes: int) -> None:
    try:
        permission.allocate(fd, size_bytes)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise


def _fill_holes(fd: int, source_fd: int, size_bytes: int) -> None:
    at = 0
    while at < size_bytes:
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        if hole >= size_bytes:
            return
        try:
            end = min(os.lseek(fd, hole, os.SEEK_DATA), size_bytes)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            end = size_bytes
        at = hole
        while at < end:
            data = os.pread(source_fd, min(_COPY_BYTES, end - at), at)
            if not data:
                return
            at += os.pwrite(fd, data, at)
