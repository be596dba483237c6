"""Putting directories under watch: watch first, list second, so that what appears between the two is seen twice rather than never.

The work is done in slices, between which events are read: a large tree that appears at once must not make the kernel's queue run over.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from lakelink.errors import NotPermitted, StorageError, WatchLimit, problem_of
from lakelink.model.change import Problem
from lakelink.model.path import OWN_DIRECTORY, ROOT, display, join
from lakelink.ports.kernel import Kernel
from lakelink.watch.feed import MAX_HINTS
from lakelink.watch.gathering import Gathering
from lakelink.watch.root import GONE, WatchedRoot

SLICE_DIRECTORIES = 64  # watched and listed between two readings of events: a few milliseconds
MAX_WALKS = 65_536  # waiting; more than that becomes one walk over everything
MAX_BLIND = 1024  # directories that could not be watched, each scanned by itself; more than that and the whole root is

_LIMIT = frozenset({errno.ENOSPC, errno.ENOMEM})
_READ = os.O_RDONLY | os.O_DIRECTORY


class Announce(Enum):
    """What a walk says about what it finds."""

    NOTHING = auto()  # nobody has looked yet: the scan comes after the feed is open
    EACH = auto()  # every entry: it may be older than the watch, and then no event tells of it
    SUBTREE = auto()  # one hint for all, when the last directory is under watch: a scan that begins then misses nothing


@dataclass(slots=True)
class _Walk:
    top: str
    announce: Announce
    todo: list[str] = field(default_factory=list)


class Survey:
    """The directories that are still to be watched, and those that cannot be."""

    def __init__(
        self,
        kernel: Kernel,
        root: WatchedRoot,
        watch: Callable[[int, str], None],
        gathering: Gathering,
        limit_hint: str,
    ) -> None:
        """`watch(fd, path)` puts one open directory under watch; ENOSPC or ENOMEM from it are a limit, for which `limit_hint` tells the cure."""
        self._kernel = kernel
        self._root = root
        self._watch = watch
        self._gathering = gathering
        self._limit_hint = limit_hint
        self._walks: deque[_Walk] = deque()
        self._blind: dict[str, Problem] = {}
        self.tops: frozenset[str] = frozenset({ROOT})  # the root and the mounts below it: each has a directory of ours

    def add(self, path: str, announce: Announce) -> None:
        """Let `path` and all below it be watched, by the next calls of `step`."""
        if len(self._walks) >= MAX_WALKS:
            self._walks.clear()
            path, announce = ROOT, Announce.SUBTREE
        self._walks.append(_Walk(path, announce, [path]))

    def restart(self, announce: Announce) -> None:
        """Forget what was to be done; everything is to be watched anew."""
        self._walks.clear()
        self._blind.clear()
        self.add(ROOT, announce)

    def step(self) -> bool:
        """Do one slice of the work; whether there is more.

        Raises:
            RootMissing: the root is not what it was.
        """
        if not self._walks:
            return False
        with self._root.open() as root_fd:
            for _ in range(SLICE_DIRECTORIES):
                walk = self._walks[0]
                self._directory(root_fd, walk)
                if walk.todo:
                    continue
                self._walks.popleft()
                if walk.announce is Announce.SUBTREE:
                    self._gathering.note(walk.top, subtree=True)
                if not self._walks:
                    return False
        return True

    def _directory(self, root_fd: int, walk: _Walk) -> None:
        path = walk.todo.pop()
        try:
            fd = self._kernel.open_beneath(path or ".", _READ, dir_fd=root_fd)
        except OSError as error:
            self._fail(path, error)
            return
        try:
            self._watch(fd, path)
            self._blind.pop(path, None)
            self._list(fd, path, walk)
        except OSError as error:
            self._fail(path, error)
        finally:
            self._kernel.close(fd)

    def _list(self, fd: int, path: str, walk: _Walk) -> None:
        top = path in self.tops
        each = walk.announce is Announce.EACH
        found: list[tuple[str, bool]] = []
        with os.scandir(
            fd
        ) as entries:  # not through the port: its entries need not know their type without a stat, and there are many
            for entry in entries:
                if top and entry.name == OWN_DIRECTORY:
                    continue
                is_directory = _is_directory(entry)
                if is_directory:
                    walk.todo.append(join(path, entry.name))
                if each:
                    # Whether somebody has a file open for writing is not known, and if it was closed already no event will say so.
                    found.append((join(path, entry.name), is_directory))
                    if len(found) >= MAX_HINTS:
                        self._gathering.note_files(found)
                        found.clear()
        if found:
            self._gathering.note_files(found)

    def _fail(self, path: str, error: OSError) -> None:
        if error.errno in GONE:
            self._blind.pop(path, None)
            return  # moved or deleted meanwhile, and the event of that is on its way; a root that is gone is noticed by its own check
        shown = display(path) or self._root.path
        found: WatchLimit | NotPermitted | StorageError
        if error.errno in _LIMIT:
            found = WatchLimit(
                f"{shown} and what is below cannot be watched: the kernel's limit is reached", hint=self._limit_hint
            )
        elif error.errno in {errno.EACCES, errno.EPERM}:
            found = NotPermitted(f"{shown} cannot be watched: {error.strerror}", hint="Run as a user that may read it.")
        else:
            found = StorageError(f"{shown} cannot be watched: {error.strerror}")
        if len(self._blind) >= MAX_BLIND:
            self._blind.clear()
            path = ROOT
        self._blind[path] = problem_of(path, found)
        self._gathering.note(path, subtree=True)

    def look_again(self) -> None:
        """What cannot be watched is announced as changed, and tried again: to be called at the interval of scans."""
        for path in self._blind:
            self.add(path, Announce.SUBTREE)

    def is_blind(self, path: str) -> bool:
        """Whether this very directory could not be watched."""
        return path in self._blind

    def problems(self) -> Sequence[Problem]:
        """One per directory that is not watched; from any thread."""
        return tuple(self._blind.copy().values())


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
