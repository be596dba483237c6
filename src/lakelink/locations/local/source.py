"""Local files as content: opened without following links, and watched while they are read."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from lakelink.errors import ChangedWhileRead, NotFound, Unsupported
from lakelink.locations.content import CHUNK_BYTES, Content, SourceFile
from lakelink.locations.local.copying import copy_file
from lakelink.locations.local.directories import open_below
from lakelink.locations.local.metadata import matches
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.root import Root
from lakelink.locations.local.workers import Workers
from lakelink.model.entry import Kind, Version
from lakelink.model.path import display, split
from lakelink.ports.kernel import Kernel

T = TypeVar("T")
# O_NONBLOCK: a FIFO that took the file's place must not hold us. It means nothing to files.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


def open_to_read(kernel: Kernel, name: str, dir_fd: int, *, follow: bool = False) -> int:
    """Open `name` in `dir_fd`; ELOOP where it is a symlink and links are not followed. Access times stay as they are where the owner allows it."""
    flags = _FLAGS if follow else _FLAGS | os.O_NOFOLLOW
    try:
        return kernel.open(name, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:  # EPERM: O_NOATIME is for the owner and root
            raise
    return kernel.open(name, flags, dir_fd=dir_fd)


def changed(path: str) -> ChangedWhileRead:
    """The error of a file that is not what it was."""
    return ChangedWhileRead(
        f"{display(path)} changed while it was read", hint="It is looked at again; a file that never rests is reported."
    )


def state_of(st: os.stat_result) -> tuple[int, int, int, int]:
    """What moves when a file is written to. ctime too: between two looks at one open file it is more than a hint."""
    return st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns


class LocalSource(SourceFile):
    """An open file, its state at the opening kept for `check`."""

    def __init__(self, kernel: Kernel, fd: int, path: str, st: os.stat_result) -> None:
        self._kernel = kernel
        self._path = path
        self.fd = fd
        self.st = st
        self.size_bytes = st.st_size

    def check(self) -> None:
        if state_of(self._kernel.fstat(self.fd)) != state_of(self.st):
            raise changed(self._path)

    def close(self) -> None:
        if self.fd >= 0:
            self._kernel.close(self.fd)
            self.fd = -1


class FileContent(Content):
    """The bytes of one version of a local file; opened when they are wanted, closed right after."""

    def __init__(self, kernel: Kernel, root: Root, workers: Workers, path: str, version: Version) -> None:
        self._kernel = kernel
        self._root = root
        self._workers = workers
        self._path = path
        self._version = version
        self.follow = False
        self.size_bytes: int = version.size_bytes

    def open_file(self) -> LocalSource:
        """The file, as the version that was named.

        Raises:
            ChangedWhileRead: it is another version now.
            NotFound, NotPermitted: it is gone; it may not be read.
        """
        parent, name = split(self._path)
        try:
            dir_fd = open_below(self._kernel, self._root.fd(), parent, os.O_PATH | os.O_DIRECTORY, follow=self.follow)
            try:
                fd = open_to_read(self._kernel, name, dir_fd, follow=self.follow)
            finally:
                self._kernel.close(dir_fd)
        except OSError as error:
            raise self._translated(error) from error
        source = LocalSource(self._kernel, fd, self._path, self._kernel.fstat(fd))
        if not matches(self._version, Kind.FILE, source.st):
            source.close()
            raise changed(self._path)
        return source

    def _translated(self, error: OSError) -> Exception:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            return changed(self._path)
        return translate(error, self._path)

    async def load(self) -> bytes:
        def job(source: LocalSource, _stop: threading.Event) -> bytes:
            return read_all(self._kernel, source.fd, source.size_bytes)

        return await self._with_file(job)

    async def pour(self, fd: int) -> int:
        def job(source: LocalSource, stop: threading.Event) -> int:
            self._kernel.ftruncate(fd, 0)  # what it held must not show where the source has holes, nor behind its end
            return copy_file(self._kernel, source.fd, fd, source.st, stop)

        return await self._with_file(job)

    async def _with_file(self, job: Callable[[LocalSource, threading.Event], T]) -> T:
        def run(stop: threading.Event) -> T:
            source = self.open_file()
            try:
                result = job(source, stop)
                source.check()
            except OSError as error:
                raise self._translated(error) from error
            finally:
                source.close()
            return result

        return await self._workers.run(run)

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        source = await self._workers.run(lambda _stop: self.open_file(), undo=LocalSource.close)
        try:
            position = start
            while position < end:
                data = await self._workers.run(lambda _stop, at=position: self._piece(source, at, end))  # type: ignore[misc]
                position += len(data)
                yield data
        finally:
            source.close()

    def _piece(self, source: LocalSource, position: int, end: int) -> bytes:
        """The next chunk; the last one only after the file has been found unchanged."""
        try:
            data = self._kernel.pread(source.fd, min(CHUNK_BYTES, end - position), position)
        except OSError as error:
            raise self._translated(error) from error
        if not data:
            raise changed(self._path)
        if position + len(data) >= end:
            source.check()
        return data


def read_all(kernel: Kernel, fd: int, size_bytes: int) -> bytes:
    """Up to `size_bytes` from where `fd` stands, and one byte more where there is one: then the file grew."""
    data = kernel.read(fd, size_bytes + 1)
    if len(data) >= size_bytes or not data:
        return data
    pieces = [data]
    missing = size_bytes + 1 - len(data)
    while missing and (data := kernel.read(fd, missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def require_file(path: str, st: os.stat_result) -> None:
    """The open file has content that can be read.

    Raises:
        NotFound: it is a directory: there is nothing to read at this path.
        Unsupported: a device, FIFO or socket.
    """
    if stat.S_ISDIR(st.st_mode):
        raise NotFound(f"{display(path)} is a directory")
    if not stat.S_ISREG(st.st_mode):
        raise Unsupported(f"{display(path)} is a device, FIFO or socket")
