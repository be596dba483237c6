"""Reading many small files in one go."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from lakelink.errors import ChangedWhileRead, LakelinkError
from lakelink.locations.base import Read
from lakelink.locations.content import BytesContent, Content
from lakelink.locations.local.copying import is_sparse
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.metadata import matches, version_of
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.root import Root
from lakelink.locations.local.source import (
    FileContent,
    changed,
    open_to_read,
    read_all,
    require_file,
    state_of,
)
from lakelink.locations.local.workers import Workers
from lakelink.model.entry import Kind
from lakelink.model.path import split
from lakelink.ports.kernel import Kernel

IN_MEMORY_BYTES = 1 << 20  # up to here a file is read at once
BATCH_BYTES = 8 << 20  # up to here in sum; what is left of a batch is read when it is wanted
ALWAYS_BYTES = 4096  # and these always: every symlink target, and files that cost less to read than to open again
ATTEMPTS = 3  # only where no version was asked for


class Reader:
    """Answers one `read` call; runs in a thread."""

    def __init__(self, kernel: Kernel, root: Root, workers: Workers, *, follow: bool) -> None:
        self._kernel = kernel
        self._root = root
        self._workers = workers
        self._follow = follow
        self._left_bytes = BATCH_BYTES

    def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        """One answer per read, in order."""
        with Directories(self._kernel, self._root.fd(), follow=self._follow) as directories:
            return [self._one(directories, read) for read in reads]

    def _one(self, directories: Directories, read: Read) -> Content | LakelinkError:
        expect = read.expect
        try:
            for attempt in range(ATTEMPTS):
                try:
                    return self._open(directories, read)
                except ChangedWhileRead:
                    if expect is not None or attempt == ATTEMPTS - 1:
                        raise
        except LakelinkError as error:
            return error
        except OSError as error:
            return translate(error, read.path)
        raise AssertionError

    def _limit_bytes(self) -> int:
        return max(min(IN_MEMORY_BYTES, self._left_bytes), ALWAYS_BYTES)

    def _open(self, directories: Directories, read: Read) -> Content:
        parent, name = split(read.path)
        dir_fd = directories.get(parent)
        try:
            fd = open_to_read(self._kernel, name, dir_fd, follow=self._follow)
        except OSError as error:
            if error.errno != errno.ELOOP or self._follow:
                raise
            return self._link(read, name, dir_fd)
        try:
            st = self._kernel.fstat(fd)
            require_file(read.path, st)
            if read.expect is not None and not matches(read.expect, Kind.FILE, st):
                raise changed(read.path)
            if st.st_size > self._limit_bytes() or is_sparse(st):
                return self._lazy(read.path, st)
            data = read_all(self._kernel, fd, st.st_size)
            if len(data) != st.st_size or state_of(self._kernel.fstat(fd)) != state_of(st):
                raise changed(read.path)
        finally:
            self._kernel.close(fd)
        self._left_bytes -= len(data)
        return _known(data, st)

    def _link(self, read: Read, name: str, dir_fd: int) -> Content:
        """A symlink's content is its target. It cannot be changed in place, only replaced: one look before and after suffices."""
        st = self._look(name, dir_fd)
        target = self._kernel.readlink(name, dir_fd=dir_fd)
        if state_of(self._look(name, dir_fd)) != state_of(st):
            raise changed(read.path)
        if read.expect is not None and not matches(read.expect, Kind.SYMLINK, st):
            raise changed(read.path)
        return _known(target, st)

    def _look(self, name: str, dir_fd: int) -> os.stat_result:
        return self._kernel.stat(name, dir_fd=dir_fd, follow_symlinks=False)

    def _lazy(self, path: str, st: os.stat_result) -> FileContent:
        content = FileContent(self._kernel, self._root, self._workers, path, version_of(st))
        content.follow = self._follow
        content.atime_ns = st.st_atime_ns
        return content


def _known(data: bytes, st: os.stat_result) -> BytesContent:
    content = BytesContent(data)
    content.atime_ns = st.st_atime_ns
    return content
