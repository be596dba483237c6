"""Carrying changes: batches of dirty paths are looked at, decided, and done in groups; several batches at once, each path in one of them only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lakelink.core.delta import Delta, delta
from lakelink.core.reconcile import decide
from lakelink.engine.contents import same_content
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError, NameUnsupported, Retry, problem_of
from lakelink.links import parts as _parts
from lakelink.links.committer import Committer
from lakelink.links.dirty import FILES, LAKE, Dirty, Mark
from lakelink.links.effects import Answer, Effects, Step
from lakelink.links.keeping import Keeper, clash_of
from lakelink.links.observe import Look, Observer
from lakelink.links.tally import Tally
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Agreed, Event, Rule
from lakelink.model.path import display, split
from lakelink.model.plan import CONFLICTS, Decision, Verb
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random
from lakelink.state.journal import Held, Intent, Journal, Result, Trouble

BATCH = 256
GROUP_FILES = 16
GROUP_BYTES = 4 << 20
GROUPS_AT_ONCE = 16

QUICK_ATTEMPTS = 5
PAUSE_S = 0.1
FIRST_RETRY_S = 5.0
LAST_RETRY_S = 600.0
SECOND_NS = 1_000_000_000
_DELETES = frozenset({Verb.EXPORT_DELETE, Verb.IMPORT_DELETE})
_EVENTS = {Delta.NEW: Event.NEW, Delta.DELETED: Event.DELETED}


class Doomed:
    """Paths whose deletion waits until all else that is known was looked at: a rename shows as a deletion first, and deletions are counted
    before the first of them. Files go before directories, and those from the deepest up.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, bool] = {}  # path -> it is a directory
        self._released: set[str] = set()
        self.unasked = 0
        self.since_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._released)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting or path in self._released

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, path: str, directory: bool, now_s: float) -> None:
        if not self._waiting:
            self.since_s = now_s
        self.unasked += path not in self
        self._waiting[path] = directory

    def release(self) -> list[str]:
        """Those whose turn it is."""
        if self._released or not self._waiting:
            return []
        wave = [path for path, directory in self._waiting.items() if not directory]
        if not wave:
            deepest = max(path.count("/") for path in self._waiting)
            wave = [path for path in self._waiting if path.count("/") == deepest]
        for path in wave:
            del self._waiting[path]
        self._released.update(wave)
        return wave

    def finished(self, path: str) -> None:
        """The path was looked at again; what came of it does not matter."""
        self._released.discard(path)


@dataclass(slots=True)
class Crew:
    """What carrying needs; one per session of a link."""

    files: Location
    lake: Location
    journal: Journal
    clock: Clock
    random: Random
    dirty: Dirty
    tally: Tally
    rule: Rule
    brake: _parts.Brake
    host: str
    observer: Observer
    committer: Committer
    told: list[_parts.Observer] = field(default_factory=list)


