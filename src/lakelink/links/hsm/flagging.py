"""Flags that an operator sets: norelease, noarchive, lost, archived."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

from lakelink.errors import StorageError
from lakelink.links.hsm.base import Outcome, Result
from lakelink.links.hsm.stub import Flags, Unreadable
from lakelink.links.hsm.tree import Tree

SETTABLE = Flags.NORELEASE | Flags.NOARCHIVE | Flags.LOST | Flags.ARCHIVED


def flag(tree: Tree, handle: bytes, path: str, change: tuple[Flags, Flags]) -> Result:
    """Set the first and clear the second of `change` (those of `SETTABLE`). In the file's turn; blocking, quick."""
    add, remove = change
    try:
        fd = tree.open(handle, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return Result(path, Outcome.GONE)
        return Result(path, Outcome.FAILED, error=StorageError(f"{path}: {error.strerror}"))
    try:
        stub = tree.stub_of_path(fd)
        if stub is None:
            return Result(path, Outcome.GONE)
        flags = (stub.flags | add & SETTABLE) & ~(remove & SETTABLE)
        if flags == stub.flags:
            return Result(path, Outcome.ALREADY)
        tree.put_path(fd, replace(stub, flags=flags))
        return Result(path, Outcome.DONE)
    except (OSError, Unreadable) as error:
        return Result(path, Outcome.FAILED, error=StorageError(f"{path}: {error}"))
    finally:
        os.close(fd)
