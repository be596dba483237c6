"""Replacing the metadata of something that is in place."""

from __future__ import annotations

import errno
import os

from lakelink.errors import PreconditionFailed
from lakelink.locations.local.metadata import entry_of, matches, settle
from lakelink.locations.local.place import Place, taken
from lakelink.model.entry import Entry, Kind, Posix, Version
from lakelink.model.path import display
from lakelink.ports.kernel import Kernel

# O_NONBLOCK: a FIFO that took the file's place must not hold us.
_BY_PATH = frozenset({errno.EACCES, errno.EPERM, errno.ENODATA})
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def set_attributes(kernel: Kernel, place: Place, posix: Posix, expected: Version | None, *, owner: bool) -> Entry:
    """Owner (with `owner`), mode and times of what is at the place; answers what holds then. `expected` None = whatever is of that kind.

    Files and directories are changed through a descriptor, so never another than the one looked at. A lease, where the kernel gives one, keeps
    writers waiting meanwhile: the time set cannot hide an edit. Errors are OSError, and:

    Raises:
        PreconditionFailed: the place holds something else, or somebody is writing to it.
    """
    if place.kind is Kind.SYMLINK:
        return _set_link(kernel, place, posix, expected, owner=owner)
    # A device or FIFO must not even be opened; what is there may change after this look, and is looked at again.
    _require(place, kernel.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False), expected)
    handle: int | str
    try:
        fd = handle = kernel.open(place.name, _FLAGS, dir_fd=place.dir_fd)
    except OSError as error:
        if error.errno not in _BY_PATH:
            raise
        # Not readable, or a stub, but its owner may change it all the same.
        fd = kernel.open(place.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place.dir_fd)
        handle = f"/proc/self/fd/{fd}"
    try:
        if place.kind is Kind.FILE and kernel.lease(fd) is False:
            raise PreconditionFailed(
                f"{display(place.path)} is open for writing", hint="Its metadata is set when its writer is done."
            )
        st = kernel.fstat(fd)
        _require(place, st, expected)
        settle(kernel, handle, st, posix, owner=owner)
        kernel.utime(handle, ns=(posix.atime_ns, posix.mtime_ns))
        return entry_of(kernel.fstat(fd))
    finally:
        kernel.close(fd)


def _set_link(kernel: Kernel, place: Place, posix: Posix, expected: Version | None, *, owner: bool) -> Entry:
    _require(place, kernel.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False), expected)
    st = set_link(kernel, place.name, place.dir_fd, posix, owner=owner)
    return entry_of(st, os.fsdecode(kernel.readlink(place.name, dir_fd=place.dir_fd)))


def set_link(kernel: Kernel, name: str, dir_fd: int, posix: Posix, *, owner: bool) -> os.stat_result:
    """Owner and times of a symlink by its name, which is never followed; a link has no mode of its own."""
    if owner:
        kernel.chown(name, posix.uid, posix.gid, dir_fd=dir_fd, follow_symlinks=False)
    kernel.utime(name, ns=(posix.atime_ns, posix.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
    return kernel.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def _require(place: Place, st: os.stat_result, expected: Version | None) -> None:
    if not matches(expected or Version(st.st_size, st.st_mtime_ns, st.st_ino), place.kind, st):
        raise taken(place.path, "is not the version whose metadata was to be set")
