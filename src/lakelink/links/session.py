"""One stretch of a link's work, from looking at everything to the first error that concerns a whole side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from math import inf

from lakelink.core.backoff import Backoff
from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError, Unreachable
from lakelink.links.carry import BATCH, Carrier
from lakelink.links.committer import Committer
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES, LAKE, Dirty, Mark
from lakelink.links.hsm.bulk import Bulk
from lakelink.links.observe import Observer
from lakelink.links.parts import Observer as Told
from lakelink.links.parts import Parts
from lakelink.links.survey import Surveyor
from lakelink.links.tally import Tally
from lakelink.links.torn import PLACING
from lakelink.links.waiting import first
from lakelink.links.wants import Request, Wants
from lakelink.locations.base import Uploader
from lakelink.model.entry import Row
from lakelink.model.linkspec import LinkSpec

BATCHES_AT_ONCE = 4
LARGE_HELD = 64
"""So many large files are known to wait; then nothing more is taken on until one is done."""
POLL_S = 0.02
DOOMED_PATIENCE_S = 3.0
RETRY_LOOK_S = 1.0
OUTAGE_BACKOFF = Backoff(base_s=0.5, cap_s=30.0)
SURVEYED = "surveyed_ns"
"""The key of the journal's meta for the end of the last complete survey."""


