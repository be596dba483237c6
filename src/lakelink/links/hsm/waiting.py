"""The table of those who wait: event descriptor number -> handle of the file, in a mapped file that outlives the worker.

The kernel gives an event to one reader and then waits for an answer to its *number*, from whomever. So a new worker that knows number and file
can load the file and answer in the dead one's place. A record is written before any work on the event begins.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

NUMBERS = 16_384  # event descriptors at once; the worker's limit of open files
RECORD_BYTES = 64  # length of the handle, the handle (8 + 40 bytes at most: btrfs)
MAX_WAITING = NUMBERS - 2_048  # readers at once; the rest of the descriptors are the worker's own


class Waiting:
    """The table in a file. One writer; records are written and cleared in one store of their first byte."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, NUMBERS * RECORD_BYTES)
            self._map = mmap.mmap(fd, NUMBERS * RECORD_BYTES)
        finally:
            os.close(fd)

    def put(self, number: int, handle: bytes) -> None:
        """Whoever waits for `number` waits for this file."""
        at = number * RECORD_BYTES
        if len(handle) < RECORD_BYTES and at + RECORD_BYTES <= len(self._map):
            self._map[at + 1 : at + 1 + len(handle)] = handle
            self._map[at] = len(handle)

    def clear(self, number: int) -> None:
        """Answered."""
        at = number * RECORD_BYTES
        if at < len(self._map):
            self._map[at] = 0

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """What a dead worker left unanswered: numbers and handles."""
        lengths = self._map[::RECORD_BYTES]
        for number, length in enumerate(lengths):
            if 0 < length < RECORD_BYTES:
                at = number * RECORD_BYTES
                yield number, self._map[at + 1 : at + 1 + length]

    def forget(self) -> None:
        """Clear all: the group is new."""
        for number, _ in list(self.pending()):
            self.clear(number)

    def close(self) -> None:
        self._map.close()
