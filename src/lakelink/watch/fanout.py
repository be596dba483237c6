"""From one stream of events to the feeds of the links that they concern, by bucket and prefix; every buffer has a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from lakelink.errors import LakelinkError, problem_of
from lakelink.model.change import Problem
from lakelink.model.path import ROOT, file_problem, is_own
from lakelink.watch.feed import EVERYTHING, MAX_HINTS, Delivery, Hint, Told
from lakelink.watch.s3_events import KeyEvent

MAX_SHARES = 64  # deliveries of one link that were not taken yet


@dataclass(slots=True)
class Counts:
    """What went through, since the start."""

    messages: int = 0
    hints: int = 0
    duplicates: int = 0
    malformed: int = 0  # messages, or parts of them, that are no events of a known store
    foreign: int = 0  # messages that concern no link of this process
    impossible: int = 0  # keys that cannot be files; a survey reports them
    deferred: int = 0  # messages that came while a link had too many deliveries waiting
    outages: int = 0


@dataclass(slots=True)
class Health:
    """Whether the source of the events answers, and since when that is so. `error` says why not."""

    clock_ns: Callable[[], int] = time.time_ns
    ok: bool = False
    since_ns: int = 0
    error: LakelinkError | None = None
    counts: Counts = field(default_factory=Counts)

    def up(self) -> None:
        """It answers."""
        if not self.ok or self.error is not None:
            self.ok, self.error, self.since_ns = True, None, self.clock_ns()

    def down(self, error: LakelinkError) -> None:
        """It does not answer, for this reason."""
        if self.ok or self.error is None:
            self.since_ns = self.clock_ns()
            self.counts.outages += 1
        self.ok, self.error = False, error


class Share:
    """A delivery: the hints of one link, and what has to happen once they are noted."""

    __slots__ = ("_on_taken", "hints")

    def __init__(self, hints: Sequence[Hint], on_taken: Callable[[], None]) -> None:
        self.hints = hints
        self._on_taken: Callable[[], None] | None = on_taken

    async def taken(self) -> None:
        """The hints are noted durably. May be repeated; only the first call does something."""
        on_taken, self._on_taken = self._on_taken, None
        if on_taken is not None:
            on_taken()


class _Together:
    """All that waits as one delivery: noting it costs one commit instead of many."""

    __slots__ = ("_shares", "hints")

    def __init__(self, shares: Sequence[Share]) -> None:
        self.hints = coalesced([hint for share in shares for hint in share.hints])
        self._shares = shares

    async def taken(self) -> None:
        """As `Share.taken`, for each of them."""
        for share in self._shares:
            await share.taken()


class LakeFeed:
    """The events of one link: keys below `prefix` of `bucket`, as paths. A `Feed`; made by a `Fanout`, one reader at a time.

    An object appears whole, so every hint is settled. Ends only with `aclose`; an outage of the source shows in `health`.
    """

    closes = True

    def __init__(self, kind: str, bucket: str, prefix: str, fanout: Fanout) -> None:
        self.kind = kind
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.health = fanout.health
        self._fanout = fanout
        self._waiting: list[Share] = []
        self._outstanding = 0
        self._lost = False
        self._closed = False
        self._failure: LakelinkError | None = None
        self._news = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether so many deliveries are not taken yet that no more are accepted."""
        return self._outstanding >= MAX_SHARES

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Deliveries as they come; ends after `aclose`.

        Raises:
            LakelinkError: the source failed in a way that waiting does not mend.
        """
        self._fanout.wanted()
        while True:
            self._news.clear()
            if self._lost:
                self._lost = False
                yield Told((EVERYTHING,))
            elif self._waiting:
                shares = tuple(self._waiting)
                self._waiting.clear()
                yield _Together(shares) if len(shares) > 1 else shares[0]
            elif self._failure is not None:
                raise self._failure
            elif self._closed:
                return
            else:
                await self._news.wait()

    def problems(self) -> Sequence[Problem]:
        """Why no events come at this moment; empty when the source answers."""
        error = self._failure or self.health.error
        return () if error is None else (problem_of(ROOT, error),)

    async def aclose(self) -> None:
        """No more deliveries. Messages that were not taken stay where they are and come again."""
        self._closed = True
        self._waiting.clear()
        self._news.set()
        self._fanout.drop(self)

    def put(self, share: Share) -> None:
        """A delivery for the reader; the caller asked `full` before."""
        self._outstanding += 1
        self._fanout.health.counts.hints += len(share.hints)
        self._waiting.append(share)
        self._news.set()

    def settle(self) -> None:
        """One of the deliveries was taken."""
        self._outstanding -= 1

    def lose(self) -> None:
        """Events may have been lost: the reader has to look everywhere."""
        self._lost = True
        self._news.set()

    def fail(self, error: LakelinkError) -> None:
        """The source is broken: the reader gets this error after what is waiting."""
        self._failure = error
        self._news.set()

    def concerns(self, event: KeyEvent) -> bool:
        """Whether a key of this link is meant, or all of them."""
        if event.bucket != self.bucket:
            return False
        return event.key.startswith(self.prefix) or (event.subtree and self._is_below(event.key))

    def hint_of(self, event: KeyEvent) -> Hint | None:
        """Where to look for an event that concerns this link; None for a key that is lakelink's own, or cannot be a file."""
        if not event.key.startswith(self.prefix):
            return EVERYTHING
        below = event.key.removeprefix(self.prefix)
        path = below.removesuffix("/")  # `dir/` is the marker of a directory
        if is_own(path):
            return None
        if below and file_problem(path):
            self.health.counts.impossible += 1
            return None
        return Hint(path, subtree=event.subtree)

    def _is_below(self, key: str) -> bool:
        return not key or self.prefix.startswith(f"{key.rstrip('/')}/")


