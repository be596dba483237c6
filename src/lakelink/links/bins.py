"""The stamps of a trash as directories: found, walked and removed, by descriptors that follow no link."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakelink.errors import RootMissing
from lakelink.locations.local.directories import open_below
from lakelink.locations.local.oserror import GONE, translate
from lakelink.locations.local.stamp import SPAN_NS, stamp_time_ns
from lakelink.model.path import OWN_DIRECTORY, display, join, split
from lakelink.ports.kernel import Kernel
from lakelink.watch.mounts import mounts_below, parse_mounts

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True, order=True)
class Bin:
    """One stamp of one trash. In order, the oldest is first."""

    begun_ns: int
    path: str  # relative to the root: .lakelink/trash/STAMP, or below the top of a file system mounted there

    @property
    def stamp(self) -> str:
        return split(self.path)[1]

    @property
    def ended_ns(self) -> int:
        """Nothing was put there later."""
        return self.begun_ns + SPAN_NS


@dataclass(slots=True)
class Removal:
    """What was removed, how much room that makes, and what stays since someone writes to it."""

    files: int = 0
    bytes: int = 0  # of storage, not of length
    busy: int = 0
    complete: bool = True  # False: the limit was met first


@contextlib.contextmanager
def open_root(kernel: Kernel, root: str) -> Iterator[int]:
    """The root, open for the time of the block.

    Raises:
        RootMissing: it cannot be opened.
    """
    try:
        fd = kernel.open(root, _DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RootMissing(f"{display(root)} cannot be opened: {error.strerror}", hint="Is it mounted?") from error
    try:
        yield fd
    finally:
        kernel.close(fd)


def bins_below(kernel: Kernel, root_fd: int, root: str) -> list[Bin]:
    """Every stamp, the oldest first. A directory that is not named as one is somebody else's, and left alone.

    Raises:
        NotPermitted, StorageError: a trash cannot be opened; it is not taken for an empty one.
    """
    found = []
    for top in ("", *sorted(_mounts(root))):
        trash = join(top, f"{OWN_DIRECTORY}/trash")
        for name in _directories(kernel, root_fd, trash):
            begun_ns = stamp_time_ns(name)
            if begun_ns is not None:
                found.append(Bin(begun_ns, f"{trash}/{name}"))
    return sorted(found)


def files_of(kernel: Kernel, root_fd: int, base: str) -> Iterator[tuple[str, os.stat_result]]:
    """Whatever is no directory below `base`, with its path there. What cannot be read or has just gone is passed over."""
    directories = [""]
    while directories:
        path = directories.pop()
        try:
            fd = open_below(kernel, root_fd, join(base, path) if path else base, _DIRECTORY)
        except OSError:
            continue
        try:
            with contextlib.suppress(OSError):
                for name, st in _entries(kernel, fd):
                    if stat.S_ISDIR(st.st_mode):
                        directories.append(join(path, name))
                    else:
                        yield join(path, name), st
        finally:
            kernel.close(fd)


def storage_bytes(st: os.stat_result) -> int:
    """The room that a file takes; a sparse one takes less than its length."""
    return st.st_blocks * 512


def remove_files(
    kernel: Kernel,
    root_fd: int,
    base: str,
    wanted: Callable[[str, os.stat_result], bool],
    *,
    most: int | None = None,
    enough_bytes: int | None = None,
) -> Removal:
    """Remove the wanted files below `base`, and the directories that are empty then, `base` with them.

    Stops after `most` files, or when so many bytes of storage are free again. May be repeated; what is gone already is no error.

    Raises:
        OSError: one cannot be removed.
    """
    done = Removal()
    todo: list[tuple[str, bool]] = [("", False)]
    while todo:
        path, emptied = todo.pop()
        here = join(base, path) if path else base
        if emptied:
            _remove_directory(kernel, root_fd, here)
            continue
        try:
            fd = open_below(kernel, root_fd, here, _DIRECTORY)
        except OSError as error:
            if error.errno in GONE:
                continue
            raise
        todo.append((path, True))
        try:
            for name, st in _entries(kernel, fd):
                if stat.S_ISDIR(st.st_mode):
                    todo.append((join(path, name), False))
                elif wanted(join(path, name), st):
                    if done.files == most or (enough_bytes is not None and done.bytes >= enough_bytes):
                        done.complete = False
                        return done
                    _remove_file(kernel, fd, name, st, done)
        finally:
            kernel.close(fd)
    return done


def _remove_file(kernel: Kernel, fd: int, name: str, st: os.stat_result, done: Removal) -> None:
    if stat.S_ISREG(st.st_mode) and _has_writers(kernel, fd, name):
        done.busy += 1
        return
    with contextlib.suppress(FileNotFoundError):
        kernel.unlink(name, dir_fd=fd)
        done.files += 1
        done.bytes += storage_bytes(st) if st.st_nlink == 1 else 0


def _remove_directory(kernel: Kernel, root_fd: int, path: str) -> None:
    above, name = split(path)
    with contextlib.suppress(OSError):  # something is still in it, or it is gone
        fd = open_below(kernel, root_fd, above, _DIRECTORY)
        try:
            kernel.rmdir(name, dir_fd=fd)
        finally:
            kernel.close(fd)


def _has_writers(kernel: Kernel, dir_fd: int, name: str) -> bool:
    """Whether someone surely has the file open for writing: what he writes would be gone. A file system that does not tell counts as no."""
    try:
        fd = kernel.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return kernel.lease(fd) is False
    finally:
        kernel.close(fd)


def _entries(kernel: Kernel, fd: int) -> Iterator[tuple[str, os.stat_result]]:
    with kernel.scandir(fd) as entries:
        for entry in entries:
            try:
                st = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            yield entry.name, st


def _directories(kernel: Kernel, root_fd: int, path: str) -> list[str]:
    try:
        fd = open_below(kernel, root_fd, path, _DIRECTORY)
    except OSError as error:
        if error.errno in GONE:
            return []
        raise translate(error, path) from error
    try:
        return [name for name, st in _entries(kernel, fd) if stat.S_ISDIR(st.st_mode)]
    except OSError as error:
        raise translate(error, path) from error
    finally:
        kernel.close(fd)


def _mounts(root: str) -> frozenset[str]:
    try:
        table = _MOUNTINFO.read_bytes()
    except OSError:
        return frozenset()
    return mounts_below(parse_mounts(table), os.path.realpath(root))
