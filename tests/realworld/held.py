"""Files that are held by a descriptor, and can be read whatever becomes of their names."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


class Held:
    """What is at a path, held: its bytes can be read after it has lost its name."""

    def __init__(self, place: Path) -> None:
        self._fd = -1
        self._target: bytes | None = None
        self._place = place
        with suppress(OSError):
            self._fd = os.open(place, os.O_PATH | os.O_NOFOLLOW)
            if stat.S_ISLNK(os.fstat(self._fd).st_mode):
                self._target = os.readlink(b"", dir_fd=self._fd)
            else:
                reader = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY)
                os.close(self._fd)
                self._fd = reader

    @property
    def links(self) -> int | None:
        """How many names it has now; None: nothing was there."""
        return os.fstat(self._fd).st_nlink if self._fd >= 0 else None

    def data(self) -> bytes:
        if self._target is not None:
            return self._target
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return b""
        return everything(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def everything(fd: int) -> bytes:
    """The whole file, wherever the descriptor stands."""
    size = os.fstat(fd).st_size
    pieces = []
    at = 0
    while at < size and (piece := os.pread(fd, 1 << 20, at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
