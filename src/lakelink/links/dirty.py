"""Which paths have to be looked at, and when. In memory and bounded; what must survive a crash is in the journal's `dirty` as well."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass
from math import inf

from lakelink.links.ages import Ages
from lakelink.model.entry import Row

FILES = "files"
LAKE = "lake"
MOST = 50_000
"""Paths held at once. A survey waits for room; hints beyond it become a survey."""


@dataclass(slots=True)
class Mark:
    """One path that may have changed. `row` is what a listing of the lake has just shown there."""

    path: str
    since_s: float
    files: bool = False
    lake: bool = False
    row: Row | None = None
    moved_from: str | None = None
    ready_s: float = 0.0  # not before; inf = when a close is seen, or by a survey
    attempts: int = 0
    unsettled: bool = False  # who writes it will be seen to close it
    condemned: bool = False  # its deletion was announced to the brake
    resting: bool = False  # whoever looked at it said when it is to be looked at again
    queued: bool = False
    number: int = 0


class Dirty:
    """The marks. A path is handed out once at a time: what is noted of it meanwhile waits until it is given back."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._marks: dict[str, Mark] = {}
        self._queue: deque[str] = deque()
        self._timed: list[tuple[float, int, str]] = []
        self._busy: dict[str, Mark] = {}
        self._for_files = 0  # of both
        self._ages: Ages[Mark] = Ages(self._is_current)
        self._numbers = itertools.count(1)
        self.last_number = 0
        self.woken = asyncio.Event()  # something was noted or given back
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        """Paths noted or being worked on."""
        return len(self._marks) + len(self._busy)

    @property
    def is_full(self) -> bool:
        return len(self._marks) >= self._most

    @property
    def busy(self) -> int:
        return len(self._busy)

    def counts(self) -> tuple[int, int]:
        """Paths that wait because of the files side, and because of the lake."""
        return self._for_files, len(self) - self._for_files

    def oldest_s(self, *, files: bool) -> float:
        """When the oldest of them was noticed; inf when there is none."""
        return self._ages.oldest_s(files=files)

    def note(self, path: str, side: str, now_s: float, *, ready_s: float = 0.0, row: Row | None = None) -> Mark:
        """The path may have changed on that side. A later note replaces the time from which the path may be looked at."""
        mark = self._marks.get(path)
        if mark is None:
            mark = self._marks[path] = Mark(path, now_s)
            if side != FILES:  # else it is counted as one of the files side
                self._ages.add(mark)
            busy = self._busy.get(path)
            if busy is not None and busy.attempts:
                mark.attempts = busy.attempts
        mark.number = self.last_number = next(self._numbers)
        if side == FILES:
            self.concerns_files(mark)
        else:
            mark.lake = True
            mark.row = row
        mark.ready_s = ready_s
        mark.unsettled = mark.resting = False
        self._enqueue(mark)
        if len(self._marks) >= self._most:
            self._room.clear()
        self.woken.set()
        return mark

    def again(self, mark: Mark, ready_s: float) -> None:
        """A mark that was handed out is to be looked at once more, on both sides; `done` must be called too."""
        fresh = self.note(mark.path, FILES, mark.since_s, ready_s=ready_s)
        fresh.lake, fresh.row = True, None
        self.is_since(fresh, mark.since_s)
        fresh.attempts = mark.attempts + 1
        fresh.number = min(fresh.number, mark.number)  # who waits for the first look waits for this one as well
        fresh.resting = ready_s > 0.0

    def later(self, mark: Mark, ready_s: float) -> None:
        """A mark that was handed out is to be looked at when its time has come, as if it had been noted for then; `done` must be called too."""
        fresh = self._marks.get(mark.path)
        if fresh is None:  # else something was noted meanwhile, with a time of its own
            fresh = self.note(mark.path, FILES, mark.since_s, ready_s=ready_s)
            fresh.unsettled, fresh.resting = mark.unsettled, True
        fresh.number = min(fresh.number, mark.number)  # who waits until it was carried or refused still does
        self.concerns_files(fresh)
        self.is_since(fresh, mark.since_s)
        fresh.lake, fresh.row, fresh.attempts = fresh.lake or mark.lake, fresh.row or mark.row, mark.attempts

    def take(self, most: int, now_s: float) -> list[Mark]:
        """Up to `most` marks whose time has come, the oldest first; they are the caller's until `done`."""
        while self._timed and self._timed[0][0] <= now_s:
            path = heapq.heappop(self._timed)[2]
            mark = self._marks.get(path)
            if mark is not None and not mark.queued and mark.ready_s <= now_s:
                mark.queued = True
                self._queue.append(path)
        taken: list[Mark] = []
        while self._queue and len(taken) < most:
            path = self._queue.popleft()
            mark = self._marks.get(path)
            if mark is not None:
                mark.queued = False
            if mark is None or path in self._busy or mark.ready_s > now_s:
                continue  # taken already, or it will be enqueued when its time comes
            del self._marks[path]
            self._busy[path] = mark
            taken.append(mark)
        if len(self._marks) < self._most:
            self._room.set()
        return taken

    def claim(self, path: str, now_s: float) -> Mark | None:
        """The mark of a path that has to be looked at along with others, the caller's until `done`; None where somebody else has it."""
        if path in self._busy:
            return None
        mark = self._marks.pop(path, None)
        if mark is None:
            mark = Mark(path, now_s)
            self._ages.add(mark)
        self._busy[path] = mark
        return mark

    def give_back(self, mark: Mark) -> None:
        """Nothing came of it, and nothing was learnt: it is as if it had not been handed out. Instead of `done`."""
        del self._busy[mark.path]
        fresh = self._marks.get(mark.path)
        if fresh is None:
            mark.queued = False
            self._marks[mark.path] = fresh = mark
        else:
            self._for_files -= mark.files
            if mark.files:
                self.concerns_files(fresh)
            fresh.lake, fresh.row = fresh.lake or mark.lake, fresh.row or mark.row
            self.is_since(fresh, mark.since_s)
        self._enqueue(fresh)
        self.woken.set()

    def __contains__(self, path: str) -> bool:
        return path in self._marks or path in self._busy

    def waits(self, path: str) -> bool:
        """Whether something was noted of the path that nobody has been handed yet."""
        return path in self._marks

    def done(self, mark: Mark) -> None:
        """The caller has no more to do with the path."""
        if self._busy.pop(mark.path, None) is not None:
            self._for_files -= mark.files
        waiting = self._marks.get(mark.path)
        if waiting is not None:
            # Most likely it was noted because of what has just been done: then one look settles it.
            if waiting.ready_s > mark.ready_s and not waiting.resting:
                waiting.ready_s = 0.0
            self._enqueue(waiting)
        self.woken.set()

    def next_s(self) -> float:
        """When the next mark becomes ready: 0 = now, inf = none will by itself."""
        if self._queue:
            return 0.0
        return self._timed[0][0] if self._timed else inf

    def drained(self, number: int) -> bool:
        """Whether all that was noted up to `number` was handed out and given back, second looks included. What waits for a close is not waited for."""
        return not any(mark.number <= number for mark in self._busy.values()) and not any(
            mark.number <= number and mark.ready_s != inf for mark in self._marks.values()
        )

    async def room(self) -> None:
        """Returns when there is room for more."""
        await self._room.wait()

    def concerns_files(self, mark: Mark) -> None:
        """The files side has to be looked at, too. `mark` waits, or was handed out."""
        if not mark.files:
            mark.files = True
            self._for_files += 1
            self._ages.add(mark)

    def is_since(self, mark: Mark, since_s: float) -> None:
        """The change was noticed then at the latest. `mark` waits, or was handed out."""
        if since_s < mark.since_s:
            mark.since_s = since_s
            self._ages.add(mark)

    def _is_current(self, mark: Mark) -> bool:
        return self._marks.get(mark.path) is mark or self._busy.get(mark.path) is mark

    def _enqueue(self, mark: Mark) -> None:
        if mark.path in self._busy or mark.ready_s == inf:
            return
        if mark.queued:
            return
        if mark.ready_s <= 0.0:
            mark.queued = True
            self._queue.append(mark.path)
        else:
            heapq.heappush(self._timed, (mark.ready_s, mark.number, mark.path))
