"""Bytes from one open file to another, inside the kernel where it can."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

from lakelink.errors import StorageError
from lakelink.locations.local.oserror import NOT_OFFERED
from lakelink.ports.kernel import Kernel

PIECE_BYTES = 32 << 20  # one copy_file_range: long enough to be cheap, short enough that a cancelled run ends soon
BUFFER_BYTES = 1 << 20
CLONE_FROM_BYTES = 1 << 20  # below it, the call that finds out whether blocks can be shared costs more than it saves
_NO_CROSSING = NOT_OFFERED | {errno.EXDEV, errno.EPERM, errno.EBADF, errno.ETXTBSY}


class Stopped(Exception):
    """The caller does not want the result any more."""


def is_sparse(st: os.stat_result) -> bool:
    """Whether the file has fewer blocks than bytes: holes, or compression, which looks the same."""
    return st.st_size > st.st_blksize and st.st_blocks * 512 < st.st_size


def copy_file(kernel: Kernel, source_fd: int, target_fd: int, st: os.stat_result, stop: threading.Event) -> int:
    """Copy a file of `st` into an empty one; returns how many bytes it holds then. Holes stay holes, zeros stay zeros.

    Shares the blocks where the file system offers it. Fewer bytes than `st.st_size` where the source shrank. Errors are OSError.

    Raises:
        Stopped: the event was set.
    """
    size_bytes = st.st_size
    if size_bytes >= CLONE_FROM_BYTES:
        try:
            kernel.clone(target_fd, source_fd)
        except OSError as error:
            if error.errno not in _NO_CROSSING:
                raise
        else:
            return kernel.fstat(target_fd).st_size
    if not is_sparse(st):
        return _copy_range(kernel, source_fd, target_fd, (0, size_bytes), stop)
    for start, end in _segments(kernel, source_fd, size_bytes):
        reached = _copy_range(kernel, source_fd, target_fd, (start, end), stop)
        if reached < end:
            return reached
    kernel.ftruncate(target_fd, size_bytes)
    return size_bytes


def _segments(kernel: Kernel, fd: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Where the data is, as (start, end)."""
    position = 0
    while position < size_bytes:
        try:
            start = kernel.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            if error.errno not in NOT_OFFERED:
                raise
            start, position = position, size_bytes
        else:
            position = min(kernel.lseek(fd, start, os.SEEK_HOLE), size_bytes)
        yield start, position


def _copy_range(kernel: Kernel, source_fd: int, target_fd: int, span: tuple[int, int], stop: threading.Event) -> int:
    position, end = span
    while position < end:
        if stop.is_set():
            raise Stopped
        try:
            copied = kernel.copy_file_range(source_fd, target_fd, min(PIECE_BYTES, end - position), position, position)
        except OSError as error:
            # Two file systems, or one that cannot: through this process, from where we are.
            if error.errno not in _NO_CROSSING:
                raise
            copied = 0
        if not copied:
            return _copy_buffered(kernel, source_fd, target_fd, (position, end), stop)
        position += copied
    return position


def _copy_buffered(kernel: Kernel, source_fd: int, target_fd: int, span: tuple[int, int], stop: threading.Event) -> int:
    position, end = span
    while position < end:
        if stop.is_set():
            raise Stopped
        data = kernel.pread(source_fd, min(BUFFER_BYTES, end - position), position)
        if not data:
            return position
        write_at(kernel, target_fd, data, position)
        position += len(data)
    return position


def write_at(kernel: Kernel, fd: int, data: bytes, offset: int) -> None:
    """All of `data`, however many calls that takes."""
    written = kernel.pwrite(fd, data, offset)
    if written == len(data):
        return
    view = memoryview(data)[written:]
    while view:
        step = kernel.pwrite(fd, view, offset + written)
        if not step:
            raise StorageError("the file system took no bytes and gave no error")
        written += step
        view = view[step:]