class Fanout:
    """The feeds of one source, and its health."""

    def __init__(self, kind: str, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.kind = kind
        self.health = Health(clock_ns)
        self._of_bucket: dict[str, list[LakeFeed]] = {}
        self.on_wanted: Callable[[], None] = lambda: None
        self.on_added: Callable[[LakeFeed], None] = lambda _: None
        self.on_dropped: Callable[[LakeFeed], None] = lambda _: None

    @property
    def feeds(self) -> list[LakeFeed]:
        """All that are open."""
        return [feed for feeds in self._of_bucket.values() for feed in feeds]

    def subscribe(self, bucket: str, prefix: str) -> LakeFeed:
        """The feed of the link at `s3://bucket/prefix`; its events are accepted from now on."""
        feed = LakeFeed(self.kind, bucket, prefix, self)
        self._of_bucket.setdefault(bucket, []).append(feed)
        self.on_added(feed)
        return feed

    def wanted(self) -> None:
        """Somebody reads."""
        self.on_wanted()

    def drop(self, feed: LakeFeed) -> None:
        """This feed is closed. May be repeated."""
        feeds = self._of_bucket.get(feed.bucket, [])
        if feed in feeds:
            feeds.remove(feed)
            if not feeds:
                del self._of_bucket[feed.bucket]
            self.on_dropped(feed)

    def concerned(self, event: KeyEvent) -> list[LakeFeed]:
        """The feeds that this event is for."""
        return [feed for feed in self._of_bucket.get(event.bucket, ()) if feed.concerns(event)]

    def lose(self) -> None:
        """Events may have been lost, for whichever link."""
        for feed in self.feeds:
            feed.lose()


def coalesced(hints: Sequence[Hint]) -> tuple[Hint, ...]:
    """Each path once; a look at the whole tree where they are too many."""
    merged: dict[str, Hint] = {}
    for hint in hints:
        known = merged.get(hint.path)
        if known is None or (hint.subtree and not known.subtree):
            merged[hint.path] = hint
    if len(merged) > MAX_HINTS or EVERYTHING in merged.values():
        return (EVERYTHING,)
    return tuple(merged.values())
