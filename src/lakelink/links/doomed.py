"""Deletions on their way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lakelink.links.dirty import MOST
from lakelink.model.path import split


@dataclass(slots=True)
class _Waiting:
    """One deletion. `number` is that of the mark that it came from."""

    side: str
    directory: bool
    number: int


class Doomed:
    """Paths whose deletion waits until all else that is known was looked at: a rename shows as a deletion first, and deletions are counted
    before the first of them. A directory goes when nothing in it waits any more.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._attempts: dict[str, int] = {}  # how often those that wait were tried already
        self._released: dict[str, int] = {}  # path -> number
        self._renamed: dict[str, None] = {}  # their bytes are at another path now: no brake counts them
        self.unasked = 0
        self.since_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._released)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting or path in self._released

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, path: str, side: str, now_s: float, *, directory: bool, attempts: int = 0, number: int = 0) -> None:
        """The path is gone on that side, and is to go on the other; it was tried so often already. `number`: of its mark."""
        if not self._waiting:
            self.since_s = now_s
        self.unasked += path not in self and path not in self._renamed
        before = self._waiting.get(path)
        self._waiting[path] = _Waiting(side, directory, min(number, before.number) if before else number)
        if attempts:
            self._attempts[path] = attempts

    def renamed(self, path: str) -> None:
        """What was at that path is at another one."""
        if path not in self._renamed:
            self.unasked -= path in self._waiting
            self._renamed[path] = None
            if len(self._renamed) > MOST:
                del self._renamed[next(iter(self._renamed))]

    def is_renamed(self, path: str) -> bool:
        return path in self._renamed

    @property
    def counted(self) -> int:
        """Deletions that are to go, net of renames."""
        return len(self) - sum(path in self._renamed for path in (*self._waiting, *self._released))

    def attempts(self, path: str) -> int:
        """How often the path, just released, was tried before: a wait for others must not make that forgotten, or nobody would ever give up."""
        return self._attempts.pop(path, 0)

    def drained(self, number: int) -> bool:
        """Whether all deletions that were known up to that number were carried or refused; those that came later may go on for ever."""
        return not any(one.number <= number for one in self._waiting.values()) and not any(
            one <= number for one in self._released.values()
        )

    def release(self) -> list[tuple[str, str, int]]:
        """Those whose turn it is: (path, the side that deleted it, the number it is known by)."""
        if self._released or not self._waiting:
            return []
        holding = _above(self._waiting)
        wave = {path: one for path, one in self._waiting.items() if not (one.directory and path in holding)}
        for path, one in wave.items():
            del self._waiting[path]
            self._released[path] = one.number
        return [(path, one.side, one.number) for path, one in wave.items()]

    def finished(self, path: str) -> None:
        """The path was looked at again; what came of it does not matter."""
        if path in self._released:
            del self._released[path]
            self._renamed.pop(path, None)


def _above(paths: Iterable[str]) -> set[str]:
    """All directories that these paths are in."""
    found: set[str] = set()
    for path in paths:
        parent = split(path)[0]
        while parent and parent not in found:
            found.add(parent)
            parent = split(parent)[0]
    return found
