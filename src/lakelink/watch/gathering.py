"""Hints between the thread that reads events and the loop that delivers them: merged by path, and bounded."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable

from lakelink.model.path import ROOT
from lakelink.watch.feed import MAX_HINTS, Hint

MAX_PATHS = 65_536  # waiting to be delivered; about 16 MB. More than that becomes one hint: everything

_SUBTREE = 1
_UNSETTLED = 2


class Gathering:
    """A set of hints, one per path. The last word on `settled` counts, and a subtree stays one until it is delivered. Safe from any thread."""

    def __init__(self, max_paths: int = MAX_PATHS) -> None:
        self._max_paths = max_paths
        self._lock = threading.Lock()
        self._states: dict[str, int] = {}
        self._origins: dict[str, str] = {}

    def note(self, path: str, *, subtree: bool = False, settled: bool = True, moved_from: str | None = None) -> None:
        """Merge one hint into what waits."""
        with self._lock:
            before = self._states.get(path, 0)
            self._states[path] = (before & _SUBTREE) | (_SUBTREE * subtree) | (_UNSETTLED * (not settled))
            if moved_from is not None:
                # a to b to c within one delivery is a to c: nobody has heard of b. An exchange of two names is no such chain.
                origin = self._origins.pop(moved_from, moved_from)
                self._origins[path] = origin if origin != path else moved_from
            self._bound()

    def note_files(self, files: Iterable[tuple[str, bool]]) -> None:
        """Merge (path, settled) of many files under one lock."""
        with self._lock:
            states = self._states
            for path, settled in files:
                state = 0 if settled else _UNSETTLED
                before = states.get(path)
                states[path] = state if before is None else (before & _SUBTREE) | state
            self._bound()

    def _bound(self) -> None:
        if len(self._states) > self._max_paths:
            self._origins.clear()
            self._states = {ROOT: _SUBTREE}

    def __bool__(self) -> bool:
        return bool(self._states)

    def take(self, at_most: int = MAX_HINTS) -> list[Hint]:
        """The oldest hints, which are no longer here afterwards; empty when there are none."""
        with self._lock:
            states = self._states
            if len(states) <= at_most:
                self._states, taken = {}, states
            else:
                taken = dict(itertools.islice(states.items(), at_most))
                for path in taken:
                    del states[path]
            origin = self._origins.pop
            return [
                Hint(path, bool(state & _SUBTREE), not state & _UNSETTLED, origin(path, None))
                for path, state in taken.items()
            ]
