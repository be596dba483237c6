"""Stubs by the hundred thousand: each appears whole and marked, or not at all.

A file without a name (O_TMPFILE) gets size, owner, mode, attribute, times and mark, and then its name by a call that never replaces. There are no
bytes, so there is nothing to order: names and attributes are durable in the order in which they were made, with the next flush of the file system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from lakelink.errors import LakelinkError, NoSpace, NotFound, PreconditionFailed, StorageError
from lakelink.links.hsm.base import NewStub
from lakelink.links.hsm.maker import Row, carry_out, dress
from lakelink.links.hsm.making_process import Maker
from lakelink.links.hsm.stub import STUB, Stub
from lakelink.links.hsm.tree import Tree
from lakelink.model.entry import Version
from lakelink.model.path import display

ALONE = 1_000  # up to so many, this process makes them all
PART = 4_000  # stubs in the air at once
SHARE = 0.55  # of a part, for the maker: this process has the attributes to write as well


def prepare(tree: Tree, fd: int, new: NewStub) -> Version:
    """See `Guard.prepare`."""
    inode = dress(fd, _row(tree, new), tree.group_fd, tree.mask)
    return Version(new.origin.version.size_bytes, new.posix.mtime_ns, ino=inode)


def make(tree: Tree, stubs: Sequence[NewStub], maker: Maker | None = None) -> list[Version | LakelinkError]:
    """See `Guard.make`. With a `maker`, two processes share the work: that is worth it from some thousands on."""
    tree.places.add([(one.origin.location, one.origin.path.rpartition("/")[0]) for one in stubs])
    if maker is None or len(stubs) <= ALONE:
        return _answers(stubs, _alone(tree, stubs))
    made: list[Version | LakelinkError] = []
    for at in range(0, len(stubs), PART):
        part = stubs[at : at + PART]
        cut = int(len(part) * SHARE)
        with maker.making([_row(tree, one) for one in part[:cut]]) as theirs:
            ours = _alone(tree, part[cut:])
        made.extend(_answers(part, [*theirs.inodes, *ours]))
    return made


def _alone(tree: Tree, stubs: Sequence[NewStub]) -> list[int]:
    return carry_out(tree.fd, tree.group_fd, tree.mask, [_row(tree, one) for one in stubs])


def _row(tree: Tree, new: NewStub) -> Row:
    posix = new.posix
    value = tree.places.encode(Stub(new.origin, posix.mtime_ns, STUB))
    size = new.origin.version.size_bytes
    return os.fsencode(new.path), size, posix.mode, posix.uid, posix.gid, posix.atime_ns, posix.mtime_ns, value


def _answers(stubs: Sequence[NewStub], inodes: Sequence[int]) -> list[Version | LakelinkError]:
    return [
        Version(new.origin.version.size_bytes, new.posix.mtime_ns, ino=inode)
        if inode > 0
        else _translate(new.path, -inode)
        for new, inode in zip(stubs, inodes, strict=True)
    ]


def _translate(path: str, number: int) -> LakelinkError:
    shown = display(path)
    if number == errno.EEXIST:
        return PreconditionFailed(f"{shown} is there already", hint="It will be looked at again.")
    if number in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
        return NotFound(f"{shown}: its directory is not there")
    if number in {errno.ENOSPC, errno.EDQUOT}:
        reason = os.strerror(number)
        return NoSpace(f"{shown}: {reason}", hint="A stub takes an inode, and a block where its name is long.")
    return StorageError(f"{shown}: {os.strerror(number)}")
