"""Directories of a one-way run: made before what they hold, and given their mode and times after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from lakelink.core.diff import entry_of
from lakelink.engine.transfer import Step
from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.locations.base import Location, SetPosix, Write
from lakelink.model.entry import Entry, Expect, Kind, Posix, Row
from lakelink.model.path import split
from lakelink.model.task import Action
from lakelink.oneway.ledger import Ledger

T = TypeVar("T")

_AT_ONCE = 500


class Directories:
    """The directories of one run. `make`, then the files, then `finish`."""

    def __init__(self, source: Location, target: Location, ledger: Ledger, *, posix: bool) -> None:
        self._source = source
        self._target = target
        self._ledger = ledger
        self._posix = posix
        self._wanted: dict[str, tuple[Row, Posix]] = {}
        self._touched: set[str] = set()

    def touch(self, path: str) -> None:
        """A path was written or removed: its parent's times have moved with that."""
        self._touched.add(split(path)[0])

    async def make(self, steps: Sequence[Step]) -> None:
        """Make what is new, parents first. In a file system the metadata of what is there waits for `finish`: a read-only directory could not
        be filled, and filling moves the times.
        """
        # Level by level, even in a lake: a store over a file system makes missing parents by itself, and then refuses their markers.
        for level in _levels(steps):
            for batch in _cut(level):
                await self._describe(batch)
                await self._make_batch(batch)

    async def _make_batch(self, batch: Sequence[Step]) -> None:
        steps: list[Step] = []
        writes: list[Write] = []
        later = self._target.traits.local
        for step in batch:
            posix = (step.entry or entry_of(step.source)).posix if self._posix else None
            if posix is not None and later:
                self._wanted[step.path] = (step.source, posix)
            if later and step.action is Action.METADATA:
                continue
            steps.append(step)
            # A new directory has its mode from the start, so that it is never more open than it should be; its times wait in a file system.
            writes.append(Write(step.path, Kind.DIR, None, posix, Expect(step.replaces)))
        outcomes = await self._target.write(writes)
        for step, outcome in zip(steps, await self._again(writes, outcomes), strict=True):
            if isinstance(outcome, LakelinkError):
                self._wanted.pop(step.path, None)
                self._ledger.failed(step.path, outcome)
            elif step.action is Action.METADATA:
                self._ledger.updated(step.path, step.source, outcome)
            else:
                self._ledger.made_directory(step.path, step.reason)
                if step.path not in self._wanted:
                    self._ledger.remember(step.path, step.source, outcome)

    async def _again(self, writes: list[Write], outcomes: list[Entry | LakelinkError]) -> list[Entry | LakelinkError]:
        """A directory that appeared meanwhile is as good as one that we made: it gets its metadata, in the place of what is there now."""
        missed = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, PreconditionFailed)]
        entries = await self._target.stat([writes[number].path for number in missed])
        there = [(n, e) for n, e in zip(missed, entries, strict=True) if isinstance(e, Entry) and e.kind is Kind.DIR]
        renewed = await self._target.write([replace(writes[n], expect=Expect(e.version)) for n, e in there])
        for (number, _), outcome in zip(there, renewed, strict=True):
            outcomes[number] = outcome
        return outcomes

    async def _describe(self, batch: Sequence[Step]) -> None:
        """A listing of the lake does not carry the metadata of a marker."""
        unknown = [step for step in batch if step.entry is None and step.source.mode < 0 and step.source.ident != ""]
        entries = await self._source.stat([step.path for step in unknown])
        for step, entry in zip(unknown, entries, strict=True):
            if isinstance(entry, Entry) and entry.kind is Kind.DIR:
                step.entry = entry

    async def finish(self, before: dict[str, Row]) -> None:
        """Set mode and times, from the deepest up. Directories that were only touched get back what they had (`before`)."""
        if not self._posix or not self._target.traits.local:
            return
        wanted = {path: _posix_of(before[path]) for path in self._touched if path in before}
        wanted.update({path: posix for path, (_, posix) in self._wanted.items()})
        # The root has as many slashes as its children, and comes after them.
        for batch in _cut(sorted(wanted, key=lambda path: (not path, -path.count("/"), path))):
            await self._finish_batch(batch, wanted)

    async def _finish_batch(self, batch: Sequence[str], wanted: dict[str, Posix]) -> None:
        entries = await self._target.stat(batch)
        changes = [
            SetPosix(path, Kind.DIR, wanted[path], Expect(entry.version))
            for path, entry in zip(batch, entries, strict=True)
            if isinstance(entry, Entry) and entry.kind is Kind.DIR
        ]
        outcomes = await self._target.set_posix(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, LakelinkError):
                self._ledger.failed(change.path, outcome)
            elif change.path in self._wanted:
                self._ledger.remember(change.path, self._wanted[change.path][0], outcome)


def _posix_of(row: Row) -> Posix:
    return Posix(row.mode, row.uid, row.gid, row.mtime_ns, row.mtime_ns)


def _levels(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The root first, then what has no slash in its path, and so on."""
    by_depth: dict[int, list[Step]] = {}
    for step in steps:
        by_depth.setdefault(step.path.count("/") + bool(step.path), []).append(step)
    for depth in sorted(by_depth):
        yield by_depth[depth]


def _cut(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
