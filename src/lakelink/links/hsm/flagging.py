"""Flags that an operator sets: norelease, noarchive, lost, archived; and his word that a hole is what a file holds."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace

from lakelink.errors import StorageError
from lakelink.links.hsm.base import Outcome, Result
from lakelink.links.hsm.stub import OWN, Flags, Origin, Stub, Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.model.entry import Version

SETTABLE = Flags.NORELEASE | Flags.NOARCHIVE | Flags.LOST | Flags.ARCHIVED


def flag(tree: Tree, handle: bytes, path: str, change: tuple[Flags, Flags]) -> Result:
    """Set the first and clear the second of `change` (those of `SETTABLE`). In the file's turn; blocking, quick."""
    add, remove = change

    def work(fd: int) -> Outcome:
        stub = tree.stub_of_path(fd)
        if stub is None:
            return Outcome.GONE
        flags = (stub.flags | add & SETTABLE) & ~(remove & SETTABLE)
        if flags == stub.flags:
            return Outcome.ALREADY
        tree.put_path(fd, replace(stub, flags=flags))
        return Outcome.DONE

    return _on_file(tree, handle, path, work)


def accept(tree: Tree, handle: bytes, path: str, location: str) -> Result:
    """A file that is one hole and has no attribute is content from now on: its zeros are meant. ALREADY for every other file. In the file's turn."""

    def work(fd: int) -> Outcome:
        found = os.fstat(fd)
        if not found.st_size or found.st_blocks or tree.stub_of_path(fd) is not None:
            return Outcome.ALREADY
        version = Version(found.st_size, found.st_mtime_ns)
        tree.put_path(fd, Stub(Origin(location, path, version), found.st_mtime_ns, OWN))
        return Outcome.DONE

    return _on_file(tree, handle, path, work)


def _on_file(tree: Tree, handle: bytes, path: str, work: Callable[[int], Outcome]) -> Result:
    """The outcome of `work` on an O_PATH descriptor of the file."""
    try:
        fd = tree.open(handle, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return Result(path, Outcome.GONE)
        return Result(path, Outcome.FAILED, error=StorageError(f"{path}: {error.strerror}"))
    try:
        return Result(path, work(fd))
    except (OSError, Unreadable) as error:
        return Result(path, Outcome.FAILED, error=StorageError(f"{path}: {error}"))
    finally:
        os.close(fd)
