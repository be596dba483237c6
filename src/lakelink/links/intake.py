"""Hints of the feeds, on their way to Dirty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lakelink.core.delta import Delta, delta
from lakelink.core.filters import Filter
from lakelink.errors import LakelinkError
from lakelink.links.dirty import FILES, LAKE, Dirty
from lakelink.links.observe import left_out
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.wants import Wants
from lakelink.model.path import is_own
from lakelink.watch.feed import Hint


@dataclass(slots=True)
class Intake:
    """Notes hints where they are looked after, durably where a feed may forget them then."""

    parts: Parts
    wants: Wants
    dirty: Callable[[], Dirty]
    filters: Filter
    quiet_s: float
    taking: int = 0  # deliveries that are being looked through: what is in them is not noted yet

    async def pump(self, one: SidedFeed) -> None:
        """Take the hints of one feed until it ends, which is always an error.

        Raises:
            RootMissing, LakelinkError: as `Feed.deliveries`.
        """
        async for delivery in one.feed.deliveries():
            self.taking += 1
            try:
                await self._note(one, delivery.hints)
            finally:
                self.taking -= 1
            with suppress(LakelinkError):  # it is delivered again, which does no harm
                await delivery.taken()

    async def _note(self, one: SidedFeed, hints: Sequence[Hint]) -> None:
        lasting = [(h.path, one.side, h.subtree) for h in hints if h.subtree or one.side == LAKE]
        if lasting:
            self.parts.journal.note_dirty(lasting, self.parts.clock.time_ns())
        hints = [hint for hint in hints if self._is_news(one, hint)]
        echoes = await self._echoes(one, hints)
        for hint in hints:
            if hint.path not in echoes:
                self._take(one, hint)

    def _is_news(self, one: SidedFeed, hint: Hint) -> bool:
        """Whether it tells more than that a lazy link has just made a stub."""
        lazy = self.parts.lazy
        if lazy is None or one.side != FILES or hint.settled or hint.subtree or hint.moved_from or not one.feed.closes:
            return True
        return lazy.made.is_news(hint.path, self.parts.clock.monotonic())

    async def _echoes(self, one: SidedFeed, hints: Sequence[Hint]) -> set[str]:
        """Of the files that are open as far as events tell, those that are as agreed: a name that was linked by us is never closed."""
        paths = [hint.path for hint in hints if not (hint.settled or hint.subtree or hint.moved_from)]
        agreed = self.parts.journal.base(paths) if paths and one.side == FILES else {}
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

    def _take(self, one: SidedFeed, hint: Hint) -> None:
        path, dirty = hint.path, self.dirty()
        if is_own(path) or (self.filters and path and left_out(self.filters, path, directory=False)):
            return
        if hint.subtree or dirty.is_full:
            # More than can be held becomes one survey of that side.
            self.wants.note_subtree(one.side, path if hint.subtree else "")
            if hint.subtree and hint.moved_from:
                self.wants.note_subtree(one.side, hint.moved_from)
            return
        if not path:
            return
        now_s = self.parts.clock.monotonic()
        mark = dirty.note(path, one.side, now_s, ready_s=0.0 if hint.settled else now_s + self.quiet_s)
        mark.unsettled = not hint.settled and one.feed.closes
        if hint.moved_from:
            dirty.note(hint.moved_from, one.side, now_s)
