"""Stubs by the hundred thousand: each appears whole and marked, or not at all.

A file without a name (O_TMPFILE) gets size, owner, mode, attribute, times and mark, and then its name by a call that never replaces. There are no
bytes, so there is nothing to order: names and attributes are durable in the order in which they were made, with the next flush of the file system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import groupby

from lakelink.errors import LakelinkError, NoSpace, NotFound, PreconditionFailed, StorageError
from lakelink.links.hsm.base import NewStub
from lakelink.links.hsm.stub import ATTRIBUTE, STUB, Stub
from lakelink.links.hsm.tree import Tree
from lakelink.model.entry import Version
from lakelink.model.path import display
from lakelink.ports import permission

_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare(tree: Tree, fd: int, new: NewStub) -> Version:
    """See `Guard.prepare`."""
    posix = new.posix
    size = new.origin.version.size_bytes
    os.ftruncate(fd, size)
    os.fchown(fd, posix.uid, posix.gid)
    os.fchmod(fd, posix.mode)
    os.setxattr(fd, ATTRIBUTE, tree.places.encode(Stub(new.origin, posix.mtime_ns, STUB)))
    os.utime(fd, ns=(posix.atime_ns, posix.mtime_ns))
    tree.protect(fd)
    return Version(size, posix.mtime_ns, ino=os.fstat(fd).st_ino)


def make(tree: Tree, stubs: Sequence[NewStub]) -> list[Version | LakelinkError]:
    """See `Guard.make`."""
    tree.places.add([(one.origin.location, one.origin.path.rpartition("/")[0]) for one in stubs])
    made: list[Version | LakelinkError] = []
    for parent, group in groupby(stubs, lambda one: one.path.rpartition("/")[0]):
        try:
            directory_fd = os.open(parent or ".", _DIRECTORY, dir_fd=tree.fd)
        except OSError as error:
            made.extend(_translate(one.path, error) for one in group)
            continue
        try:
            made.extend(_make_one(tree, directory_fd, one) for one in group)
        finally:
            os.close(directory_fd)
    return made


def _make_one(tree: Tree, directory_fd: int, new: NewStub) -> Version | LakelinkError:
    name = new.path.rpartition("/")[2]
    try:
        fd = os.open(".", _NAMELESS, 0o600, dir_fd=directory_fd)
        try:
            version = prepare(tree, fd, new)
            permission.link_fd(fd, directory_fd, os.fsencode(name))
        finally:
            os.close(fd)
    except OSError as error:
        return _translate(new.path, error)
    return version


def _translate(path: str, error: OSError) -> LakelinkError:
    shown = display(path)
    if error.errno == errno.EEXIST:
        return PreconditionFailed(f"{shown} is there already", hint="It will be looked at again.")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NotFound(f"{shown}: its directory is not there")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(f"{shown}: {error.strerror}", hint="A stub takes an inode, and a block where its name is long.")
    return StorageError(f"{shown}: {error.strerror}")
