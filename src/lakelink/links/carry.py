"""Carrying changes: batches of dirty paths are looked at, decided, and done in groups; several batches at once, each path in one of them only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

from lakelink.core.delta import Delta, delta
from lakelink.engine.supervise import together, workers
from lakelink.errors import LakelinkError, Retry
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES, Mark
from lakelink.links.effects import Answer, Step
from lakelink.links.judge import DELETES, QUICK_ATTEMPTS, Judge
from lakelink.links.keeping import Keeper
from lakelink.links.observe import Look
from lakelink.links.torn import PLACING
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Agreed
from lakelink.model.path import split
from lakelink.model.plan import CONFLICTS, Verb
from lakelink.state.findings import Intent, Result

BATCH = 256
GROUP_FILES = 16
GROUP_BYTES = 4 << 20
GROUPS_AT_ONCE = 16
LARGE_AT_ONCE = 4
LARGE_BYTES = 8 << 20
"""From here on an upload has parts that outlive its process."""

COMPARISONS_AT_ONCE = 8


class Carrier:
    """Takes batches of marks to their end. Every mark that comes in goes to the committer, or back to Dirty."""

    def __init__(self, crew: Crew, beside: Callable[[Coroutine[None, None, None]], None]) -> None:
        """`beside` lets work go on that `carry` does not wait for."""
        self._crew = crew
        self._beside = beside
        self._effects = crew.effects()
        self._lanes = asyncio.Semaphore(GROUPS_AT_ONCE)
        self._large_lanes = asyncio.Semaphore(LARGE_AT_ONCE)
        self.running = 0  # groups under way
        self._judge = Judge(crew)

    async def carry(self, marks: Sequence[Mark]) -> None:
        """Look, decide, do. Trouble of one path is its result; trouble of a side is raised, with all marks back in Dirty.

        Raises:
            RootMissing, Unreachable, NotPermitted: a side cannot be used. StorageError: the journal cannot be written.
        """
        left = {mark.path: mark for mark in marks}
        try:
            looks = await self._crew.observer.look(marks)
            looks += await self._ancestors(looks, left)
            await self._judge.prepare(looks)
            steps: list[Step] = []

            async def decide_one(look: Look) -> None:
                step = await self._judge.judge(look)
                if isinstance(step, Step):
                    steps.append(step)
                else:
                    self._finish(look, step, left)

            await workers(looks, decide_one, COMPARISONS_AT_ONCE)
            await self._judge.find_origins(steps)
            await self._do(steps, left)
        finally:
            for mark in left.values():
                self._crew.dirty.give_back(mark)

    async def _ancestors(self, looks: Sequence[Look], left: dict[str, Mark]) -> list[Look]:
        """Directories that both sides do not agree on yet go before what is in them: so nobody takes one that an import made for a new one."""
        wanted: dict[str, bool] = {}
        for look in looks:
            if look.base is None and (isinstance(look.files, Entry) or isinstance(look.lake, Entry)):
                parent = split(look.path)[0]
                while parent and parent not in wanted and parent not in left:
                    wanted[parent] = look.mark.lake
                    parent = split(parent)[0]
        if not wanted:
            return []
        crew = self._crew
        known = crew.journal.base(list(wanted))
        marks: list[Mark] = []
        for path, lake in wanted.items():
            mark = None if path in known else crew.dirty.claim(path, crew.clock.monotonic())
            if mark is not None:
                crew.dirty.concerns_files(mark)
                mark.lake = mark.lake or lake
                left[path] = mark
                marks.append(mark)
        return await crew.observer.look(marks) if marks else []

    # ── doing ──

    async def _do(self, steps: Sequence[Step], left: dict[str, Mark]) -> None:
        if not steps:
            return
        crew = self._crew
        crew.journal.begin([_intent(step) for step in steps], crew.clock.time_ns())
        small: list[Step] = []
        for step in steps:
            if step.size_bytes > LARGE_BYTES:
                self._beside(self._alone(step, left.pop(step.path)))
            else:
                small.append(step)
        await together(*(self._group(verb, group, left) for verb, group in _groups(small)))

    async def _alone(self, step: Step, mark: Mark) -> None:
        """A large file, that nothing else waits for."""
        left = {step.path: mark}
        try:
            await self._group(step.verb, [step], left)
        finally:
            for unfinished in left.values():
                self._crew.dirty.give_back(unfinished)

    async def _group(self, verb: Verb, steps: Sequence[Step], left: dict[str, Mark]) -> None:
        large = any(step.size_bytes > LARGE_BYTES for step in steps)
        async with self._large_lanes if large else self._lanes:
            self.running += 1
            try:
                if verb in CONFLICTS:
                    answers = [await self._keeper().run(step, self._crew.rule.conflict) for step in steps]
                else:
                    answers = await self._effects.run(verb, steps)
            finally:
                self.running -= 1
        for step, answer in zip(steps, answers, strict=True):
            self._conclude(step, answer, left)

    def _keeper(self) -> Keeper:
        crew = self._crew
        return crew.keeper(self._effects)

    def _conclude(self, step: Step, answer: Answer, left: dict[str, Mark]) -> None:
        crew, look = self._crew, step.look
        error = answer if isinstance(answer, LakelinkError) else None
        if error is not None:
            result = self._not_removed(step, error) if step.verb in DELETES else self._judge.failed(look, error)
            self._finish(look, result, left, step.verb, error)
            return
        agreed = answer if isinstance(answer, Agreed) else None
        if (
            agreed is not None
            and (step.origin is not None or step.moved)
            and delta(agreed.files, step.files) is not Delta.SAME
        ):
            crew.dirty.note(step.path, FILES, crew.clock.monotonic())
        now_s = crew.clock.monotonic()
        crew.tally.done(step.verb, now_s - look.mark.since_s, agreed)
        if agreed is not None and agreed.files.kind is Kind.DIR and crew.journal.counts["problem"]:
            for path in crew.journal.troubles_below(step.path):
                crew.note_both(path, now_s)  # what could not be made in it may go now
        if step.verb in DELETES and not self._crew.doomed.is_renamed(step.path):
            crew.brake.done(1, now_s)
        self._finish(look, Result(look.path, keep_base=False, base=agreed), left, step.verb)

    def _not_removed(self, step: Step, error: LakelinkError) -> Result | None:
        """A directory that is not empty. What is agreed on in it is looked at first; what is new in it keeps it alive, and so it is new itself."""
        crew, look = self._crew, step.look
        entry = step.files or step.lake
        if entry is None or entry.kind is not Kind.DIR or error.retry is not Retry.AFTER_RESCAN:
            return self._judge.failed(look, error)
        inside = crew.journal.below(step.path, BATCH)
        if inside and look.mark.attempts < QUICK_ATTEMPTS:
            now_s = crew.clock.monotonic()
            for path in inside:
                if path not in self._crew.doomed:
                    self._crew.note_both(path, now_s)
            return self._judge.failed(look, error)
        self._recheck(look)
        return Result(look.path, keep_base=False)

    def _recheck(self, look: Look) -> None:
        mark = self._crew.note_both(look.path, self._crew.clock.monotonic())
        self._crew.dirty.is_since(mark, look.mark.since_s)

    def _finish(
        self,
        look: Look,
        result: Result | None,
        left: dict[str, Mark],
        verb: Verb | None = None,
        error: LakelinkError | None = None,
    ) -> None:
        """The path is done with for now."""
        mark = left.pop(look.path)
        self._crew.doomed.finished(look.path)
        if result is not None and not result.keep_intent:
            self._crew.placing.pop(look.path, None)
        self._crew.committer.add([result] if result else [], [mark])
        if result is not None:
            failure = error if error is not None else (look.error if result.trouble else None)
            for tell in self._crew.told:
                tell(look.path, verb.value if verb else "", failure)


def _intent(step: Step) -> Intent:
    """What is kept of a step until its result is."""
    detail = {"bytes": str(step.size_bytes)} if step.size_bytes > LARGE_BYTES else {}
    if step.verb.value in PLACING and step.lake is not None and step.lake.version is not None:
        detail["etag"] = step.lake.version.etag
    return Intent(step.path, step.verb.value, detail)


def _groups(steps: Sequence[Step]) -> Iterator[tuple[Verb, list[Step]]]:
    """Steps of one verb in groups, from the top down; deletions from the deepest up, and in one group, since their order counts."""
    by_verb: dict[Verb, list[Step]] = {}
    for step in sorted(steps, key=lambda step: step.path):
        by_verb.setdefault(step.verb, []).append(step)
    for verb, some in by_verb.items():
        if verb in DELETES:
            yield verb, some[::-1]
        else:
            for group in _cut(some):
                yield verb, group


def _cut(steps: Iterable[Step]) -> Iterator[list[Step]]:
    group: list[Step] = []
    held_bytes = 0
    for step in steps:
        size_bytes = step.size_bytes
        if group and (step.verb in CONFLICTS or len(group) >= GROUP_FILES or held_bytes + size_bytes > GROUP_BYTES):
            yield group
            group, held_bytes = [], 0
        group.append(step)
        held_bytes += size_bytes
    if group:
        yield group