class Session:
    """Everything of a link that is only in memory. Use once."""

    def __init__(
        self, spec: LinkSpec, parts: Parts, filters: Filter, wants: Wants, tally: Tally, told: list[Told]
    ) -> None:
        self.spec = spec
        self.outage: LakelinkError | None = None
        self.activity = ""
        self.paused = spec.paused
        self.go = asyncio.Event()  # set: `paused` was taken back
        self.surveyed = False  # the first survey has ended
        self._parts = parts
        self._wants = wants
        self._tally = tally
        self._surveying = 0
        self._outages = 0
        self._batches: set[asyncio.Task[None]] = set()
        self._bulk: Bulk | None = None
        self._large: set[asyncio.Task[None]] = set()  # large files, each in a task of its own
        self._asked: dict[
            Request, asyncio.Task[None]
        ] = {}  # surveys that somebody waits for, until what they found is carried
        self.dirty = Dirty()
        observer = Observer(parts.files, parts.lake, parts.journal, filters)
        self._committer = Committer(parts.files, parts.journal, self.dirty, parts.clock)
        self.crew = Crew(
            files=parts.files,
            lake=parts.lake,
            journal=parts.journal,
            clock=parts.clock,
            random=parts.random,
            dirty=self.dirty,
            tally=tally,
            rule=spec.rule,
            brake=parts.brake,
            host=parts.host,
            observer=observer,
            committer=self._committer,
            lazy=parts.lazy,
            told=told,
            survey_below=wants.note_subtree,
        )
        self._carrier = Carrier(self.crew, self._beside)
        self._committer.is_more_coming = lambda: self._carrier.running > 0
        self._take_filters(filters)

    async def _take_new(self, rows: list[Row]) -> tuple[list[Row], list[Row]]:
        """New objects of a lazy link, unless it rests."""
        return (rows, []) if self.paused or self._bulk is None else await self._bulk.take(rows)

    @property
    def is_idle(self) -> bool:
        """Nothing is known that has not been carried or refused."""
        return self.surveyed and not (
            self._surveying
            or not self._wants.is_empty
            or len(self.dirty)
            or len(self.crew.doomed)
            or self._committer.waiting
        )

    @property
    def is_well(self) -> bool:
        """All that the first survey found was looked at, and nothing of it was refused as a whole."""
        return self.surveyed and not self._batches and not len(self.crew.doomed)

    def update(self, spec: LinkSpec, filters: Filter) -> None:
        """Other settings, from the next batch and survey on."""
        self.spec = spec
        self.crew.rule = spec.rule
        self.crew.observer.filters = filters
        self._take_filters(filters)
        for side in (FILES, LAKE):
            self._wants.note_subtree(side, "")

    def _take_filters(self, filters: Filter) -> None:
        parts = self._parts
        self._surveyor = Surveyor((parts.files, parts.lake), parts.journal, self.dirty, parts.clock, filters)
        self._surveyor.activity = self._now
        if parts.lazy is not None:
            self._bulk = Bulk(self.crew, parts.lazy)
            self._surveyor.take_new = self._take_new

    async def run(self) -> None:
        """Settle what the last process left, look at everything, then follow; ends only by an error.

        Raises:
            LakelinkError: of a side as a whole, the guard, the brake or the journal.
        """
        await self._recover()
        try:
            await together(self._committer.run(), self._survey_loop(), self._carry_loop(), self._retry_loop())
        finally:
            tasks = self._batches | self._large | set(self._asked.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self.crew.doomed.close()

    async def _recover(self) -> None:
        """Open intents are settled by looking at both sides: what was done has become equal, what was not is decided anew."""
        parts = self._parts
        now_s = parts.clock.monotonic()
        intents = parts.journal.intents()
        large = [intent.path for intent in intents if "bytes" in intent.detail]
        if large and isinstance(parts.lake, Uploader):
            # Parts of an upload that nobody will complete cost money until they are gone.
            await parts.lake.abort_uploads(large)
        self.crew.placing.update((one.path, one.detail.get("etag", "")) for one in intents if one.verb in PLACING)
        if self.crew.placing:
            await parts.files.flush()  # what is found to be whole now stays so
        for intent in intents:
            self.crew.note_both(intent.path, now_s)
        for path, side, subtree in parts.journal.dirty():
            if subtree:
                self._wants.note_subtree(side, path)
            else:
                self.dirty.note(path, side, now_s)

    # ── surveys ──

    async def _survey_loop(self) -> None:
        """A full survey at the start, then each side at its interval, subtrees as they are noted, and whenever somebody asks."""
        clock, wants = self._parts.clock, self._wants
        await self._survey((FILES, LAKE), "")
        scan_s = list_s = clock.monotonic()
        self.surveyed = True
        self.dirty.woken.set()
        while True:
            pace, now_s = self.spec.pace, clock.monotonic()
            next_s = min(scan_s + pace.scan_interval_s, list_s + pace.list_interval_s)
            if not wants.woken.is_set() and next_s > now_s:
                await first(wants.woken.wait(), clock.sleep(next_s - now_s))
            wants.woken.clear()
            for request in wants.take_requests():
                if request in self._asked:
                    continue
                numbers = [await self._survey((FILES, LAKE), path) for path in request.paths]
                # Beside this loop: what was found may take its time, and no survey may wait for that.
                self._asked[request] = asyncio.ensure_future(self._answer(request, max(numbers)))
            while (subtree := wants.take_subtree()) is not None:
                side, path = subtree
                await self._survey((side,), path)
                self._parts.journal.clean(path, side)
            now_s = clock.monotonic()
            if now_s >= scan_s + pace.scan_interval_s:
                await self._survey((FILES,), "")
                scan_s = clock.monotonic()
            if now_s >= list_s + pace.list_interval_s:
                await self._survey((LAKE,), "")
                list_s = clock.monotonic()

    async def _survey(self, sides: Sequence[str], under: str) -> int:
        """One survey, with the root's identity looked at on both ends; an outage is waited out."""
        parts = self._parts
        self._surveying += 1
        attempt = 0
        try:
            while True:
                await parts.guard.check()
                try:
                    number = await self._surveyor.survey(sides, under)
                except Unreachable as error:
                    await self._wait_out(error, attempt)
                    attempt += 1
                    continue
                await parts.guard.check()
                break
        finally:
            self._surveying -= 1
            self._now("")
            self.dirty.woken.set()
        self.outage = None
        if len(sides) == 2 and not under:
            parts.journal.set_meta(SURVEYED, str(parts.clock.time_ns()))
        return number

    async def _answer(self, request: Request, number: int) -> None:
        """When all that the surveys of a request found was carried or refused. What came later is not waited for: it may never end."""
        while not (self.dirty.drained(number) and self.crew.doomed.drained(number)):
            await self._parts.clock.sleep(POLL_S)
        self._wants.finish(request)
        del self._asked[request]

    # ── carrying ──

    async def _carry_loop(self) -> None:
        """Batches as marks become ready, several at once."""
        clock, dirty = self._parts.clock, self.dirty
        while True:
            await self._reap()
            if self.paused:
                self.go.clear()
                await self.go.wait()
            if len(self._batches) >= BATCHES_AT_ONCE or len(self._large) >= LARGE_HELD:
                await first(*self._batches, *self._large)
                continue
            dirty.woken.clear()
            marks = dirty.take(BATCH, clock.monotonic())
            if marks:
                self._batches.add(asyncio.ensure_future(self._batch(marks)))
                await clock.sleep(0)  # others may note more meanwhile
                continue
            self._release_doomed()
            if dirty.next_s() > 0.0:
                await self._wait_for_work()

    async def _wait_for_work(self) -> None:
        clock, dirty = self._parts.clock, self.dirty
        next_s = dirty.next_s()
        if self.crew.doomed.is_waiting:
            next_s = min(next_s, clock.monotonic() + DOOMED_PATIENCE_S / 10)
        waits: list[Awaitable[object]] = [dirty.woken.wait()]
        if 0.0 < next_s < inf:
            waits.append(clock.sleep(max(0.0, next_s - clock.monotonic())))
        await first(*waits, *self._batches, *self._large)

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        """Large files go beside the batches, so that small ones pass them."""
        self._large.add(asyncio.ensure_future(work))

    async def _reap(self) -> None:
        """Raise what a batch raised; an outage is waited out here, with everything still noted."""
        for task in [task for task in self._batches | self._large if task.done()]:
            self._batches.discard(task)
            self._large.discard(task)
            try:
                task.result()
            except Unreachable as error:
                await self._wait_out(error, self._outages)
                self._outages += 1
            else:
                self._outages = 0
                self.outage = None

    async def _batch(self, marks: list[Mark]) -> None:
        try:
            await self._parts.guard.check()
        except BaseException:
            for mark in marks:
                self.dirty.give_back(mark)
            raise
        await self._carrier.carry(marks)

    def _release_doomed(self) -> None:
        """Deletions go when all that is known was looked at, or have waited long enough, and the brake has no objection."""
        doomed, now_s = self.crew.doomed, self._parts.clock.monotonic()
        if not doomed.is_waiting:
            return
        patient = now_s - doomed.since_s < DOOMED_PATIENCE_S
        if patient and (self._surveying or self._batches or self.dirty.next_s() == 0.0):
            return
        if doomed.unasked > 0:
            self._parts.brake.ask(doomed.counted, self._parts.journal.agreed, now_s)
            doomed.unasked = 0
        for one in doomed.release():
            # Looked at once more, right before: the side that deleted it, and the lake wherever it is what says so.
            mark = self.dirty.note(one.path, one.side, now_s)
            mark.condemned = True
            mark.number = min(mark.number, one.number)  # who waits for what was known waits for its end
            mark.attempts = max(mark.attempts, one.attempts)

    async def _retry_loop(self) -> None:
        """Paths in trouble are tried again when their time has come."""
        clock, journal = self._parts.clock, self._parts.journal
        while True:
            await clock.sleep(RETRY_LOOK_S)
            if not journal.counts["problem"] or self.dirty.is_full:
                continue
            for trouble in journal.trouble_due(clock.time_ns(), BATCH):
                if trouble.problem.path not in self.dirty:
                    mark = self.crew.note_both(trouble.problem.path, clock.monotonic())
                    mark.attempts = trouble.attempts

    async def _wait_out(self, error: LakelinkError, attempt: int) -> None:
        self.outage = error
        self._tally.errors[error.code] += 1
        await self._parts.clock.sleep(OUTAGE_BACKOFF.delay_s(attempt, 0.5 + self._parts.random.uniform() / 2))

    def _now(self, activity: str) -> None:
        self.activity = activity
