"""One link at work: what others see and ask of it, and how it goes on after trouble."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal

from lakelink.core.backoff import Backoff
from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError, NotPermitted, RootMissing, Unreachable, UsageError
from lakelink.links.check import CheckResult, check
from lakelink.links.dirty import Dirty
from lakelink.links.halts import halt_of
from lakelink.links.intake import Intake
from lakelink.links.parts import Observer as Told
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.resolving import resolve
from lakelink.links.session import POLL_S, SURVEYED, Session
from lakelink.links.tally import Tally
from lakelink.links.waiting import first
from lakelink.links.wants import Wants
from lakelink.locations.base import Guarantee
from lakelink.model.linkspec import LinkSpec, LinkState, LinkStatus

HALT_BACKOFF = Backoff(base_s=2.0, cap_s=60.0)
_GUARANTEES = {
    Guarantee.ATOMIC: "every change of the lake is conditional: the store itself refuses what would overwrite another writer",
    Guarantee.CHECKED: "the store is asked right before each change; another writer within that moment may be overwritten",
    Guarantee.BLIND: "the store honours no conditions: another writer within a moment of ours may be overwritten",
}


class Link:
    """See the module. All methods are called from the loop that runs `run`."""

    def __init__(self, spec: LinkSpec, parts: Parts) -> None:
        self.spec = spec
        self.parts = parts
        self.journal = parts.journal
        self.told: list[Told] = []  # hear what comes of each path; to be added to and removed from at any time
        self._tally = Tally()
        self._filters = Filter(spec.filters)
        self._wants = Wants()
        self._state = LinkState.AVAILABLE if parts.journal.meta(SURVEYED) else LinkState.CREATING
        self._halt: LakelinkError | None = None
        self._halts = 0
        self._stale: LakelinkError | None = (
            None  # the parts are of no use any more: whoever made them has to make new ones
        )
        self._session = self._new_session()
        self._intake = Intake(parts, self._wants, lambda: self._session.dirty, self._filters, spec.pace.quiet_s)

    def _new_session(self) -> Session:
        return Session(self.spec, self.parts, self._filters, self._wants, self._tally, self.told)

    async def run(self) -> None:
        """Keep both sides in step until cancelled. Trouble becomes state, and is tried again; a cancelled call leaves nothing half done.

        Raises:
            RootMissing, LakelinkError: the directory is there again, but what was opened of it is of no use: open new parts. A feed ended.
        """
        try:
            await self._sessions()
        finally:
            self._wants.refuse(Unreachable("the link has stopped", hint="Is the daemon running?"))

    @property
    def dirty(self) -> Dirty:
        """Which paths have to be looked at; another one after each halt."""
        return self._session.dirty

    def status(self) -> LinkStatus:
        """How the link stands, from memory."""
        spec, journal, session = self.spec, self.journal, self._session
        now_s = self.parts.clock.monotonic()
        exports, imports = session.dirty.counts()
        oldest = [now_s - s if (s := session.dirty.oldest_s(files=files)) != inf else 0.0 for files in (True, False)]
        return LinkStatus(
            name=spec.name,
            ident=spec.ident,
            files=spec.files,
            lake=spec.lake,
            state=self._state,
            paused=session.paused,
            declared=spec.declared,
            reason=self._halt.message if self._halt else "",
            hint=self._halt.hint if self._halt else "",
            activity=self._activity(exports + imports),
            agreed=journal.agreed,
            held=journal.counts["held"],
            conflicts=journal.open_conflicts,
            problems=journal.counts["problem"],
            imports=self._tally.flow(exports=False, pending=imports, oldest_s=oldest[1]),
            exports=self._tally.flow(exports=True, pending=exports, oldest_s=oldest[0]),
            feeds=tuple(_feed_words(one) for one in self.parts.feeds),
            guarantee=_GUARANTEES[self.parts.lake.traits.write],
            last_survey_ns=int(journal.meta(SURVEYED, "0")),
            errors=tuple(sorted(self._tally.errors.items())),
        )

    async def survey(self, paths: Sequence[str] = ()) -> None:
        """Compare both sides now, everywhere or at and below `paths`; returns when what was found has been carried or refused.

        Raises:
            LakelinkError: the link is halted or paused, or was halted while it surveyed: the sentence of the halt.
        """
        if self._halt is not None:
            raise self._halt
        await self._wants.ask(tuple(paths) or ("",))

    async def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is pending on either side; False when the time is up first."""
        clock = self.parts.clock
        deadline = clock.monotonic() + timeout_s
        while self._halt is not None or self._intake.taking or not self._session.is_idle:
            if clock.monotonic() >= deadline:
                return False
            await clock.sleep(POLL_S)
        return True

    def pause(self) -> None:
        """Nothing is carried any more; what is under way ends. Changes are still noticed."""
        self._session.paused = True

    def resume(self, *, allow_deletes: bool = False) -> None:
        """Go on, also after a halt: its cause is looked at again at once. With `allow_deletes` the deletions that were refused may pass, once."""
        if allow_deletes:
            self.parts.brake.allow_once()
        self._session.paused = False
        self._session.go.set()

    def update(self, spec: LinkSpec) -> None:
        """Other settings for the same two places; taken over at once, with a survey.

        Raises:
            UsageError: another directory, prefix or ident: that would be another link.
        """
        if (spec.ident, spec.files, spec.lake) != (self.spec.ident, self.spec.files, self.spec.lake):
            raise UsageError("the two sides of a link cannot be changed", hint="Remove the link and add another one.")
        self.spec = spec
        self._filters = self._intake.filters = Filter(spec.filters)
        self._intake.quiet_s = spec.pace.quiet_s
        self._session.update(spec, self._filters)
        self._session.paused = spec.paused
        self._session.go.set()

    async def resolve(self, conflict_id: int, keep: Literal["files", "lake", "both"]) -> None:
        """Settle an open conflict; what does not stay at the path goes to the trash, or is a copy. Carried with the next changes.

        Raises:
            UsageError: there is no such conflict. PreconditionFailed: a side changed meanwhile; look again.
        """
        await resolve(self._session.crew, conflict_id, keep)

    async def check(self, *, repair: bool) -> CheckResult:
        """The journal against both sides. With `repair`, what differs is carried or noted, as by `survey`.

        Raises:
            StorageError: the journal is damaged. RootMissing, NotPermitted, Unreachable: a side cannot be seen.
        """
        await self.parts.guard.check()
        result = await check(self.parts, self._filters)
        if repair and not result.is_clean:
            await self.survey()
        return result

    # ── sessions ──

    async def _sessions(self) -> None:
        while True:
            try:
                await self.parts.guard.check()
                if self._stale is not None:
                    raise self._stale
                await self._one_session()
            except LakelinkError as error:
                if error is self._stale:
                    raise
                await self._halted(await self._as_halt(error))

    async def _one_session(self) -> None:
        paused = self._session.paused
        self._session = self._new_session()
        self._session.paused = paused
        await together(self._session.run(), self._watch_health(), *(self._pump(feed) for feed in self.parts.feeds))

    async def _pump(self, feed: SidedFeed) -> None:
        """A feed that ends cannot be used again."""
        try:
            await self._intake.pump(feed)
        except LakelinkError as error:
            self._stale = error
            raise

    async def _as_halt(self, error: LakelinkError) -> LakelinkError:
        """The halt that an error of a whole side means. What was opened of a directory that is another one now is of no use any more."""
        if not isinstance(error, RootMissing | NotPermitted):
            return error
        try:
            await self.parts.files.flush()
        except LakelinkError as trouble:
            self._stale = error
            return halt_of(trouble, "files", self.spec.files) or trouble
        return halt_of(error, "lake", self.spec.lake) or error

    async def _halted(self, error: LakelinkError) -> None:
        """Nothing is carried until the cause is gone. It is looked at again at growing intervals, or at once when `resume` says so."""
        self._halt = error
        self._state = LinkState.MISCONFIGURED
        self._tally.errors[error.code] += 1
        self._wants.refuse(error)
        delay_s = HALT_BACKOFF.delay_s(self._halts, 0.5 + self.parts.random.uniform() / 2)
        self._halts += 1
        self._session.go.clear()
        await first(self._session.go.wait(), self.parts.clock.sleep(delay_s))

    async def _watch_health(self) -> None:
        """A survey went through and nothing that it found was refused: whatever halted the link is gone."""
        clock = self.parts.clock
        while not self._session.surveyed or (self._halt is not None and not self._session.is_well):
            await clock.sleep(POLL_S)
        self._halt, self._halts = None, 0
        self._state = LinkState.AVAILABLE

    def _activity(self, pending: int) -> str:
        session = self._session
        if self._halt is not None:
            return "halted"
        if session.paused:
            return "paused"
        if session.outage is not None:
            return "waiting for the lake"
        return session.activity or (f"carrying {pending} changes" if pending else "idle")


def _feed_words(one: SidedFeed) -> str:
    problems = one.feed.problems()
    return f"{one.side}: {one.feed.kind}" + (f"; {problems[0].message}" if problems else "")
