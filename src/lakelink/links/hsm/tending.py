"""What goes on in a lazy tree beside the carrying of changes: loads and releases are noted, room is kept, objects are asked for what a listing did not tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError
from lakelink.links.dirty import LAKE, Dirty
from lakelink.links.hsm.base import Candidate, Event, Happened
from lakelink.links.hsm.lazy import Laziness
from lakelink.links.hsm.policy import PART, Released, Releaser
from lakelink.model.linkspec import Holding
from lakelink.ports.clock import Clock
from lakelink.state.holdings import Holdings
from lakelink.state.journal import Journal

NOTED_EVERY_S = 1.0
MOST_TOUCHED = 20_000
"""More paths than this to be looked at become a look at all of them."""
ROOM_EVERY_S = 2.0
AGE_EVERY_S = 60.0
COUNTED_PER_S = 20_000
"""Agreed paths are counted so often that it costs next to nothing: 20,000 every second, a million every 50."""
DESCRIBED_AT_ONCE = 512
CATALOGUED = "catalogued"
"""The key of the journal's meta that says that the index covers the whole tree."""


@dataclass(slots=True)
class Tending:
    """Runs beside a lazy link, and in its loop."""

    lazy: Laziness
    releaser: Releaser
    journal: Journal
    holdings: Holdings
    clock: Clock
    dirty: Callable[[], Dirty]
    note: Callable[[str, str], None]  # a line in the event log: code, message
    loaded_files: int = 0
    loaded_bytes: int = 0
    _touched: dict[str, None] = field(default_factory=dict)
    _all: tuple[int, int] = (0, 0)
    _undescribed: int = 0

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            StorageError: the index cannot be used.
        """
        self.lazy.guard.set_make_room(self.make_room)
        await together(self._hear(), self._keep_index(), self._keep_room(), self._release_old(), self._describe())

    def make_room(self, needed_bytes: int) -> list[Candidate]:
        """See `base.MakeRoom`. What was loaded a moment ago may be all that there is."""
        part = list(self._touched)[: PART * 2]
        self.releaser.note(part, self.lazy.guard.state(part))
        for path in part:
            del self._touched[path]
        return self.releaser.make_room(needed_bytes)

    def outcome(self, path: str, verb: str, error: LakelinkError | None) -> None:  # noqa: ARG002  # whatever was done
        """An observer of the link: what came of a path changes what is held."""
        if error is None:
            self._touch(path)

    def holding(self) -> Holding:
        """How it stands, from memory."""
        files, size = self.holdings.totals()
        fill = self.lazy.guard.fill()
        evicted = self.releaser.evicted
        return Holding(
            resident_files=files,
            resident_bytes=size,
            released_files=max(0, self._all[0] - files),
            released_bytes=max(0, self._all[1] - size),
            loaded_files=self.loaded_files,
            loaded_bytes=self.loaded_bytes,
            evicted_files=evicted.files,
            evicted_bytes=evicted.freed_bytes,
            undescribed=self._undescribed,
            free_bytes=fill.available_bytes,
            total_bytes=fill.total_bytes,
            view=f"guarded ({self.lazy.guard.tier.value})",
        )

    # ── what happens ──

    async def _hear(self) -> None:
        async for event in self.lazy.guard.events():
            self._take(event)

    def _take(self, event: Event) -> None:
        path = event.path or self._path_of(event.inode)
        if event.kind is Happened.LOADED:
            self.loaded_files += 1
            self.loaded_bytes += event.size_bytes
        if path:
            self._touch(path)
        if event.kind is Happened.CHANGED and path:
            dirty = self.dirty()
            dirty.concerns_files(dirty.note(path, LAKE, self.clock.monotonic()))
        if event.kind in {Happened.FAILED, Happened.TAMPERED, Happened.WORKER}:
            self.note(f"Hsm{event.kind.name.title()}", " ".join(filter(None, (path, event.message))))

    def _path_of(self, inode: int) -> str:
        found = self.journal.by_inode([inode]).get(inode, ()) if inode else ()
        return found[0][0] if found else ""

    def _touch(self, path: str) -> None:
        if len(self._touched) < MOST_TOUCHED:
            self._touched[path] = None
        else:
            self._touched.clear()
            self.journal.set_meta(CATALOGUED, "")

    # ── the index ──

    async def _keep_index(self) -> None:
        """What was touched is looked at; after the loss of the journal, and where more was touched than can be held, all of it."""
        counted_s = -inf
        while True:
            if not self.journal.meta(CATALOGUED) and self.journal.agreed:
                await self._look_at_all()
            while self._touched:
                part = list(self._touched)[:PART]
                for path in part:
                    del self._touched[path]
                await self.releaser.look(part)
            if self.clock.monotonic() - counted_s > self.journal.agreed / COUNTED_PER_S:
                counted_s = self.clock.monotonic()
                self._all, self._undescribed = self.holdings.all_files(), self.holdings.count_undescribed()
            await self.clock.sleep(NOTED_EVERY_S)

    async def _look_at_all(self) -> None:
        self.journal.set_meta(CATALOGUED, "1")  # first: what is touched beyond measure meanwhile begins it anew
        after = ""
        while paths := self.holdings.agreed_files(after, PART * 4):
            await self.releaser.look(paths)
            after = paths[-1]

    # ── room ──

    async def _keep_room(self) -> None:
        """Releasing begins where less is free than is to be kept, and ends a little above."""
        while True:
            await self.clock.sleep(ROOM_EVERY_S)
            fill = self.lazy.guard.fill()
            low = self.lazy.spec.keep_free.of(fill.total_bytes)
            high = max(low, self.lazy.spec.free_up_to.of(fill.total_bytes))
            if fill.available_bytes >= low:
                continue
            try:
                self._count(await self.releaser.until_free(high))
            except LakelinkError as error:  # the lake cannot be asked: nothing goes
                self.note("HsmKept", error.message)

    async def _release_old(self) -> None:
        while True:
            await self.clock.sleep(AGE_EVERY_S)
            age_s = self.lazy.spec.release_after_s
            if age_s is None:
                continue
            try:
                self._count(await self.releaser.by_age(age_s))
            except LakelinkError as error:
                self.note("HsmKept", error.message)

    def _count(self, done: Released) -> None:
        self.releaser.evicted.files += done.files
        self.releaser.evicted.freed_bytes += done.freed_bytes

    # ── what a listing did not tell ──

    async def _describe(self) -> None:
        """Objects that came by a listing are asked for mode, owner, times and kind, as many at once as the link carries; never in the way of changes."""
        while True:
            waiting = self.holdings.undescribed(DESCRIBED_AT_ONCE)
            dirty = self.dirty()
            if not waiting or len(dirty):
                await self.clock.sleep(NOTED_EVERY_S if not waiting else 0.05)
                continue
            now_s = self.clock.monotonic()
            for path in waiting:
                dirty.note(path, LAKE, now_s)
            number = dirty.last_number
            while not dirty.drained(number) and self.dirty() is dirty:
                await self.clock.sleep(0.02)
            if self.dirty() is dirty:
                self.holdings.described(waiting)
                self._undescribed = self.holdings.count_undescribed()
