"""One link at work: feeds and surveys say where to look, and what is found is carried, until cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from math import inf

from lakelink.core.backoff import Backoff
from lakelink.core.delta import Delta, delta
from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError, Unreachable, UsageError
from lakelink.links.carry import BATCH, Carrier
from lakelink.links.committer import Committer
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES, LAKE, Dirty, Mark
from lakelink.links.observe import Observer, left_out
from lakelink.links.parts import Observer as Told
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.survey import Surveyor
from lakelink.links.tally import Tally
from lakelink.links.waiting import first
from lakelink.locations.base import Guarantee
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus
from lakelink.model.path import is_own
from lakelink.watch.feed import Hint

BATCHES_AT_ONCE = 4
POLL_S = 0.02
DOOMED_PATIENCE_S = 3.0
RETRY_LOOK_S = 1.0
HALT_BACKOFF = Backoff(base_s=2.0, cap_s=60.0)
OUTAGE_BACKOFF = Backoff(base_s=0.5, cap_s=30.0)


class Link:
    """See the module. All methods are called from the loop that runs `run`."""

    def __init__(self, spec: LinkSpec, parts: Parts) -> None:
        self.spec = spec
        self.parts = parts
        self.journal = parts.journal
        self.told: list[Told] = []
        self._tally = Tally()
        self._filters = Filter(spec.filters)
        self._state = LinkState.CREATING if not self.journal.meta("surveyed_ns") else LinkState.AVAILABLE
        self._halt: LakelinkError | None = None
        self._activity = "starting"
        self._paused = spec.paused
        self._go = asyncio.Event()  # set: something that `_paused` or a halt waits for has happened
        self._requests: list[tuple[tuple[str, ...], asyncio.Future[None]]] = []
        self._asked: list[tuple[tuple[str, ...], asyncio.Future[None]]] = []  # of these, the ones that are worked on
        self._subtrees: dict[tuple[str, str], None] = {}
        self._survey_wanted = asyncio.Event()
        self._surveying = False
        self._halts = 0
        self._renew()

    def _renew(self) -> None:
        """Everything that a session holds in memory."""
        parts, spec = self.parts, self.spec
        self._dirty = Dirty()
        observer = Observer(parts.files, parts.lake, parts.journal, self._filters)
        self._committer = Committer(parts.files, parts.journal, self._dirty, parts.clock)
        self._crew = Crew(
            parts.files, parts.lake, parts.journal, parts.clock, parts.random, self._dirty, self._tally, spec.rule,
            parts.brake, parts.host, observer, self._committer, self.told,
        )  # fmt: skip
        self._carrier = Carrier(self._crew)
        self._committer.is_more_coming = lambda: self._carrier.running > 0
        self._surveyor = Surveyor((parts.files, parts.lake), parts.journal, self._dirty, parts.clock, self._filters)
        self._surveyor.activity = self._now
        self._batches: set[asyncio.Task[None]] = set()
        self._outage: LakelinkError | None = None
        self._outages = 0
        self._surveyed = False

    # ── for others ──

    async def run(self) -> None:
        """Keep both sides in step until cancelled. Trouble becomes state, and is tried again; a cancelled call leaves nothing half done."""
        try:
            await together(self._sessions(), *(self._pump(feed) for feed in self.parts.feeds))
        finally:
            self._refuse(Unreachable("the link has stopped", hint="Is the daemon running?"))

    def status(self) -> LinkStatus:
        """How the link stands, from memory."""
        spec, journal = self.spec, self.journal
        now_s = self.parts.clock.monotonic()
        exports, imports = self._dirty.counts()
        oldest = [now_s - s if (s := self._dirty.oldest_s(files=files)) != inf else 0.0 for files in (True, False)]
        return LinkStatus(
            name=spec.name,
            ident=spec.ident,
            files=spec.files,
            lake=spec.lake,
            state=self._state,
            paused=self._paused,
            declared=spec.declared,
            reason=self._halt.message if self._halt else "",
            hint=self._halt.hint if self._halt else "",
            activity=self._what(exports + imports),
            agreed=journal.agreed,
            held=journal.counts["held"],
            conflicts=journal.open_conflicts,
            problems=journal.counts["problem"],
            imports=self._tally.flow(exports=False, pending=imports, oldest_s=oldest[1]),
            exports=self._tally.flow(exports=True, pending=exports, oldest_s=oldest[0]),
            feeds=tuple(f"{one.side}: {one.feed.kind}" for one in self.parts.feeds),
            guarantee=_guarantee(self.parts.lake.traits.write),
            last_survey_ns=int(journal.meta("surveyed_ns", "0")),
            errors=tuple(sorted(self._tally.errors.items())),
        )

    async def survey(self, paths: Sequence[str] = ()) -> None:
        """Compare both sides now, everywhere or at and below `paths`; returns when what was found has been carried or refused.

        Raises:
            LakelinkError: the link is halted, or was while it surveyed: the sentence of the halt.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._halt is not None:
            raise self._halt
        self._requests.append((tuple(paths) or ("",), done))
        self._survey_wanted.set()
        await done

    async def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is pending on either side; False when the time is up first."""
        clock = self.parts.clock
        deadline = clock.monotonic() + timeout_s
        while not self._is_idle():
            if clock.monotonic() >= deadline:
                return False
            await clock.sleep(POLL_S)
        return True

    def pause(self) -> None:
        """Nothing is carried any more; what is under way ends. Changes are still noticed."""
        self._paused = True

    def resume(self, *, allow_deletes: bool = False) -> None:
        """Go on, also after a halt: its cause is looked at again at once. With `allow_deletes` the brake lets the next deletions pass, once."""
        self._paused = False
        if allow_deletes:
            self.parts.brake.allow_once()
        self._go.set()

    def update(self, spec: LinkSpec) -> None:
        """Other settings for the same two places; taken over at once, with a survey.

        Raises:
            UsageError: another directory, prefix or ident: that would be another link.
        """
        if (spec.ident, spec.files, spec.lake) != (self.spec.ident, self.spec.files, self.spec.lake):
            raise UsageError("the two sides of a link cannot be changed", hint="Remove the link and add another one.")
        self.spec = spec
        self._paused = spec.paused
        self._filters = self._crew.observer.filters = Filter(spec.filters)
        self._crew.rule = spec.rule
        self._surveyor = Surveyor(
            (self.parts.files, self.parts.lake), self.journal, self._dirty, self.parts.clock, self._filters
        )
        self._subtrees.update({(FILES, ""): None, (LAKE, ""): None})
        self._survey_wanted.set()
        self._go.set()

    # ── sessions ──

    async def _sessions(self) -> None:
        while True:
            try:
                await self.parts.guard.check()
                await self._session()
            except LakelinkError as error:
                await self._halted(error)

    async def _session(self) -> None:
        """Look at everything, then follow; ends only by an error."""
        self._renew()
        now_s = self.parts.clock.monotonic()
        for intent in self.journal.intents():
            self._crew.note_both(intent.path, now_s)
        for path, side, subtree in self.journal.dirty():
            if subtree:
                self._subtrees[side, path] = None
            else:
                self._dirty.note(path, side, now_s)
        try:
            await together(self._committer.run(), self._survey_loop(), self._carry_loop(), self._retry_loop())
        finally:
            for task in self._batches:
                task.cancel()
            if self._batches:
                await asyncio.wait(self._batches)

    async def _halted(self, error: LakelinkError) -> None:
        """Nothing is carried until the cause is gone. It is looked at again at growing intervals, or at once when `resume` says so."""
        self._halt = error
        self._state = LinkState.MISCONFIGURED
        self._tally.errors[error.code] += 1
        self._now("halted")
        self._refuse(error)
        delay_s = HALT_BACKOFF.delay_s(self._halts, 0.5 + self.parts.random.uniform() / 2)
        self._halts += 1
        self._go.clear()
        await first(self._go.wait(), self.parts.clock.sleep(delay_s))

    def _refuse(self, error: LakelinkError) -> None:
        """Whoever waits for a survey is told why there is none."""
        requests, self._requests = [*self._asked, *self._requests], []
        self._asked = []
        for _, done in requests:
            if not done.done():
                done.set_exception(error)
                done.exception()  # seen: who asked may have gone

    def _is_well(self) -> None:
        """A survey went through and nothing that it found was refused: whatever halted the link is gone."""
        if not self._surveyed or (self._halt is not None and (self._batches or len(self._crew.doomed))):
            return
        self._halt = None
        self._halts = 0
        self._state = LinkState.AVAILABLE

    # ── hints ──

    async def _pump(self, one: SidedFeed) -> None:
        """Take the hints of a feed; a feed that cannot go on halts the link."""
        async for delivery in one.feed.deliveries():
            lasting = [(h.path, one.side, h.subtree) for h in delivery.hints if h.subtree or one.side == LAKE]
            if lasting:
                self.journal.note_dirty(lasting, self.parts.clock.time_ns())
            echoes = await self._echoes(one, delivery.hints)
            for hint in delivery.hints:
                if hint.path not in echoes:
                    self._take_hint(one, hint)
            with suppress(LakelinkError):  # it is delivered again, which does no harm
                await delivery.taken()

    async def _echoes(self, one: SidedFeed, hints: Sequence[Hint]) -> set[str]:
        """Of the files that are open as far as events tell, those that are as agreed: a name that was linked is never closed."""
        paths = [hint.path for hint in hints if not (hint.settled or hint.subtree or hint.moved_from)]
        agreed = self.journal.base(paths) if paths and one.side == FILES else {}
        if not agreed:
            return set()
        try:
            now = await self.parts.files.stat(list(agreed))
        except LakelinkError:  # what is wrong with the root is told by those who need it
            return set()
        pairs = zip(agreed.items(), now, strict=True)
        return {
            path
            for (path, base), seen in pairs
            if not isinstance(seen, LakelinkError) and delta(base.files, seen) is Delta.SAME
        }

    def _take_hint(self, one: SidedFeed, hint: Hint) -> None:
        if is_own(hint.path) or (self._filters and hint.path and left_out(self._filters, hint.path, directory=False)):
            return
        if hint.subtree or self._dirty.is_full or not hint.path:
            if hint.subtree or self._dirty.is_full:
                self._subtrees[one.side, hint.path if hint.subtree else ""] = None
                if hint.subtree and hint.moved_from:
                    self._subtrees[one.side, hint.moved_from] = None
                self._survey_wanted.set()
            return
        clock = self.parts.clock
        now_s = clock.monotonic()
        ready_s = 0.0 if hint.settled else now_s + self.spec.pace.quiet_s
        mark = self._dirty.note(hint.path, one.side, now_s, ready_s=ready_s)
        mark.unsettled = not hint.settled and one.feed.closes
        mark.moved_from = hint.moved_from or mark.moved_from
        if hint.moved_from:
            self._dirty.note(hint.moved_from, one.side, now_s)

    # ── surveys ──

    async def _survey_loop(self) -> None:
        """A full survey at the start, then each side at its interval, subtrees as they are noted, and whenever somebody asks."""
        clock, pace = self.parts.clock, self.spec.pace
        await self._survey((FILES, LAKE), "")
        scan_s = list_s = clock.monotonic()
        self._surveyed = True
        self._is_well()
        while True:
            now_s = clock.monotonic()
            next_s = min(scan_s + pace.scan_interval_s, list_s + pace.list_interval_s)
            if not self._survey_wanted.is_set() and next_s > now_s:
                await first(self._survey_wanted.wait(), clock.sleep(next_s - now_s))
            self._survey_wanted.clear()
            self._asked, self._requests = self._requests, []
            for paths, done in self._asked:
                number = 0
                for path in paths:
                    number = await self._survey((FILES, LAKE), path)
                await self._drain(number)
                if not done.done():
                    done.set_result(None)
            self._asked = []
            while self._subtrees:
                side, path = next(iter(self._subtrees))
                del self._subtrees[side, path]
                await self._survey((side,), path)
                self.journal.clean(path, side)
            now_s = clock.monotonic()
            if now_s >= scan_s + pace.scan_interval_s:
                await self._survey((FILES,), "")
                scan_s = clock.monotonic()
            if now_s >= list_s + pace.list_interval_s:
                await self._survey((LAKE,), "")
                list_s = clock.monotonic()

    async def _survey(self, sides: Sequence[str], under: str) -> int:
        """One survey, with the root's identity looked at on both ends; an outage is waited out."""
        parts = self.parts
        self._surveying = True
        try:
            for attempt in range(1 << 30):
                await parts.guard.check()
                try:
                    number = await self._surveyor.survey(sides, under)
                except Unreachable as error:
                    await self._wait_out(error, attempt)
                    continue
                await parts.guard.check()
                break
            self._outage = None
        finally:
            self._surveying = False
            self._dirty.woken.set()
        if len(sides) == 2 and not under:
            self.journal.set_meta("surveyed_ns", str(parts.clock.time_ns()))
        self._now("")
        return number

    async def _drain(self, number: int) -> None:
        while not self._dirty.drained(number) or len(self._crew.doomed):
            await self.parts.clock.sleep(POLL_S)

    # ── carrying ──

    async def _carry_loop(self) -> None:
        """Batches as marks become ready, several at once."""
        clock, dirty = self.parts.clock, self._dirty
        while True:
            await self._reap()
            if self._paused:
                self._go.clear()
                await self._go.wait()
            if len(self._batches) >= BATCHES_AT_ONCE:
                await first(*self._batches)
                continue
            dirty.woken.clear()
            marks = dirty.take(BATCH, clock.monotonic())
            if marks:
                self._batches.add(asyncio.ensure_future(self._batch(marks)))
                await clock.sleep(0)  # others may note more meanwhile
                continue
            self._release_doomed()
            self._is_well()
            if dirty.next_s() > 0.0:
                await self._wait_for_work()

    async def _wait_for_work(self) -> None:
        clock, dirty = self.parts.clock, self._dirty
        next_s = dirty.next_s()
        if self._crew.doomed.is_waiting:
            next_s = min(next_s, clock.monotonic() + DOOMED_PATIENCE_S / 10)
        waits: list[Awaitable[object]] = [dirty.woken.wait()]
        if 0.0 < next_s < inf:
            waits.append(clock.sleep(max(0.0, next_s - clock.monotonic())))
        await first(*waits, *self._batches)

    async def _reap(self) -> None:
        """Raise what a batch raised; an outage is waited out here, with everything still noted."""
        for task in [task for task in self._batches if task.done()]:
            self._batches.discard(task)
            try:
                task.result()
            except Unreachable as error:
                await self._wait_out(error, self._outages)
                self._outages += 1
            else:
                self._outages = 0
                self._outage = None

    async def _batch(self, marks: list[Mark]) -> None:
        try:
            await self.parts.guard.check()
        except BaseException:
            for mark in marks:
                self._dirty.give_back(mark)
            raise
        await self._carrier.carry(marks)

    def _release_doomed(self) -> None:
        """Deletions go when all that is known was looked at, or have waited long enough, and the brake has no objection."""
        doomed, clock = self._crew.doomed, self.parts.clock
        if not doomed.is_waiting:
            return
        now_s = clock.monotonic()
        patient = now_s - doomed.since_s < DOOMED_PATIENCE_S
        if patient and (self._surveying or self._batches or self._dirty.next_s() == 0.0):
            return
        if doomed.unasked > 0:
            self.parts.brake.ask(doomed.counted, self.journal.agreed, now_s)
            doomed.unasked = 0
        for path in doomed.release():
            mark = self._crew.note_both(path, now_s)
            mark.condemned = True

    async def _retry_loop(self) -> None:
        """Paths in trouble are tried again when their time has come."""
        clock = self.parts.clock
        while True:
            await clock.sleep(RETRY_LOOK_S)
            if not self.journal.counts["problem"] or self._dirty.is_full:
                continue
            for trouble in self.journal.trouble_due(clock.time_ns(), BATCH):
                if trouble.problem.path not in self._dirty:
                    mark = self._crew.note_both(trouble.problem.path, clock.monotonic())
                    mark.attempts = trouble.attempts

    async def _wait_out(self, error: LakelinkError, attempt: int) -> None:
        self._outage = error
        self._tally.errors[error.code] += 1
        await self.parts.clock.sleep(OUTAGE_BACKOFF.delay_s(attempt, 0.5 + self.parts.random.uniform() / 2))

    # ── telling ──

    def _now(self, activity: str) -> None:
        self._activity = activity

    def _what(self, pending: int) -> str:
        if self._paused:
            return "paused"
        if self._outage is not None:
            return "waiting for the lake"
        if self._activity:
            return self._activity
        return f"carrying {pending} changes" if pending else "idle"

    def _is_idle(self) -> bool:
        return not (
            self._surveying
            or self._requests
            or self._asked
            or self._subtrees
            or len(self._dirty)
            or len(self._crew.doomed)
            or self._committer.waiting
            or self._halt
            or self._state is LinkState.CREATING
        )


def _guarantee(write: Guarantee) -> str:
    return {
        Guarantee.ATOMIC: "every change of the lake is conditional: the store itself refuses what would overwrite another writer",
        Guarantee.CHECKED: "the store is asked right before each change; another writer within that moment may be overwritten",
        Guarantee.BLIND: "the store honours no conditions: another writer within a moment of ours may be overwritten",
    }[write]
