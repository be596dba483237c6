"""Settles what the listings could not: looks at metadata, compares bytes where nothing else tells, and turns differences into steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from lakelink.core.diff import Rule, Verdict, compare_entries, entry_of, same_metadata, seal
from lakelink.engine.compare import Difference
from lakelink.engine.contents import needs_bytes, same_content
from lakelink.engine.supervise import workers
from lakelink.engine.transfer import Step
from lakelink.errors import LakelinkError, problem_of
from lakelink.locations.base import Location, SetPosix
from lakelink.model.change import Problem
from lakelink.model.entry import Entry, Expect, Kind, Row
from lakelink.model.task import Action

_LOOK_AT_ONCE = 256
_LOOKS = 4
_COMPARISONS = 8


@dataclass(slots=True)
class Decisions:
    """What has to be done about the paths that are on both sides."""

    copies: list[Step] = field(default_factory=list)
    replaces: list[tuple[Step, Row]] = field(default_factory=list)  # with what stands in the way
    metadata: list[tuple[Row, SetPosix]] = field(default_factory=list)
    directories: list[Step] = field(default_factory=list)
    same: list[tuple[str, str, str]] = field(default_factory=list)  # for the index
    problems: list[Problem] = field(default_factory=list)
    same_files: int = 0
    compared: int = 0  # contents that had to be read


class Decider:
    """Decides the differences of one comparison."""

    def __init__(self, source: Location, target: Location, rule: Rule) -> None:
        self._source = source
        self._target = target
        self._rule = rule
        self.out = Decisions()

    async def run(self, differences: list[Difference]) -> Decisions:
        """Decide all of them. Reads only."""
        looks: list[Difference] = []
        for difference in differences:
            if difference.verdict is Verdict.LOOK:
                looks.append(difference)
            else:
                self._decide(difference, None, difference.verdict)
        batches = [looks[i : i + _LOOK_AT_ONCE] for i in range(0, len(looks), _LOOK_AT_ONCE)]
        await workers(batches, self._look, _LOOKS)
        return self.out

    def _decide(self, difference: Difference, source: Entry | None, verdict: Verdict) -> None:
        row, there = difference.source, difference.target
        out = self.out
        if verdict is Verdict.SAME:
            out.same.append((row.path, seal(row), seal(there)))
            out.same_files += there.kind is not Kind.DIR
        elif verdict is Verdict.REPLACE and Kind.DIR in {row.kind, there.kind}:
            step = Step(row.path, row, Action.REPLACE, "another kind of thing is in the way", entry=source)
            out.replaces.append((step, there))
        elif verdict in {Verdict.COPY, Verdict.REPLACE}:
            # A file and a link take each other's place in one step, as one version of a file does another's.
            reason = "size differs" if row.size_bytes != there.size_bytes else "content or time differs"
            reason = "another kind of thing is in the way" if verdict is Verdict.REPLACE else reason
            out.copies.append(Step(row.path, row, Action.UPDATE, reason, there.version, source))
        else:
            self._set_posix(row, there, source or entry_of(row))

    def _set_posix(self, row: Row, there: Row, source: Entry) -> None:
        if source.kind is Kind.DIR:
            replaced = None if there.ident == "" else there.version
            step = Step(row.path, row, Action.METADATA, "metadata differs", replaced, source)
            self.out.directories.append(step)
        elif source.posix is not None:
            self.out.metadata.append((row, SetPosix(row.path, source.kind, source.posix, Expect(there.version))))

    async def _look(self, batch: list[Difference]) -> None:
        sources = await self._entries(self._source, [d.source for d in batch])
        targets = await self._entries(self._target, [d.target for d in batch])
        bytewise: list[tuple[Difference, Entry, Entry]] = []
        for difference, source, target in zip(batch, sources, targets, strict=True):
            path = difference.source.path
            trouble = next((e for e in (source, target) if isinstance(e, LakelinkError)), None)
            if trouble is not None:
                self.out.problems.append(problem_of(path, trouble))
            elif isinstance(source, Entry) and isinstance(target, Entry):
                verdict = compare_entries(source, target, self._rule)
                if verdict is Verdict.CONTENT:
                    bytewise.append((difference, source, target))
                else:
                    self._decide(difference, source, verdict)
            elif isinstance(source, Entry):
                self._missing(difference.source, source)
            # Else it vanished from the source meanwhile: the next run will see it as deleted.
        await workers(bytewise, self._compare_bytes, _COMPARISONS)

    def _missing(self, row: Row, source: Entry) -> None:
        """It vanished from the target since its listing."""
        steps = self.out.directories if source.kind is Kind.DIR else self.out.copies
        steps.append(Step(row.path, row, Action.CREATE, "new", None, source))

    async def _entries(self, location: Location, rows: list[Row]) -> list[Entry | LakelinkError | None]:
        if location.traits.posix_in_list and not any(row.kind is Kind.SYMLINK for row in rows):
            return [entry_of(row) for row in rows]
        return await location.stat([row.path for row in rows])

    async def _compare_bytes(self, item: tuple[Difference, Entry, Entry]) -> None:
        difference, source, target = item
        path = difference.source.path
        self.out.compared += needs_bytes(source, target)
        try:
            same = await same_content(path, (self._source, source), (self._target, target))
        except LakelinkError as error:
            self.out.problems.append(problem_of(path, error))
            return
        if not same:
            verdict = Verdict.COPY
        elif not self._rule.posix or same_metadata(source, target, self._rule):
            verdict = Verdict.SAME
        else:
            verdict = Verdict.METADATA
        self._decide(difference, source, verdict)


def announce_checksums(differences: list[Difference], source: Location, target: Location) -> str:
    """The sentence that --checksum says beforehand: what it will ask of whom."""
    looks = [d for d in differences if d.verdict is Verdict.LOOK and d.source.kind is not Kind.DIR]
    size = sum(d.source.size_bytes for d in looks)
    heads = sum(len(looks) for side in (source, target) if not side.traits.local)
    return (
        f"--checksum compares {len(looks)} files of {size} bytes: {heads} HEAD requests, then content is hashed locally where the "
        f"store keeps a checksum or a single-part ETag, and downloaded where it does not (at most {len(looks)} GET requests)"
    )
