"""All stubs of a tree get their mark: after a boot, and whenever the group is new. Until this is done there is no view."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from lakelink.links.hsm.stub import ATTRIBUTE, Flags, Unreadable, flags_of
from lakelink.links.hsm.tree import Tree, has_hole
from lakelink.ports import permission

Suspect: TypeAlias = Callable[[str, int], bool]
"""(path, size) of a file that is one hole and has no attribute -> it may stand for an object, so nobody may read it."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(slots=True)
class Marked:
    """What was found."""

    stubs: int = 0
    loaded: int = 0
    suspects: int = 0


class Marking:
    """One walk over one tree (blocking). Reads one attribute per file, and nothing else of most."""

    def __init__(self, tree: Tree, suspect: Suspect | None) -> None:
        self._tree = tree
        self._suspect = suspect
        self.found = Marked()

    def run(self) -> Marked:
        """Walk."""
        todo = [""]
        while todo:
            path = todo.pop()
            try:
                fd = os.open(path or ".", _OPEN | os.O_DIRECTORY, dir_fd=self._tree.fd)
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise
            try:
                todo.extend(self._directory(fd, path))
            finally:
                os.close(fd)
        return self.found

    def _directory(self, fd: int, path: str) -> list[str]:
        below = []
        prefix = f"{path}/" if path else ""
        place = b"/proc/self/fd/%d/" % fd
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(prefix + entry.name)
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        self._file(fd, os.fsencode(entry.name), place, prefix + entry.name)
        return below

    def _file(self, fd: int, name: bytes, place: bytes, path: str) -> None:
        try:
            value = os.getxattr(place + name, ATTRIBUTE, follow_symlinks=False)
        except OSError as error:
            if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP}:
                raise
            self._plain(fd, name, path)
            return
        try:
            if flags_of(value).is_stub:
                self._mark(fd, name)
                self.found.stubs += 1
                return
            stub = self._tree.places.decode(value)
        except Unreadable:
            self._mark(fd, name)  # what it stands for is not known: whoever opens it gets EIO
            self.found.suspects += 1
            return
        self.found.loaded += 1
        if stub.flags & Flags.UNSYNCED:
            self._settle(fd, name)

    def _mark(self, fd: int, name: bytes) -> None:
        permission.mark_at(self._tree.group_fd, fd, name, self._tree.mask)

    def _plain(self, fd: int, name: bytes, path: str) -> None:
        if self._suspect is None:
            return
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if found.st_size and not found.st_blocks and self._suspect(path, found.st_size):
            self._mark(fd, name)
            self.found.suspects += 1

    def _settle(self, directory_fd: int, name: bytes) -> None:
        """Loaded before the group was lost, perhaps by a power failure: what never came to the disk is a hole."""
        fd = os.open(name, _OPEN | os.O_NONBLOCK, dir_fd=directory_fd)
        try:
            stub = self._tree.stub_of(fd)
            if stub is None:
                return
            if has_hole(fd, min(stub.size_bytes, os.fstat(fd).st_size)):
                self._mark(directory_fd, name)
                return
            os.fdatasync(fd)
            self._tree.put(fd, replace(stub, flags=stub.flags & ~Flags.UNSYNCED))
        finally:
            os.close(fd)
