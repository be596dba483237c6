"""What people ask of a lazy tree: how files stand, load these, release those, mark them. Everything may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lakelink.errors import ContentUnknown, LakelinkError, UsageError
from lakelink.links.dirty import FILES, LAKE
from lakelink.links.hsm.base import Outcome, Result, Sight
from lakelink.links.hsm.policy import PART, Released
from lakelink.links.hsm.stub import Flags
from lakelink.links.hsm.tending import Tending
from lakelink.locations.base import Location, Write
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import Agreed
from lakelink.model.path import display

SETTABLE = {"norelease": Flags.NORELEASE, "noarchive": Flags.NOARCHIVE, "lost": Flags.LOST, "archived": Flags.ARCHIVED}
MOST_NAMED = 1000
_WORDS = {
    Outcome.DIRTY: "it changed since both sides were last in step, or is on its way to the lake",
    Outcome.IN_USE: "somebody has it open",
    Outcome.NORELEASE: "it is not to be released",
    Outcome.GONE: "there is no such file, or it was never loaded or released",
    Outcome.CHANGED: "its object in the lake is another one now, or gone",
    Outcome.NO_SPACE: "the disk is full, and nothing may be released",
    Outcome.FAILED: "it failed",
}


@dataclass(frozen=True, slots=True)
class PathState:
    """How one file stands, by the names of `lfs hsm_state`."""

    path: str
    flags: tuple[str, ...]
    size_bytes: int
    allocated_bytes: int
    message: str = ""


@dataclass(slots=True)
class Report:
    """What came of a command."""

    files: int = 0
    size_bytes: int = 0
    failed: int = 0
    already: int = 0
    named: list[PathState] = field(
        default_factory=list
    )  # of `state`: all; else those that failed, as far as they are named

    def add(self, result: Result, size_bytes: int = 0) -> None:
        if result.outcome is Outcome.DONE:
            self.files += 1
            self.size_bytes += result.freed_bytes or size_bytes
        elif result.outcome is Outcome.ALREADY:
            self.already += 1
        else:
            self.failed += 1
            if len(self.named) < MOST_NAMED:
                why = result.error.message if result.error else _WORDS.get(result.outcome, result.outcome.value)
                self.named.append(PathState(result.path, (result.outcome.value,), size_bytes, 0, why))


@dataclass(slots=True)
class Commands:
    """Carries out commands on one open link, in its loop. `report` grows while a command runs."""

    tending: Tending
    files: Location
    lake: Location

    # ── looking ──

    async def state(self, paths: Sequence[str]) -> Report:
        """How these files stand; of a directory all that is in it."""
        report = Report()
        for part in _parts(self._expanded(paths)):
            agreed = self.tending.journal.base(part)
            sights = await asyncio.to_thread(self.tending.lazy.guard.state, part)
            for path, sight in zip(part, sights, strict=True):
                report.named.append(self._state(path, sight, agreed.get(path)))
        return report

    def _state(self, path: str, sight: Sight | None, agreed: Agreed | None) -> PathState:
        if sight is None:
            return PathState(path, (), 0, 0, "no file")
        known = agreed is not None and agreed.files.kind is Kind.FILE
        in_step = known and agreed is not None and agreed.files.version == sight.version
        words = []
        stub = bool(sight.stub and sight.stub.flags.is_stub)
        if stub:
            words.append("released")
        if known or stub:
            words.append("exists")
        if known and not in_step and not stub:
            words.append("dirty")
        if in_step or stub:
            words.append("archived")
        words += [name for name, flag in SETTABLE.items() if name != "archived" and sight.flags & flag]
        if sight.unknown and not in_step:
            words.append("unknown")
        return PathState(path, tuple(words), sight.version.size_bytes, sight.allocated_bytes)

    # ── loading ──

    async def restore(self, paths: Sequence[str], chosen: Callable[[str], bool], report: Report) -> None:
        """Load these; of a directory all that is in it and is chosen. What lost its mark is taken from the lake anew."""
        for part in _parts(path for path in self._expanded(paths) if chosen(path)):
            sizes = await self._mend(part, report)
            for result in await self._load([path for path in part if path in sizes]):
                report.add(result, sizes[result.path])
            await self.tending.releaser.look(part)

    async def _load(self, paths: Sequence[str]) -> list[Result]:
        """What stands for an object that went, under another name of the file perhaps, is made to stand for the one at its path, and loaded then."""
        guard = self.tending.lazy.guard
        results = list(await guard.restore(paths))
        for i, result in enumerate(results):
            (sight,) = guard.state([result.path]) if result.outcome is Outcome.CHANGED else (None,)
            if sight is not None and await self._stand_for(result.path, sight) is None:
                (results[i],) = await guard.restore([result.path])
        return results

    async def _mend(self, part: Sequence[str], report: Report) -> dict[str, int]:
        """Sizes of what can be loaded. A hole without a mark becomes a stub of the object at its path first: that is what the command is for."""
        sizes: dict[str, int] = {}
        sights = await asyncio.to_thread(self.tending.lazy.guard.state, part)
        for path, sight in zip(part, sights, strict=True):
            if sight is None:
                report.add(Result(path, Outcome.GONE))
            elif sight.unknown and (error := await self._stand_for(path, sight)) is not None:
                report.add(Result(path, Outcome.FAILED, error=error))
            else:
                sizes[path] = sight.version.size_bytes
        return sizes

    async def _stand_for(self, path: str, sight: Sight) -> LakelinkError | None:
        (there,) = await self.lake.stat([path])
        if isinstance(there, LakelinkError):
            return there
        if there is None or there.kind is not Kind.FILE or there.size_bytes != sight.version.size_bytes:
            return ContentUnknown(
                f"there is no object of that size for {display(path)}",
                hint="Are zeros meant? `lakelink hsm accept` says so. Else remove it.",
            )
        lazy = self.tending.lazy
        posix = lazy.posix_of(there)
        write = Write(path, Kind.FILE, lazy.files.stub(path, there, posix), posix, Expect(sight.version))
        (answer,) = await self.files.write([write])
        self.tending.dirty().note(path, FILES, self.tending.clock.monotonic())
        return None if isinstance(answer, Entry) else answer

    async def accept(self, paths: Sequence[str], report: Report) -> None:
        """Files that are one hole and bear no mark are content from now on. Each is named by itself: a directory may hold stubs that lost theirs.

        Raises:
            UsageError: one of them is a directory, or not there.
        """
        guard = self.tending.lazy.guard
        sights = await asyncio.to_thread(guard.state, list(paths))
        for path, sight in zip(paths, sights, strict=True):
            if sight is None:
                raise UsageError(
                    f"{display(path) or 'the root of the link'} is no file",
                    hint="Name files, one by one, whose zeros are meant.",
                )
        for result in await guard.accept(paths):
            report.add(result)
            if result.outcome is Outcome.DONE:
                dirty = self.tending.dirty()
                dirty.concerns_files(dirty.note(result.path, LAKE, self.tending.clock.monotonic()))

    # ── releasing ──

    async def release(self, paths: Sequence[str], chosen: Callable[[str], bool], report: Report) -> None:
        """Release these, however lately they were used."""
        for part in _parts(path for path in self._expanded(paths) if chosen(path)):
            for result in await self.tending.releaser.release(part):
                report.add(result)

    async def release_old(
        self, age_s: float, chosen: Callable[[str], bool], until_free_bytes: int | None, report: Report
    ) -> None:
        """Release in the order of last use what nobody has used for so long, until so much of the disk is free."""
        guard, clock = self.tending.lazy.guard, self.tending.clock

        def enough(done: Released) -> bool:
            report.files, report.size_bytes = done.files, done.freed_bytes
            return until_free_bytes is not None and guard.fill().available_bytes >= until_free_bytes

        before_ns = clock.time_ns() - int(age_s * 1e9)
        done = await self.tending.releaser.some(enough, before_ns=before_ns, chosen=chosen)
        report.files, report.size_bytes = done.files, done.freed_bytes
        for result in done.kept:
            report.add(result)

    # ── flags ──

    async def flag(self, paths: Sequence[str], words: Sequence[str], *, clear: bool, report: Report) -> None:
        """Set or clear flags.

        Raises:
            UsageError: there is no such flag.
        """
        flags = Flags(0)
        for word in words:
            if word not in SETTABLE:
                raise UsageError(
                    f"there is no flag {word!r} that could be set", hint=f"There are {', '.join(SETTABLE)}."
                )
            flags |= SETTABLE[word]
        for part in _parts(self._expanded(paths)):
            change = {"remove": flags} if clear else {"add": flags}
            for result in await self.tending.lazy.guard.flag(part, **change):
                report.add(result)

    def _expanded(self, paths: Sequence[str]) -> Iterator[str]:
        """Files at and below these paths that the link knows of; a path that it does not know stands for itself."""
        journal = self.tending.journal
        unknown = [
            trouble.problem.path for trouble in journal.problems() if trouble.problem.code == ContentUnknown.code
        ]
        for path in paths:
            below = journal.below(path)
            itself = [path] if path and (not below) else []
            for part in _parts(iter([*itself, *below])):
                agreed = journal.base(part)
                for each in part:
                    entry = agreed.get(each)
                    if (entry is None and each == path) or (
                        entry and entry.files.kind is Kind.FILE and entry.files.size_bytes
                    ):
                        yield each
            yield from (each for each in unknown if each.startswith(f"{path}/" if path else "") and each != path)


def _parts(paths: Iterator[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for path in paths:
        part.append(path)
        if len(part) >= PART:
            yield part
            part = []
    if part:
        yield part
