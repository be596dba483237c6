"""File system calls, as a port: the door between the local adapter and the kernel.

The signatures are those of `os`, so that the real port hands them through at no cost; three calls that `os` lacks stand beside them. Names
are `str` with surrogateescape (PEP 383) or bytes, always relative to a directory descriptor and, unless the method says otherwise, one component.
Errors are OSError with the kernel's errno: the adapter above translates. The simulator and the fault tests stand at this port.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

Name: TypeAlias = str | bytes

RENAME_NOREPLACE = 1  # linux/fs.h
RENAME_EXCHANGE = 2  # linux/fs.h


class DirectoryEntry(Protocol):
    """What `os.scandir` yields, as far as the adapter uses it."""

    @property
    def name(self) -> str: ...

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result: ...


class Kernel(Protocol):
    """System calls on descriptors and names below them."""

    # Opening and looking
    def open(self, path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int: ...

    def open_beneath(self, path: str, flags: int, *, dir_fd: int) -> int:
        """Open an existing `path` of any number of components below `dir_fd`; no component, the last included, is a link that gets followed.

        ELOOP where one is a symlink, ENOTDIR where one in the middle is a file.
        """
        ...

    def close(self, fd: int, /) -> None: ...

    def scandir(self, fd: int, /) -> AbstractContextManager[Iterator[DirectoryEntry]]:
        """The entries of an open directory, in the kernel's order, without "." and ".."."""
        ...

    def stat(self, path: Name, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result: ...

    def fstat(self, fd: int) -> os.stat_result: ...

    def readlink(self, path: Name, *, dir_fd: int | None = None) -> bytes: ...

    # Names
    def mkdir(self, path: Name, mode: int = 0o777, *, dir_fd: int | None = None) -> None: ...

    def rmdir(self, path: Name, *, dir_fd: int | None = None) -> None: ...

    def unlink(self, path: Name, *, dir_fd: int | None = None) -> None: ...

    def symlink(self, target: bytes, path: Name, *, dir_fd: int) -> None: ...

    def link(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int) -> None:
        """A second name; a symlink is linked itself."""
        ...

    def link_fd(self, fd: int, new: Name, *, dir_fd: int) -> None:
        """Give an open file (O_TMPFILE) a name; EEXIST where the name is taken: never replaces."""
        ...

    def rename(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int, flags: int = 0) -> None:
        """renameat2(2). EINVAL or ENOSYS where the file system has no such flag."""
        ...

    # Metadata
    def fchmod(self, fd: int, mode: int) -> None: ...

    def chmod(self, path: Name, mode: int) -> None: ...

    def fchown(self, fd: int, uid: int, gid: int) -> None: ...

    def chown(
        self, path: Name, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None: ...

    def utime(
        self, path: Name | int, *, ns: tuple[int, int], dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        """Set (atime, mtime) in nanoseconds, of a name or of an open file."""
        ...

    # Bytes
    def read(self, fd: int, length: int, /) -> bytes: ...

    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...

    def write(self, fd: int, data: bytes | memoryview, /) -> int: ...

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int: ...

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        """With SEEK_DATA and SEEK_HOLE too; ENXIO behind the last byte of data."""
        ...

    def ftruncate(self, fd: int, length: int, /) -> None: ...

    def copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int: ...

    def clone(self, target_fd: int, source_fd: int) -> None:
        """FICLONE: the whole file, sharing its blocks. EOPNOTSUPP, EXDEV, EINVAL or ENOTTY where that is not offered."""
        ...

    # Durability, locks, facts
    def fdatasync(self, fd: int) -> None: ...

    def syncfs(self, fd: int) -> None:
        """All of the file system that holds `fd` is on stable storage; an earlier failure to write back is reported (Linux 5.8)."""
        ...

    def flock(self, fd: int, operation: int, /) -> None: ...

    def lease(self, fd: int) -> bool | None:
        """Take a read lease on a file open for reading only (fcntl(2), F_SETLEASE); closing `fd` gives it back.

        True: nobody has the file open for writing or mapped so, and who wants to waits until `fd` is closed. False: somebody has.
        None: the kernel or the file system does not tell, or the file is another user's.
        """
        ...

    def is_stub(self, path: Name, *, dir_fd: int) -> bool:
        """Whether the file's bytes are elsewhere (a lazy link). Such a file is never opened: `open` for its bytes is ENODATA, at once."""
        ...

    def mount_of(self, fd: int) -> tuple[int, int]:
        """(mount id, device): rename and link work between directories where both are equal."""
        ...

    def geteuid(self) -> int: ...
