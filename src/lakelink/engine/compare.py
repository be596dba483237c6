"""Scans two locations at once and joins them by path, whatever the order they list in; keeps in memory only what differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakelink.core.diff import Rule, Verdict, compare_rows, matches, seal, sealed
from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.errors import RootMissing
from lakelink.locations.base import Batch, Companion, Location, Sides
from lakelink.model.change import Problem, Skipped
from lakelink.model.entry import Kind, Row
from lakelink.model.task import Progress

if TYPE_CHECKING:
    from lakelink.state.index import SyncIndex

_PAIRS = 2048
"""Matched paths are looked up in the index this many at a time."""


@dataclass(slots=True)
class Difference:
    """A path that is on both sides and not known to be equal."""

    source: Row
    target: Row
    verdict: Verdict


@dataclass(slots=True)
class Comparison:
    """What two complete scans say. `created` and `extra` are in scan order."""

    created: dict[str, Row] = field(default_factory=dict)  # only at the source
    extra: dict[str, Row] = field(default_factory=dict)  # only at the target
    changed: list[Difference] = field(default_factory=list)
    target_directories: dict[str, Row] = field(default_factory=dict)  # matched ones, as they were before the run
    unchanged: int = 0  # files and symlinks
    source_paths: int = 0  # without the root and implicit directories
    target_paths: int = 0
    unknown_source: set[str] = field(default_factory=set)  # nothing is known at and below these
    unknown_target: set[str] = field(default_factory=set)
    unclear_source: set[str] = field(
        default_factory=set
    )  # something is at these paths that could not be listed as it is
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    hard_links: list[str] = field(default_factory=list)


class Comparer:
    """One comparison of two locations. Use once."""

    def __init__(
        self, source: Location, target: Location, rule: Rule, index: SyncIndex | None, progress: Progress
    ) -> None:
        self._source = source
        self._target = target
        self._rule = rule
        self._index = None if rule.checksum else index
        self._learn = index
        self._progress = progress
        self._pairs: list[tuple[Row, Row]] = []
        self.result = Comparison()

    async def run(self, filters: Filter, *, make_target: bool = False) -> Comparison:
        """Scan both sides to their end. With `make_target`, a directory that is not there yet is an empty target.

        Raises:
            RootMissing, NotPermitted, Unreachable: a scan was not complete; nothing may be concluded.
        """
        self._filters = filters
        both = await self._beside()
        if both is not None:
            async for sides in both:
                self._take_sides(sides)
        else:
            await together(self._scan_source(), self._scan_new_target() if make_target else self._scan_target())
        self._settle()
        return self.result

    async def _beside(self) -> AsyncIterator[Sides] | None:
        """Both scans as one, where it can be had and equal rows are all there is to equality."""
        rows_decide = self._rule.posix and not self._rule.checksum and self._learn is None and not self._filters
        if not rows_decide or not isinstance(self._source, Companion):
            return None
        return await self._source.beside(self._target, owner=self._rule.owner)

    def _take_sides(self, sides: Sides) -> None:
        equal = sides.equal_files
        self.result.unchanged += equal
        self.result.source_paths += equal
        self.result.target_paths += equal
        self._progress.listed_source += equal
        self._progress.listed_target += equal
        self._take_source(sides.source)
        self._take_target(sides.target)

    async def _scan_source(self) -> None:
        async for batch in self._source.scan(self._filters.for_scan()):
            self._take_source(batch)

    def _take_source(self, batch: Batch) -> None:
        self.result.hard_links.extend(batch.hard_links)
        self.result.skipped.extend(batch.skipped)
        self.result.unclear_source.update(problem.path for problem in batch.problems)
        rows = self._known(batch, self.result.unknown_source)
        self._progress.listed_source += len(rows)
        self.result.source_paths += _count(rows)
        mine, theirs = self.result.created, self.result.extra
        for row in rows:
            other = theirs.pop(row[0], None)
            if other is None:
                mine[row[0]] = row
            else:
                self._pairs.append((row, other))
        self._settle_when_full()

    async def _scan_new_target(self) -> None:
        try:
            await self._scan_target()
        except RootMissing:
            # A root that went away in mid-scan is not a new one, and a bucket is never made.
            if self._progress.listed_target or not self._target.traits.local:
                raise

    async def _scan_target(self) -> None:
        async for batch in self._target.scan(self._filters.for_scan()):
            self._take_target(batch)

    def _take_target(self, batch: Batch) -> None:
        rows = self._known(batch, self.result.unknown_target)
        self._progress.listed_target += len(rows)
        self.result.target_paths += _count(rows)
        mine, theirs = self.result.extra, self.result.created
        for row in rows:
            other = theirs.pop(row[0], None)
            if other is None:
                mine[row[0]] = row
            else:
                self._pairs.append((other, row))
        self._settle_when_full()

    def _known(self, batch: Batch, unknown: set[str]) -> list[Row]:
        self.result.problems.extend(batch.problems)
        rows = batch.rows
        if batch.problems:
            unknown.update(row.path for row in rows if row.kind is Kind.PROBLEM)
            rows = [row for row in rows if row.kind is not Kind.PROBLEM]
        if self._filters:
            rows = [row for row in rows if not self._filters.excludes(row.path, row.kind is Kind.DIR)]
        return rows

    def _settle_when_full(self) -> None:
        if len(self._pairs) >= _PAIRS:
            self._settle()

    def _settle(self) -> None:
        pairs, self._pairs = self._pairs, []
        result = self.result
        memory = self._recall(pairs)
        learned: list[tuple[str, str, str]] = []
        directory = Kind.DIR
        same = len(pairs)
        for source, target in pairs:
            path = source[0]
            if target[1] is directory:
                result.target_directories[path] = target
                same -= 1  # directories are not counted
            parent, _, name = path.rpartition("/")
            then = memory[parent].get(name) if memory else None
            if then is not None:
                mine, theirs = seal(source), seal(target)
                if then[1] == mine and then[2] == theirs:
                    continue
                if matches(source, sealed(path, then[1])) and matches(target, sealed(path, then[2])):
                    learned.append((path, mine, theirs))
                    continue
            verdict = compare_rows(source, target, self._rule)
            if verdict is Verdict.SAME:
                if self._learn:
                    learned.append((path, seal(source), seal(target)))
            else:
                result.changed.append(Difference(source, target, verdict))
                same -= target[1] is not directory
        result.unchanged += same
        if learned and self._learn:
            self._learn.remember(learned)

    def _recall(self, pairs: list[tuple[Row, Row]]) -> dict[str, dict[str, tuple[str, str, str]]]:
        """What the index holds of these paths, by directory and name; empty without an index."""
        names: dict[str, list[str]] = {}
        if self._index is None:
            return {}
        for source, _ in pairs:
            parent, _, name = source[0].rpartition("/")
            if parent in names:
                names[parent].append(name)
            else:
                names[parent] = [name]
        return self._index.recall(names)


def _count(rows: list[Row]) -> int:
    """Without the root, and without directories that exist only by what is below them."""
    return len(rows) - sum(1 for row in rows if row[1] is Kind.DIR and (not row[0] or row[8] == ""))
