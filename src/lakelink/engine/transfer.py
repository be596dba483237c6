"""Moves groups of paths from one location to another: reads, writes, looks again when something moved, and says what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lakelink.core.diff import entry_of, row_of
from lakelink.errors import LakelinkError, NotFound, PreconditionFailed, Retry
from lakelink.locations.base import Location, Read, Write
from lakelink.locations.content import BytesContent, Content
from lakelink.model.entry import Entry, Expect, Kind, Row, Version
from lakelink.model.task import Action
from lakelink.ports.clock import Clock

SMALL_BYTES = 1 << 20
"""Up to here a content is loaded whole; above, it streams."""

ATTEMPTS = 4
PAUSE_S = 0.15


@dataclass(slots=True)
class Step:
    """One path to be written: its source as observed, and what it replaces at the target (None: nothing)."""

    path: str
    source: Row
    action: Action
    reason: str
    replaces: Version | None = None
    entry: Entry | None = None  # the source looked at closely, where a row does not tell everything


@dataclass(slots=True)
class Done:
    """What came of a step: the source that was copied, and what is at the target now; or the error."""

    step: Step
    written: Entry | None = None
    error: LakelinkError | None = None


@dataclass(frozen=True, slots=True)
class GroupSize:
    """How much goes into one group. A larger file is a group of its own."""

    files: int
    bytes: int


def groups(steps: Iterable[Step], size: GroupSize) -> Iterator[list[Step]]:
    """Cut a stream of steps into groups, lazily and in order."""
    group: list[Step] = []
    total = 0
    for step in steps:
        cost = step.source.size_bytes
        if group and (len(group) >= size.files or total + cost > size.bytes):
            yield group
            group, total = [], 0
        group.append(step)
        total += cost
    if group:
        yield group


class Transfer:
    """Copies groups of steps between two locations. Never raises for one path."""

    def __init__(self, source: Location, target: Location, clock: Clock, *, posix: bool) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._posix = posix
        self._fetch = not source.traits.store or source.traits.store != target.traits.store

    async def copy(self, steps: Sequence[Step]) -> list[Done]:
        """Write each step's content, whole or not at all, in the place of exactly the version it names.

        A source that changes while it is read, or a target that is no longer what was observed, is observed again and tried again, up to four
        times in all; then the error stands. What a step did not expect at its path at all is never replaced. May be repeated.

        Raises:
            Unreachable, NotPermitted, RootMissing: for the location as a whole.
        """
        finished: list[Done] = []
        waiting = list(steps)
        for attempt in range(ATTEMPTS):
            again: list[Done] = []
            for done in await self._copy_once(waiting):
                moved = done.error is not None and done.error.retry is Retry.AFTER_RESCAN
                (again if moved and attempt + 1 < ATTEMPTS else finished).append(done)
            if not again:
                break
            await self._clock.sleep(PAUSE_S * 2**attempt)
            waiting = await self._observe(again, finished)
        return finished

    async def _copy_once(self, steps: list[Step]) -> list[Done]:
        reads = [Read(s.path, s.source.size_bytes, s.source.version, self._fetch) for s in steps]
        contents = await self._source.read(reads)
        results = [
            Done(step, error=c if isinstance(c, LakelinkError) else None)
            for step, c in zip(steps, contents, strict=True)
        ]
        opened = [(done, c) for done, c in zip(results, contents, strict=True) if isinstance(c, Content)]
        if not self._source.traits.posix_in_list:
            opened = await self._described(opened)
        ready = [(done, content) for done, content in opened if done.error is None]
        outcomes = await self._target.write([self._write(done.step, content) for done, content in ready])
        for (done, _), outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, LakelinkError):
                done.error = outcome
            else:
                done.written = outcome
        return results

    async def _described(self, opened: list[tuple[Done, Content]]) -> list[tuple[Done, Content]]:
        """The same, each step with the entry of its source, or with the error that it could not be had."""
        away: list[int] = []
        for index, (done, content) in enumerate(opened):
            data = content.at_hand() if self._fetch else None
            if data is not None and content.entry is not None:
                done.step.entry = content.entry
                opened[index] = (done, BytesContent(data))
            else:
                away.append(index)
        fetched = await asyncio.gather(*(self._describe(*opened[index]) for index in away))
        for index, content in zip(away, fetched, strict=True):
            opened[index] = (opened[index][0], content)
        return opened

    async def _describe(self, done: Done, content: Content) -> Content:
        """A listing of the lake tells neither kind nor metadata: the answer that carries the bytes does, so a small object is fetched at once;
        a large one, or one that is copied by the store, is asked for.
        """
        step = done.step
        try:
            if self._fetch and step.source.size_bytes <= SMALL_BYTES:
                loaded = await content.load()
                step.entry = content.entry or step.entry
                content = BytesContent(loaded)
            if step.entry is None:
                (entry,) = await self._source.stat([step.path])
                if isinstance(entry, LakelinkError):
                    raise entry
                if entry is None:
                    raise NotFound("it vanished from the source while the run was under way")
                step.entry = entry
        except LakelinkError as error:
            done.error = error
        return content

    def _write(self, step: Step, content: Content) -> Write:
        entry = step.entry or entry_of(step.source, content.atime_ns)
        return Write(
            step.path,
            entry.kind,
            content,
            entry.posix if self._posix else None,
            Expect(step.replaces),
            entry.attributes,
        )

    async def _observe(self, failed: list[Done], finished: list[Done]) -> list[Step]:
        """Look at both sides again; what can be decided anew goes on, the rest is finished with its error."""
        paths = [done.step.path for done in failed]
        sources = await self._source.stat(paths)
        targets = await self._target.stat(paths)
        again: list[Step] = []
        for done, source, target in zip(failed, sources, targets, strict=True):
            if target is not None and not isinstance(target, LakelinkError) and done.step.replaces is None:
                # It was not seen before, so nobody decided that it may go. It may even be what this run has just written under a name that the
                # target does not tell apart from this one.
                done.error = PreconditionFailed(
                    "something is at the target that its listing did not show",
                    hint="The next run compares it. If it comes again, the target takes this name and another one for the same.",
                )
                finished.append(done)
                continue
            if source is None:
                done.error = NotFound(
                    "it vanished from the source while the run was under way",
                    hint="The next run will see it as deleted.",
                )
            if not isinstance(source, Entry) or isinstance(target, LakelinkError):
                finished.append(done)
            elif source.kind not in (Kind.FILE, Kind.SYMLINK) or (target is not None and target.kind is Kind.DIR):
                finished.append(done)  # it became another kind of thing: for the next run to plan
            else:
                again.append(_renewed(done.step, source, target, listed=self._source.traits.posix_in_list))
        return again


def _renewed(step: Step, source: Entry, target: Entry | None, *, listed: bool) -> Step:
    row = row_of(step.path, source, listed=listed)
    return replace(step, source=row, entry=None if listed else source, replaces=target.version if target else None)
