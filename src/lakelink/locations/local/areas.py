"""The areas of one location: one per mount below the root, made when first needed."""

from __future__ import annotations

import contextlib
import os
import threading

from lakelink.errors import LakelinkError
from lakelink.locations.local.area import Area
from lakelink.locations.local.directories import open_below
from lakelink.locations.local.root import Root
from lakelink.model.path import OWN_DIRECTORY, split
from lakelink.ports.clock import Clock
from lakelink.ports.kernel import Kernel
from lakelink.ports.random import Random

_LOOK = os.O_RDONLY | os.O_DIRECTORY


class Areas:
    """Finds the area whose names can be exchanged with those of a directory. Safe from several threads."""

    def __init__(self, kernel: Kernel, root: Root, clock: Clock, random: Random) -> None:
        self._kernel = kernel
        self._root = root
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._areas: dict[str, Area] = {}  # by the path of their top
        self._tops: dict[str, int] = {}  # descriptors of the tops below the root
        self._touched: dict[
            int, int
        ] = {}  # by device: a directory on each other file system that was looked at or written to
        self._begun = False
        # Directories on the root's device can be other mounts too (bind mounts, subvolumes). That is looked at closely, which costs, from
        # the first name on that could not be moved (EXDEV); set by who met it.
        self.closely = False

    def of(self, dir_fd: int, path: str) -> Area:
        """The area for the directory `path`, open as `dir_fd`.

        Raises:
            OSError, NotPermitted, Busy: it could not be made.
        """
        root_fd = self._root.fd()
        with self._lock:
            if not self.closely and self._kernel.fstat(dir_fd).st_dev == self._kernel.fstat(root_fd).st_dev:
                return self._at("")
            return self._at(self._top_of(root_fd, path))

    def begin(self, dir_fd: int) -> None:
        """Something in this directory will be changed: its file system is among those that `flush` brings to stable storage.

        The first time, what killed runs left in the root is cleaned up.
        """
        self.touch(dir_fd, self._kernel.fstat(dir_fd).st_dev)
        with self._lock:
            self._clean_up()

    def touch(self, dir_fd: int, device: int) -> None:
        """What is in this directory, on that device, is to be remembered: `flush` brings its file system to stable storage, whoever wrote to it."""
        if device == self._root.device:
            return
        with self._lock:
            if device not in self._touched:
                self._touched[device] = self._kernel.open(".", _LOOK, dir_fd=dir_fd)

    def _clean_up(self) -> None:
        if not self._begun:
            self._begun = True
            # What cannot be cleaned up stays; a change that needs the area will say why.
            with contextlib.suppress(OSError, LakelinkError):
                self._kernel.stat(OWN_DIRECTORY, dir_fd=self._root.fd(), follow_symlinks=False)
                self._at("")

    def flush(self) -> None:
        """What was changed or looked at is on stable storage, on the root's file system and on those mounted below it."""
        with self._lock:
            descriptors = [self._root.fd(), *self._touched.values()]
        for fd in descriptors:
            self._kernel.syncfs(fd)

    def _at(self, top: str) -> Area:
        area = self._areas.get(top)
        if area is None:
            root_fd = self._root.fd()
            if top and top not in self._tops:
                self._tops[top] = open_below(self._kernel, root_fd, top, _LOOK)
            area = Area(self._kernel, self._tops.get(top, root_fd), self._clock, self._random)
            self._areas[top] = area
        return area

    def _top_of(self, root_fd: int, path: str) -> str:
        """The highest directory above `path` with nothing but its own mount between."""
        mount = self._mount(root_fd, path)
        top = path
        while top:
            above, _ = split(top)
            if self._mount(root_fd, above) != mount:
                break
            top = above
        return top

    def _mount(self, root_fd: int, path: str) -> tuple[int, int]:
        fd = open_below(self._kernel, root_fd, path, _LOOK)
        try:
            return self._kernel.mount_of(fd)
        finally:
            self._kernel.close(fd)

    def close(self, *, clean_up: bool = False) -> None:
        """Remove what is empty, release the rest. Idempotent. With `clean_up`, what killed runs left goes even if nothing was changed."""
        with self._lock:
            if clean_up and self._root.is_open:
                self._clean_up()
            while self._areas:
                self._areas.popitem()[1].close()
            for descriptors in (self._tops, self._touched):
                while descriptors:
                    self._kernel.close(descriptors.popitem()[1])
