"""Directories by path, without ever leaving the root."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Self

from lakelink.model.path import MAX_PATH_BYTES, join, split
from lakelink.ports.kernel import Kernel

OPEN_AT_ONCE = 64
_HOLD = os.O_PATH | os.O_DIRECTORY  # enough to stand on: no permission to read is needed


def open_below(kernel: Kernel, root_fd: int, path: str, flags: int, *, follow: bool = False) -> int:
    """Open `path` below the root; "" is the root again. Paths of any length: the kernel takes PATH_MAX at a time.

    Without `follow` no component may be a symlink (ELOOP or ENOTDIR), so that a directory swapped for a link leads nowhere.
    """
    pieces = _pieces(path) if 4 * len(path) > MAX_PATH_BYTES else [path or "."]
    here = root_fd
    try:
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            wanted = flags if last else _HOLD
            step = (
                kernel.open(piece, wanted, dir_fd=here) if follow else kernel.open_beneath(piece, wanted, dir_fd=here)
            )
            if here != root_fd:
                kernel.close(here)
            here = step
    except OSError:
        if here != root_fd:
            kernel.close(here)
        raise
    return here


def _pieces(path: str) -> list[str]:
    pieces = [""]
    for component in path.split("/"):
        grown = join(pieces[-1], component)
        if len(os.fsencode(grown)) > MAX_PATH_BYTES:
            pieces.append(component)
        else:
            pieces[-1] = grown
    return pieces


class Directories:
    """The directories that one call works in, each opened once, the least recently used closed when there are too many.

    It lives no longer than the call: a directory that is moved away meanwhile is looked up anew by the next one. Not for several threads.
    Errors are OSError.
    """

    def __init__(self, kernel: Kernel, root_fd: int, *, follow: bool = False) -> None:
        self._kernel = kernel
        self._root_fd = root_fd
        self._follow = follow
        self._open: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._kernel.close(self._open.popitem()[1])

    def get(self, path: str) -> int:
        """A descriptor of the directory, good until `OPEN_AT_ONCE` others have been asked for."""
        if not path:
            return self._root_fd
        fd = self._open.pop(path, None)
        if fd is None:
            fd = open_below(self._kernel, self._root_fd, path, _HOLD, follow=self._follow)
            if len(self._open) >= OPEN_AT_ONCE:
                self._kernel.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def make(self, path: str, mode: int = 0o777) -> int:
        """As `get`, after making what is missing of the directory and those above it. Atomic for each; repeatable."""
        missing: list[str] = []
        here = path
        while True:
            try:
                fd = self.get(here)
                break
            except FileNotFoundError:
                if not here:
                    raise
                here, name = split(here)
                missing.append(name)
        while missing:
            name = missing.pop()
            # Someone else may have made it meanwhile; if it is not a directory, opening it says so.
            with contextlib.suppress(FileExistsError):
                self._kernel.mkdir(name, mode, dir_fd=fd)
            here = join(here, name)
            fd = self.get(here)
        return fd
