"""How long the oldest of the marks has waited, without a walk through all of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Generic, Protocol, TypeVar

_SPARE = 1024


class Aging(Protocol):
    """What waits since a time, because of one side or the other."""

    since_s: float
    files: bool


M = TypeVar("M", bound=Aging)


class Ages(Generic[M]):
    """Marks by the time they wait since. What became of one shows when it comes to the top, or at the next clearing."""

    def __init__(self, is_current: Callable[[M], bool]) -> None:
        """`is_current`: whether a mark still waits."""
        self._is_current = is_current
        self._numbers = count()
        self._heaps: dict[bool, list[tuple[float, int, M]]] = {True: [], False: []}
        self._room = {True: _SPARE, False: _SPARE}

    def add(self, mark: M) -> None:
        """It waits, or its time or side has changed."""
        heap = self._heaps[mark.files]
        heapq.heappush(heap, (mark.since_s, next(self._numbers), mark))
        if len(heap) > self._room[mark.files]:
            self._clear(files=mark.files)

    def oldest_s(self, *, files: bool) -> float:
        """Since when the oldest waits; inf when none does."""
        heap = self._heaps[files]
        while heap and not self._counts(heap[0], files=files):
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def _counts(self, entry: tuple[float, int, M], *, files: bool) -> bool:
        since_s, _, mark = entry
        return mark.files is files and mark.since_s == since_s and self._is_current(mark)

    def _clear(self, *, files: bool) -> None:
        """Those that do not wait any more go; the next time when there are twice as many as stay now."""
        kept = [entry for entry in self._heaps[files] if self._counts(entry, files=files)]
        heapq.heapify(kept)
        self._heaps[files] = kept
        self._room[files] = 2 * len(kept) + _SPARE
