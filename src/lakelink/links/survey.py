"""Comparing a whole side with the base: the truth behind every feed. What is found differing is noted as dirty; nothing is decided here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from lakelink.core.filters import Filter
from lakelink.core.safety import below
from lakelink.engine.supervise import together
from lakelink.links.dirty import FILES, LAKE, Dirty
from lakelink.locations.base import Batch, Excludes, Location
from lakelink.model.entry import Kind, Row
from lakelink.ports.clock import Clock
from lakelink.state.findings import Result, Trouble
from lakelink.state.journal import Journal
from lakelink.state.sightings import NEVER_NS, Sightings

TakeNew: TypeAlias = Callable[[list[Row]], Awaitable[tuple[list[Row], list[Row]]]]
"""A lazy link takes most of what is new in the lake by itself: the rows that are left, and those that came to the files side."""


class Pass:
    """One walk or listing of one side, and what it could not see."""

    def __init__(
        self, location: Location, journal: Journal, filters: Filter, side: str, under: str, tag: str = ""
    ) -> None:
        self.side = side
        self._location = location
        self._filters = filters
        self._under = under
        self._scope = _scope(filters.for_scan(), under) if under and location.traits.local else filters.for_scan()
        self.seen = Sightings(journal, side, tag)
        self.unknown: set[str] = set()
        self.troubles: list[Trouble] = []

    async def run(self) -> None:
        """To its end; an error means that nothing may be concluded from what is missing."""
        async for batch in self._location.scan(self._scope):
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        filters, under = self._filters, self._under
        rows = batch.rows
        if batch.problems or filters or under or (rows and rows[0].path == ""):
            self.unknown.update(row.path for row in rows if row.kind is Kind.PROBLEM)
            rows = [
                row
                for row in rows
                if row.path
                and row.kind is not Kind.PROBLEM
                and not (filters and filters.excludes(row.path, row.kind is Kind.DIR))
                and (not under or row.path == under or row.path.startswith(f"{under}/"))
            ]
        self.troubles.extend(Trouble(problem, 1, NEVER_NS) for problem in batch.problems)
        self.unknown.update(problem.path for problem in batch.problems)
        self.seen.add([row for row in rows if row.path])


class Surveyor:
    """Compares sides with the base. One survey at a time."""

    def __init__(
        self, sides: tuple[Location, Location], journal: Journal, dirty: Dirty, clock: Clock, filters: Filter
    ) -> None:
        self._sides = {FILES: sides[0], LAKE: sides[1]}
        self._journal = journal
        self._dirty = dirty
        self._clock = clock
        self._filters = filters
        self.activity: Callable[[str], None] = lambda _: None
        self.take_new: TakeNew | None = None

    async def survey(self, sides: Sequence[str], under: str = "") -> int:
        """Walk and list; the number after which all marks of this survey are behind (see `Dirty.drained`).

        Raises:
            RootMissing, NotPermitted, Unreachable: a side was not seen to its end, and nothing was concluded.
        """
        passes = [Pass(self._sides[side], self._journal, self._filters, side, under) for side in sides]
        try:
            self.activity("listing" if LAKE in sides else "scanning")
            await together(*(one.run() for one in passes))
            # The lake first: of a path that is new on both sides it is then known that the other side has something.
            for one in sorted(passes, key=lambda one: one.side, reverse=True):
                await self._note_differing(one, passes)
                await self._note_missing(one, under)
                self._note_troubles(one)
        finally:
            for one in passes:
                one.seen.close()
        return self._dirty.last_number

    async def _note_differing(self, one: Pass, passes: Sequence[Pass]) -> None:
        dirty, now_s = self._dirty, self._clock.monotonic()
        for differing in one.seen.differing():
            rows = await self._taken(differing, passes) if one.side == LAKE else differing
            for row in rows:
                dirty.note(row.path, one.side, now_s, row=row if one.side == LAKE else None)
            await self._clock.sleep(0)
            await dirty.room()

    async def _taken(self, rows: list[Row], passes: Sequence[Pass]) -> list[Row]:
        """What of these rows of the lake is left to be looked at."""
        if self.take_new is None:
            return rows
        left, made = await self.take_new(rows)
        for other in passes:
            if other.side == FILES:
                other.seen.add(made)  # it has come since the walk
        return left

    async def _note_missing(self, one: Pass, under: str) -> None:
        dirty, now_s = self._dirty, self._clock.monotonic()
        for paths in one.seen.missing(under):
            for path in paths:
                if not below(path, one.unknown):
                    dirty.note(path, one.side, now_s)
            await self._clock.sleep(0)
            await dirty.room()
        for path in one.seen.orphans(under):
            dirty.note(path, one.side, now_s)

    def _note_troubles(self, one: Pass) -> None:
        """Names that the other side cannot have, and what could not be read. Those of the last survey that are gone are forgotten."""
        found = {trouble.problem.path: trouble for trouble in one.troubles}
        results = [Result(path, trouble=trouble) for path, trouble in found.items()]
        if one.side == LAKE:
            old = [t.problem.path for t in self._journal.problems() if t.again_ns == NEVER_NS]
            results.extend(Result(path) for path in old if path not in found)
        # A path that is being carried tells of itself: its intent stays until its own result.
        results = [result for result in results if result.path not in self._dirty]
        if results:
            self._journal.settle(results, self._clock.time_ns())


def _scope(excludes: Excludes | None, under: str) -> Excludes:
    """Leaves out all that is neither above nor below `under`."""

    def left_out(path: str, directory: bool) -> bool:
        related = path == under or path.startswith(f"{under}/") or (directory and under.startswith(f"{path}/"))
        return not related or bool(excludes and excludes(path, directory))

    return left_out
