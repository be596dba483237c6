"""The objects of a simulated bucket: what is there, what was there, and how it is listed."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

_HISTORY_S = 60.0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of one key. Headers are those that GET gives back, with lower-case names."""

    body: bytes
    etag: str
    modified_ns: int
    headers: dict[str, str] = field(default_factory=dict)
    checksum: tuple[str, str] | None = None  # header and value
    version_id: str = ""
    writer: str = ""
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one key: what was there, what is there now, who did it, and whether the request named what it replaced."""

    time_s: float
    writer: str
    operation: str
    key: str
    before: StoredObject | None
    after: StoredObject | None
    conditional: bool


class Order(Enum):
    """In which order keys are listed."""

    BYTES = "bytes"  # AWS: UTF-8 byte order
    TREE = "tree"  # SeaweedFS: directory by directory


def _byte_order(key: str) -> list[bytes]:
    return [key.encode("utf-8", "surrogateescape")]


def _tree_order(key: str) -> list[bytes]:
    return key.encode("utf-8", "surrogateescape").split(b"/")


class Objects:
    """One bucket. `told` hears of each change, after it."""

    def __init__(self, order: Order, time_s: Callable[[], float]) -> None:
        self.now: dict[str, StoredObject] = {}
        self.versions: list[tuple[str, StoredObject]] = []
        self.told: list[Callable[[Mutation], None]] = []
        self._time_s = time_s
        self._rank = _byte_order if order is Order.BYTES else _tree_order
        self._history: list[Mutation] = []
        self.serial = 0

    def put(self, key: str, after: StoredObject | None, operation: str, *, writer: str, conditional: bool) -> None:
        """Replace what is at the key; None removes it."""
        before = self.now.get(key)
        if after is None:
            if before is None:
                return
            del self.now[key]
        else:
            self.now[key] = after
            self.versions.append((key, after))
        mutation = Mutation(self._time_s(), writer, operation, key, before, after, conditional)
        self._remember(mutation)
        for told in self.told:
            told(mutation)

    def _remember(self, mutation: Mutation) -> None:
        history = self._history
        history.append(mutation)
        if history[0].time_s < mutation.time_s - 2 * _HISTORY_S:
            del history[: bisect.bisect_left(history, mutation.time_s - _HISTORY_S, key=lambda m: m.time_s)]

    def as_of(self, time_s: float) -> dict[str, StoredObject]:
        """What was there at an earlier time, up to a minute ago."""
        if not self._history or self._history[-1].time_s <= time_s:
            return self.now
        then = dict(self.now)
        for mutation in reversed(self._history):
            if mutation.time_s <= time_s:
                break
            if mutation.before is None:
                then.pop(mutation.key, None)
            else:
                then[mutation.key] = mutation.before
        return then

    def listed(self, prefix: str, after: str, time_s: float) -> Iterator[tuple[str, StoredObject]]:
        """Keys below the prefix as they were then, behind the key `after`, in the order of this store."""
        found = self.as_of(time_s)
        keys = sorted((key for key in found if key.startswith(prefix)), key=self._rank)
        start = self._rank(after) if after else None
        for key in keys:
            if start is None or self._rank(key) > start:
                yield key, found[key]

    def has_below(self, prefix: str) -> bool:
        """Whether there is any key below the prefix, which ends in a slash."""
        return any(key.startswith(prefix) and key != prefix for key in self.now)
