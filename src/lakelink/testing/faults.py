"""Fault scripts for `locations.wrap.faulty`: what goes wrong, when, and how often. All are repeatable: same script, same faults."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lakelink.locations.wrap.faulty import Fault, FaultKind, Script


class Nth:
    """The fault hits the n-th to m-th matching call. Verb or path None = any."""

    def __init__(
        self, fault: Fault, *, verb: str | None = None, path: str | None = None, first: int = 1, last: int = 1
    ) -> None:
        self._fault, self._verb, self._path = fault, verb, path
        self._first, self._last = first, last
        self.seen = 0

    def fault(self, verb: str, path: str) -> Fault | None:
        if self._verb not in {None, verb} or self._path not in {None, path}:
            return None
        self.seen += 1
        return self._fault if self._first <= self.seen <= self._last else None


class Always(Nth):
    """The fault hits every matching call."""

    def __init__(self, fault: Fault, *, verb: str | None = None, path: str | None = None) -> None:
        super().__init__(fault, verb=verb, path=path, last=1 << 62)


class Seeded:
    """Each call of `verbs` fails with this probability, drawn from the seed; the same calls in the same order fail in the same way.

    `in_a_row` bounds how often the same verb and path fail one after the other, so that patience is rewarded.
    """

    def __init__(
        self, seed: int, probability: float, faults: Sequence[Fault], *, verbs: Sequence[str], in_a_row: int = 3
    ) -> None:
        self._random = random.Random(seed)
        self._probability, self._faults, self._verbs, self._in_a_row = probability, faults, frozenset(verbs), in_a_row
        self._streak: dict[tuple[str, str], int] = {}
        self.injected = 0

    def fault(self, verb: str, path: str) -> Fault | None:
        if verb not in self._verbs:
            return None
        streak = self._streak.get((verb, path), 0)
        if self._random.random() >= self._probability or streak >= self._in_a_row:
            self._streak.pop((verb, path), None)
            return None
        self._streak[verb, path] = streak + 1
        self.injected += 1
        return self._random.choice(self._faults)


class Unreadable:
    """These directories cannot be looked into: each is a row of unknown kind, and what is below is not seen."""

    def __init__(self, *tops: str, fault: Fault | None = None) -> None:
        self._tops = tops
        self._fault = fault or Fault(FaultKind.UNKNOWN)

    def fault(self, verb: str, path: str) -> Fault | None:
        if verb != "look":
            return None
        if path in self._tops:
            return self._fault
        below = any(path.startswith(top + "/") for top in self._tops)
        return Fault(FaultKind.BEFORE) if below else None


class Both:
    """The first script that has something to say."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts

    def fault(self, verb: str, path: str) -> Fault | None:
        for script in self._scripts:
            if fault := script.fault(verb, path):
                return fault
        return None