class Carrier:
    """Takes batches of marks to their end. Every mark that comes in goes to the committer, or back to Dirty."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._effects = Effects(crew.files, crew.lake)
        self._lanes = asyncio.Semaphore(GROUPS_AT_ONCE)
        self.running = 0  # groups under way
        self.doomed = Doomed()

    async def carry(self, marks: Sequence[Mark]) -> None:
        """Look, decide, do. Trouble of one path is its result; trouble of a side is raised, with all marks back in Dirty.

        Raises:
            RootMissing, Unreachable, NotPermitted: a side cannot be used. StorageError: the journal cannot be written.
        """
        left = {mark.path: mark for mark in marks}
        try:
            looks = await self._crew.observer.look(marks)
            looks += await self._ancestors(looks, left)
            steps: list[Step] = []
            for look in looks:
                step = await self._decide(look)
                if isinstance(step, Step):
                    steps.append(step)
                else:
                    self._finish(look, step, left)
            await self._do(steps, left)
        finally:
            for mark in left.values():
                self._crew.dirty.give_back(mark)

    # ── deciding ──

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
                mark.files, mark.lake = True, mark.lake or lake
                left[path] = mark
                marks.append(mark)
        return await crew.observer.look(marks) if marks else []

    async def _decide(self, look: Look) -> Step | Result | None:
        """What to do; None = the path has to be looked at again later, and is in Dirty again."""
        crew = self._crew
        if look.excluded:
            return Result(look.path, keep_base=look.base is None)
        decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        if decision is not None and look.listed and decision.verb is not Verb.IMPORT:
            await crew.observer.ask_lake([look])
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule)
        if decision is not None and decision.verb is Verb.COMPARE:
            try:
                files, lake = _both(decision)
                look.same_bytes = await same_content(look.path, (crew.files, files), (crew.lake, lake))
            except LakelinkError as error:
                return self._failed(look, error)
            decision = decide(look.path, look.base, look.files, look.lake, crew.rule, same_bytes=look.same_bytes)
        if decision is None:
            return self._unchanged(look)
        return self._act(look, decision)

    def _unchanged(self, look: Look) -> Result:
        """Both sides are as agreed. What only names the version may have moved; the next survey is spared a question."""
        base = look.base
        if (
            base is not None
            and look.lake_seen
            and isinstance(look.lake, Entry)
            and look.lake.version != base.lake.version
        ):
            return Result(look.path, keep_base=False, base=Agreed(base.files, look.lake))
        return Result(look.path)

    def _act(self, look: Look, decision: Decision) -> Step | Result | None:
        path, verb = look.path, decision.verb
        if verb is Verb.WAIT:
            return self._failed(look, look.error or LakelinkError("a side could not be looked at"))
        if verb is Verb.HOLD:
            return Result(path, held=_held(look))
        if verb is Verb.FORGET:
            return Result(path, keep_base=False)
        if verb is Verb.ADOPT:
            files, lake = _both(decision)
            return Result(path, keep_base=False, base=Agreed(files, lake))
        if verb in _DELETES and not look.mark.condemned:
            self.doomed.add(path, _is_directory(look), self._crew.clock.monotonic())
            return None
        if verb in (Verb.EXPORT, Verb.IMPORT) and (error := self._name_error(decision)) is not None:
            return self._failed(look, error)
        if verb is Verb.STAND:
            step = Step(look, verb, decision.files, decision.lake, decision.reason)
            return Result(path, clash=clash_of(step, self._crew.rule.conflict))
        return Step(look, verb, decision.files, decision.lake, decision.reason)

    def _name_error(self, decision: Decision) -> NameUnsupported | None:
        """Why the other side cannot hold that name."""
        exporting = decision.verb is Verb.EXPORT
        entry = decision.files if exporting else decision.lake
        side = self._crew.lake if exporting else self._crew.files
        problem = side.name_problem(decision.path, entry.kind if entry else Kind.FILE)
        if problem is None:
            return None
        return NameUnsupported(
            f"{display(decision.path)}: {problem}", hint="Rename it, or exclude it; everything else goes on."
        )

    # ── doing ──

    async def _do(self, steps: Sequence[Step], left: dict[str, Mark]) -> None:
        if not steps:
            return
        crew = self._crew
        crew.journal.begin([Intent(step.path, step.verb.value) for step in steps], crew.clock.time_ns())
        await together(*(self._group(verb, group, left) for verb, group in _groups(steps)))

    async def _group(self, verb: Verb, steps: Sequence[Step], left: dict[str, Mark]) -> None:
        async with self._lanes:
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
        exports = bool(crew.rule.exports & {Event.NEW, Event.CHANGED})
        return Keeper(crew.files, crew.lake, crew.journal, crew.dirty, crew.clock, self._effects, crew.host, exports)

    def _conclude(self, step: Step, answer: Answer, left: dict[str, Mark]) -> None:
        crew, look = self._crew, step.look
        error = answer if isinstance(answer, LakelinkError) else None
        if error is not None:
            result = self._not_removed(step, error) if step.verb in _DELETES else self._failed(look, error)
            self._finish(look, result, left, step.verb, error)
            return
        agreed = answer if isinstance(answer, Agreed) else None
        now_s = crew.clock.monotonic()
        crew.tally.done(step.verb, now_s - look.mark.since_s, agreed)
        if step.verb in _DELETES:
            crew.brake.done(1, now_s)
        self._finish(look, Result(look.path, keep_base=False, base=agreed), left, step.verb)

    def _not_removed(self, step: Step, error: LakelinkError) -> Result | None:
        """A directory that is not empty. What is agreed on in it is looked at first; what is new in it keeps it alive, and so it is new itself."""
        crew, look = self._crew, step.look
        entry = step.files or step.lake
        if entry is None or entry.kind is not Kind.DIR or error.retry is not Retry.AFTER_RESCAN:
            return self._failed(look, error)
        inside = crew.journal.below(step.path, BATCH)
        if inside and look.mark.attempts < QUICK_ATTEMPTS:
            now_s = crew.clock.monotonic()
            for path in inside:
                if path not in self.doomed:
                    self.note_both(path, now_s)
            return self._failed(look, error)
        self._recheck(look)
        return Result(look.path, keep_base=False)

    def note_both(self, path: str, now_s: float) -> Mark:
        """The path is to be looked at on both sides."""
        mark = self._crew.dirty.note(path, LAKE, now_s)
        mark.files = True
        return mark

    def _recheck(self, look: Look) -> None:
        mark = self.note_both(look.path, self._crew.clock.monotonic())
        mark.since_s = look.mark.since_s

    def _failed(self, look: Look, error: LakelinkError) -> Result | None:
        """Look again soon where that may help; else it is listed as a problem, and tried again at growing intervals."""
        crew, mark = self._crew, look.mark
        crew.tally.errors[error.code] += 1
        if error.retry is not Retry.NEVER and mark.attempts < QUICK_ATTEMPTS:
            pause_s = PAUSE_S * 2**mark.attempts * (0.5 + crew.random.uniform()) if mark.attempts else 0.0
            crew.dirty.again(mark, crew.clock.monotonic() + pause_s if pause_s else 0.0)
            return None
        attempts = max(0, mark.attempts - QUICK_ATTEMPTS if error.retry is not Retry.NEVER else mark.attempts)
        pause_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts, 16))
        again_ns = crew.clock.time_ns() + int(pause_s * SECOND_NS)
        return Result(look.path, trouble=Trouble(problem_of(look.path, error), mark.attempts + 1, again_ns))

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
        self.doomed.finished(look.path)
        self._crew.committer.add([result] if result else [], [mark])
        if result is not None:
            failure = error if error is not None else (look.error if result.trouble else None)
            for tell in self._crew.told:
                tell(look.path, verb.value if verb else "", failure)


def _both(decision: Decision) -> tuple[Entry, Entry]:
    if decision.files is None or decision.lake is None:
        raise AssertionError
    return decision.files, decision.lake


def _is_directory(look: Look) -> bool:
    entry = look.files if isinstance(look.files, Entry) else look.lake
    return isinstance(entry, Entry) and entry.kind is Kind.DIR


def _held(look: Look) -> Held:
    base = look.base
    mine = delta(base.files if base else None, look.files)
    theirs = delta(base.lake if base else None, look.lake)
    side, moved = (FILES, mine) if mine is not Delta.SAME else (LAKE, theirs)
    return Held(look.path, side, _EVENTS.get(moved, Event.CHANGED))


def _groups(steps: Sequence[Step]) -> Iterator[tuple[Verb, list[Step]]]:
    """Steps of one verb in groups, from the top down; deletions from the deepest up, and in one group, since their order counts."""
    by_verb: dict[Verb, list[Step]] = {}
    for step in sorted(steps, key=lambda step: step.path):
        by_verb.setdefault(step.verb, []).append(step)
    for verb, some in by_verb.items():
        if verb in _DELETES:
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
