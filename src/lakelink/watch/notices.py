"""What this process changes in the lake itself, on behalf of its gateway's users: told to the links that have it, at once and without a store's events.

A hint like every other: who misses it hears of the change by an event or a listing. Names of buckets are compared, and not the stores that they are
in: a link of another store with a bucket of that name looks once, and sees nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lakelink.model.path import ROOT
from lakelink.watch.fanout import Fanout, LakeFeed, Share
from lakelink.watch.feed import EVERYTHING, MAX_HINTS, Hint
from lakelink.watch.s3_events import KeyEvent


class Notices:
    """Feeds of one process; belongs to one event loop. What a link has not taken yet is merged, so that it is bounded however much comes."""

    def __init__(self) -> None:
        self._fanout = Fanout("gateway")
        self._fanout.health.up()
        self._held: dict[LakeFeed, dict[str, Hint]] = {}
        self._fanout.on_dropped = self._forget

    def subscribe(self, bucket: str, prefix: str) -> LakeFeed:
        """The feed of the link at `s3://bucket/prefix`."""
        return self._fanout.subscribe(bucket, prefix)

    def tell(self, event: KeyEvent) -> None:
        """Something changed there. Returns at once."""
        self._fanout.health.counts.messages += 1
        for feed in self._fanout.concerned(event):
            hint = feed.hint_of(event)
            if hint is not None and feed.full:
                self._hold(self._held.setdefault(feed, {}), hint)
            elif hint is not None:
                self._hand_over(feed, (hint,))

    async def aclose(self) -> None:
        """The feeds end. May be repeated."""
        for feed in self._fanout.feeds:
            await feed.aclose()

    def _forget(self, feed: LakeFeed) -> None:
        self._held.pop(feed, None)

    def _hand_over(self, feed: LakeFeed, hints: Sequence[Hint]) -> None:
        feed.put(Share(hints, partial(self._taken, feed)))

    def _taken(self, feed: LakeFeed) -> None:
        feed.settle()
        held = self._held.pop(feed, {})
        if held:
            self._hand_over(feed, tuple(held.values()))

    def _hold(self, held: dict[str, Hint], hint: Hint) -> None:
        """As `fanout.coalesced`, one by one."""
        if held.get(ROOT) == EVERYTHING:
            return
        if hint.path not in held or hint.subtree:
            held[hint.path] = hint
        if len(held) > MAX_HINTS or hint == EVERYTHING:
            held.clear()
            held[ROOT] = EVERYTHING
