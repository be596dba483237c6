"""The tree in the backing directory, by inode: attributes, marks, and where a file is. Nothing here loads or releases."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace

from lakelink.links.hsm.base import Fill, Sight, Tier
from lakelink.links.hsm.places import Places
from lakelink.links.hsm.probe import MASKS
from lakelink.links.hsm.stub import ATTRIBUTE, Flags, Stub, Unreadable
from lakelink.model.entry import Version
from lakelink.ports import permission
from lakelink.ports.linux import LinuxKernel

_NO_ATTRIBUTE = {errno.ENODATA, errno.EOPNOTSUPP}


class Tree:
    """One guarded tree, as one process has it open. Blocking, safe from any thread."""

    def __init__(self, root: str, places: Places, group_fd: int, tier: Tier) -> None:
        self.root = root
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.places = places
        self.group_fd = group_fd
        self.mask = MASKS[tier]
        self._kernel = LinuxKernel()
        self._top = os.fsencode(os.path.realpath(root))

    def close(self) -> None:
        os.close(self.fd)
        self.places.close()

    def open(self, handle: bytes, flags: int) -> int:
        """Open an inode of the tree. Never waits for somebody's lease (EWOULDBLOCK); ESTALE where it is gone."""
        return permission.open_handle(self.fd, handle, flags | os.O_NONBLOCK)

    def stub_of(self, fd: int) -> Stub | None:
        """What an open file stands for; None for one without the attribute.

        Raises:
            Unreadable: the attribute is not one of ours.
        """
        try:
            return self.places.decode(os.getxattr(fd, ATTRIBUTE))
        except OSError as error:
            if error.errno in _NO_ATTRIBUTE:
                return None
            raise

    def put(self, fd: int, stub: Stub) -> None:
        """Write the attribute, at once and whole; durable with the next flush."""
        os.setxattr(fd, ATTRIBUTE, self.places.encode(stub))

    def protect(self, fd: int) -> None:
        permission.mark(self.group_fd, fd, self.mask)

    def unprotect(self, fd: int) -> None:
        permission.unmark(self.group_fd, fd, self.mask)

    def path_of(self, fd: int) -> str:
        """Where an open file is at this moment, below the root; "" where it has no name there any more."""
        with contextlib.suppress(OSError):
            place = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115  # bytes in, bytes out
            if place.startswith(self._top + b"/") and not place.endswith(b" (deleted)"):
                return os.fsdecode(place[len(self._top) + 1 :])
        return ""

    def handle_at(self, path: str) -> bytes | None:
        """The handle of the file at a path, without opening it; None where there is no regular file."""
        fd = self.look(path)
        if fd is None:
            return None
        try:
            return permission.handle_of(fd) if os.path.isfile(b"/proc/self/fd/%d" % fd) else None  # noqa: PTH113
        finally:
            os.close(fd)

    def look(self, path: str) -> int | None:
        """A descriptor that asks nobody; no component of the path is a symlink, which could lead out of the tree."""
        try:
            return self._kernel.open_beneath(path, os.O_PATH, dir_fd=self.fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                return None
            raise

    def fill(self) -> Fill:
        room = os.fstatvfs(self.fd)
        return Fill(room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize)

    def sight(self, path: str) -> Sight | None:
        """See `Guard.state`."""
        fd = self.look(path)
        if fd is None:
            return None
        try:
            found = os.fstat(fd)
            return self._seen(path, fd, found) if (found.st_mode & 0o170000) == 0o100000 else None
        finally:
            os.close(fd)

    def _seen(self, path: str, fd: int, found: os.stat_result) -> Sight:
        allocated = found.st_blocks * 512
        sight = Sight(
            path=path,
            version=Version(found.st_size, found.st_mtime_ns, ino=found.st_ino),
            stub=None,
            flags=Flags(0),
            allocated_bytes=allocated,
            accessed_ns=max(found.st_atime_ns, found.st_ctime_ns, found.st_mtime_ns),
        )
        try:
            stub = self.stub_of_path(fd)
        except Unreadable:
            return replace(sight, unknown=True)
        if stub is None:
            return replace(sight, unknown=bool(found.st_size) and not allocated)
        flags = stub.flags
        if not flags.is_stub and (found.st_size, found.st_mtime_ns) != (stub.size_bytes, stub.mtime_ns):
            flags |= Flags.DIRTY
        return replace(sight, stub=stub, flags=flags)

    def stub_of_path(self, path_fd: int) -> Stub | None:
        """As `stub_of`, for a descriptor opened with O_PATH."""
        try:
            return self.places.decode(os.getxattr(b"/proc/self/fd/%d" % path_fd, ATTRIBUTE))
        except OSError as error:
            if error.errno in _NO_ATTRIBUTE:
                return None
            raise

    def put_path(self, path_fd: int, stub: Stub) -> None:
        """As `put`, for a descriptor opened with O_PATH: nobody is asked, and no lease is broken."""
        os.setxattr(b"/proc/self/fd/%d" % path_fd, ATTRIBUTE, self.places.encode(stub))


def has_data(fd: int) -> bool:
    """Whether any byte of the file is allocated and written."""
    try:
        os.lseek(fd, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def has_hole(fd: int, size_bytes: int) -> bool:
    """Whether any byte before the end is not."""
    return bool(size_bytes) and os.lseek(fd, 0, os.SEEK_HOLE) < size_bytes
