"""Deletions on their way."""

from __future__ import annotations

from lakelink.state.deletions import MOST_RENAMED, Deletion, Deletions

WAVE = 10_000
"""So many are released at once."""


class Doomed:
    """Paths whose deletion waits until all else that is known was looked at: a rename shows as a deletion first, and deletions are counted
    before the first of them, however many they are. A directory goes when nothing in it waits any more.

    Only those that were released are in memory, a wave at a time; close it in the end.
    """

    def __init__(self, wave: int = WAVE, most_renamed: int = MOST_RENAMED) -> None:
        self._wave = wave
        self._most_renamed = most_renamed
        self._deletions = Deletions()
        self._waiting = 0
        self._renamed = 0  # their bytes are at another path now: no brake counts them
        self._netted = 0  # those of them that are to go
        self._released: dict[str, int] = {}  # path -> number
        self.unasked = 0
        self.since_s = 0.0

    def close(self) -> None:
        """Nothing waits any more. May be repeated."""
        self._deletions.close()
        self._released.clear()
        self._waiting = self._renamed = self._netted = self.unasked = 0

    def __len__(self) -> int:
        return self._waiting + len(self._released)

    def __contains__(self, path: str) -> bool:
        return path in self._released or self._waits(path)

    def has_below(self, path: str) -> bool:
        """Whether something in that directory is to go."""
        if self._waiting and self._deletions.has_below(path):
            return True
        return any(one.startswith(f"{path}/") for one in self._released)

    @property
    def is_waiting(self) -> bool:
        return self._waiting > 0

    def add(self, path: str, side: str, now_s: float, *, directory: bool, attempts: int = 0, number: int = 0) -> None:
        """The path is gone on that side, and is to go on the other; it was tried so often already. `number`: of its mark."""
        if not self._waiting:
            self.since_s = now_s
        waits = self._waits(path)
        if not waits and path not in self._released:
            renamed = self.is_renamed(path)
            self._netted += renamed
            self.unasked += not renamed
        self._deletions.put(Deletion(path, side, number, attempts), directory=directory)
        self._waiting += not waits

    def renamed(self, path: str) -> None:
        """What was at that path is at another one."""
        if self.is_renamed(path):
            return
        waits = self._waits(path)
        self.unasked -= waits
        self._netted += waits or path in self._released
        self._deletions.put_renamed(path)
        self._renamed += 1
        if self._renamed > self._most_renamed:
            self._count_again(self._deletions.oldest_renamed())

    def is_renamed(self, path: str) -> bool:
        return self._renamed > 0 and self._deletions.is_renamed(path)

    @property
    def counted(self) -> int:
        """Deletions that are to go, net of renames."""
        return len(self) - self._netted

    def drained(self, number: int) -> bool:
        """Whether all deletions that were known up to that number were carried or refused; those that came later may go on for ever."""
        if any(one <= number for one in self._released.values()):
            return False
        return not self._waiting or self._deletions.oldest() > number

    def release(self) -> list[Deletion]:
        """Those whose turn it is, with how often each was tried before: a wait for others must not make that forgotten, or nobody would give up."""
        if self._released or not self._waiting:
            return []
        wave = self._deletions.take(self._wave)
        self._waiting -= len(wave)
        self._released.update((one.path, one.number) for one in wave)
        return wave

    def finished(self, path: str) -> None:
        """The path was looked at again; what came of it does not matter."""
        if path in self._released:
            if self.is_renamed(path):
                self._count_again(path)
            del self._released[path]

    def _waits(self, path: str) -> bool:
        return self._waiting > 0 and self._deletions.has(path)

    def _count_again(self, path: str) -> None:
        """The rename is forgotten."""
        self._netted -= path in self
        self._deletions.drop_renamed(path)
        self._renamed -= 1
