"""The root of a feed: never held open, and known again.

An open descriptor would keep the file system from being unmounted, and a lazy unmount from being noticed. So the root is opened when something
has to be done below it, and each time compared with what the feed began with. Device and inode number do for that: a feed does not outlive a mount.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from lakelink.errors import LakelinkError, NotPermitted, RootMissing, StorageError
from lakelink.ports.kernel import Kernel

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENODEV, errno.ENOTCONN})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


class WatchedRoot:
    """The directory at `path`. The path may lead through symlinks: the user gave it; below it nothing follows links."""

    def __init__(self, kernel: Kernel, path: str) -> None:
        """Remember what is there now.

        Raises:
            RootMissing: nothing is there, or not a directory.
            NotPermitted: it cannot be read.
        """
        self.path = path
        self._kernel = kernel
        self._identity: tuple[int, int] | None = None
        with self.open() as fd:
            st = kernel.fstat(fd)
        self._identity = (st.st_dev, st.st_ino)

    @property
    def device(self) -> int:
        """The device number of the file system, as long as it is mounted."""
        return self._identity[0] if self._identity else 0

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        """The root, open for the time of the block.

        Raises:
            RootMissing: it was unmounted, removed or replaced.
            NotPermitted: it cannot be read any more.
        """
        try:
            fd = self._kernel.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._error(error) from error
        try:
            self._compare(self._kernel.fstat(fd))
            yield fd
        finally:
            self._kernel.close(fd)

    def check(self) -> None:
        """The path still leads to what the feed began with.

        Raises:
            RootMissing: it does not.
        """
        try:
            st = self._kernel.stat(self.path)
        except OSError as error:
            raise self._error(error) from error
        self._compare(st)

    def _compare(self, st: os.stat_result) -> None:
        if self._identity is not None and (st.st_dev, st.st_ino) != self._identity:
            raise RootMissing(
                f"{self.path} is no longer the directory that was watched",
                hint="It was unmounted, moved or replaced. Nothing is removed because of that; put it back.",
            )

    def _error(self, error: OSError) -> LakelinkError:
        if error.errno in GONE:
            return RootMissing(
                f"{self.path} is not there or not a directory", hint="Check the path; is the file system mounted?"
            )
        if error.errno in _DENIED:
            return NotPermitted(f"{self.path}: {error.strerror}", hint="Run as a user that may read it.")
        return StorageError(f"{self.path}: {error.strerror}")
