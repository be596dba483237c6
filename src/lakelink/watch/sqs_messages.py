"""Which messages of a queue were handed to whom, and which may be deleted: those that every link concerned has noted durably."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from lakelink.watch.fanout import Fanout, LakeFeed, Share, coalesced
from lakelink.watch.feed import Hint
from lakelink.watch.s3_events import Decoded, Duplicates, KeyEvent, decode
from lakelink.watch.sqs_api import Message

log = logging.getLogger("lakelink.watch")

MAX_SET_ASIDE = 10_000


@dataclass(slots=True, eq=False)
class _Pending:
    """A message that was handed out: to whom, and whether it may be deleted when all of them have noted it."""

    handle: str
    events: tuple[KeyEvent, ...]
    waiting: set[LakeFeed]
    deletable: bool


@dataclass(slots=True)
class _Portion:
    """What one poll brought for one link."""

    hints: list[Hint] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


class Messages:
    """The messages of one queue that this process has seen. Bounded by what links may have waiting (`fanout.MAX_SHARES`).

    `deletable` holds the handles of messages that are done with, and `some_deletable` is set when one is added; `room` is set whenever a link
    may have room for more.
    """

    def __init__(self, fanout: Fanout) -> None:
        self.deletable: deque[str] = deque()
        self.some_deletable = asyncio.Event()
        self.room = asyncio.Event()
        self._fanout = fanout
        self._pending: dict[str, _Pending] = {}
        self._set_aside: OrderedDict[str, None] = OrderedDict()  # looked at once: not ours, or not understood
        self._duplicates = Duplicates()
        fanout.on_added = self._on_added
        fanout.on_dropped = self._on_dropped

    def __len__(self) -> int:
        return len(self._pending)

    def accept(self, messages: Sequence[Message]) -> int:
        """Hand the hints of these messages to the links; the time that the oldest one of ours was sent at, in ms, 0 where not known."""
        portions: dict[LakeFeed, _Portion] = {}
        oldest_ms = 0
        counts = self._fanout.health.counts
        for message in messages:
            counts.messages += 1
            if (known := self._pending.get(message.id)) is not None:
                known.handle = message.handle  # only the newest one is sure to work
                counts.duplicates += 1
            elif message.id in self._set_aside:
                self._set_aside.move_to_end(message.id)
            elif self._sort(message, portions) and message.sent_ms:
                oldest_ms = min(oldest_ms or message.sent_ms, message.sent_ms)
        for feed, portion in portions.items():
            feed.put(Share(coalesced(portion.hints), partial(self._noted, feed, portion.ids)))
        return oldest_ms

    def _sort(self, message: Message, portions: dict[LakeFeed, _Portion]) -> bool:
        """Whether the message was meant for a link of ours, and can be handed out now."""
        counts = self._fanout.health.counts
        decoded = decode(message.body)
        concerned, foreign = self._concerned(decoded)
        if any(feed.full for feed in concerned):
            counts.deferred += 1  # it comes again after the visibility timeout
            return False
        keep = foreign or bool(decoded.problems)
        if keep:
            self._keep(message, decoded)
        hints = {feed: [hint for each in events if (hint := feed.hint_of(each))] for feed, events in concerned.items()}
        waiting = {feed for feed, found in hints.items() if found}
        if waiting:
            self._pending[message.id] = _Pending(message.handle, decoded.events, waiting, deletable=not keep)
            for feed in waiting:
                portion = portions.setdefault(feed, _Portion())
                portion.hints += hints[feed]
                portion.ids.append(message.id)
        elif not keep:
            self._done(message.handle)
        return bool(waiting)

    def _concerned(self, decoded: Decoded) -> tuple[dict[LakeFeed, list[KeyEvent]], bool]:
        """Events by link, without those that were noted before; and whether an event is for nobody here."""
        found: dict[LakeFeed, list[KeyEvent]] = {}
        foreign = False
        for event in decoded.events:
            feeds = self._fanout.concerned(event)
            foreign = foreign or not feeds
            if feeds and self._duplicates.holds(event):
                self._fanout.health.counts.duplicates += 1
                continue
            for feed in feeds:
                found.setdefault(feed, []).append(event)
        return found, foreign

    def _keep(self, message: Message, decoded: Decoded) -> None:
        """Never deleted here: somebody else may need it, or somebody has to look at it. Known from now on, so that it costs nothing more."""
        counts = self._fanout.health.counts
        if decoded.problems:
            counts.malformed += 1
            log.warning("watch.message_not_understood", extra={"message_id": message.id, "why": decoded.problems[0]})
        else:
            counts.foreign += 1
        self._set_aside[message.id] = None
        if len(self._set_aside) > MAX_SET_ASIDE:
            self._set_aside.popitem(last=False)

    def _noted(self, feed: LakeFeed, ids: Sequence[str]) -> None:
        """This link has noted the hints of these messages durably."""
        feed.settle()
        self.room.set()
        for message_id in ids:
            pending = self._pending.get(message_id)
            if pending is None or feed not in pending.waiting:
                continue  # handed back meanwhile
            pending.waiting.discard(feed)
            if not pending.waiting:
                del self._pending[message_id]
                for event in pending.events:
                    self._duplicates.note(event)
                if pending.deletable:
                    self._done(pending.handle)

    def _done(self, handle: str) -> None:
        self.deletable.append(handle)
        self.some_deletable.set()

    def _on_added(self, _feed: LakeFeed) -> None:
        self._set_aside.clear()  # the one whose messages these are may have come
        self.room.set()

    def _on_dropped(self, feed: LakeFeed) -> None:
        """What it had not noted goes back: it comes again, for the link's next feed."""
        for message_id in [each for each, pending in self._pending.items() if feed in pending.waiting]:
            del self._pending[message_id]
        self.room.set()
