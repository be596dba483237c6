"""Names as system calls take them, and what must hold before one is given."""

from __future__ import annotations

import errno
import os

from lakelink.ports.kernel import Name
from lakelink.testing.sim.inode import Inode, fail


def text_of(path: Name | int) -> str:
    """The name as text."""
    return str(path) if isinstance(path, int) else os.fsdecode(path)


def require_absent(parent: Inode, name: bytes) -> None:
    if name in parent.entries or name in {b".", b".."}:
        fail(errno.EEXIST, name)


def require_replaceable(inode: Inode, there: Inode, new: Name) -> None:
    if there.is_directory:
        if not inode.is_directory:
            fail(errno.EISDIR, new)
        if there.entries:
            fail(errno.ENOTEMPTY, new)
    elif inode.is_directory:
        fail(errno.ENOTDIR, new)
