"""A link on the real world: both locations, the journal, the feeds, the root's guard and the brake, put together and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Literal

from lakelink.config.document import Document
from lakelink.core.brake import Brake
from lakelink.daemon.journals import journal_path
from lakelink.daemon.lake_feeds import subscribe, subscribe_to_gateway
from lakelink.daemon.lazy_tree import open_tree, tending_of, tree_of
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError
from lakelink.links.acceptance import accept_root
from lakelink.links.check import CheckResult
from lakelink.links.events import Events
from lakelink.links.hsm.commands import Commands
from lakelink.links.hsm.lazy import Laziness
from lakelink.links.hsm.tending import Tending
from lakelink.links.identity import RootGuard
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.retention import tend
from lakelink.links.runtime import Link
from lakelink.links.spelling import check_spelling
from lakelink.links.stores import Stores, Verdict, check_accepted
from lakelink.links.tasks import Tasks
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.locations.s3.location import S3Location
from lakelink.model.linkspec import LinkSpec, LinkStatus
from lakelink.model.path import display
from lakelink.model.units import format_duration
from lakelink.obs import log
from lakelink.obs.log import Event
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.random import SystemRandom
from lakelink.state.event_log import EventLog
from lakelink.state.journal import Journal
from lakelink.watch.choose import open_local_feed, this_machine
from lakelink.watch.fanout import LakeFeed
from lakelink.watch.lake import LakeFeeds
from lakelink.watch.mounts import file_system


class OpenedLink:
    """A link and all that belongs to it while it is open. An `OpenLink`."""

    def __init__(
        self, link: Link, root: str, guard: RootGuard, brake: Brake, why: Sequence[str], parts: AsyncExitStack
    ) -> None:
        """`why`: how changes are noticed, a sentence each."""
        self.link = self._link = link
        self._root = root
        self._guard = guard
        self._brake = brake
        self._why = tuple(why)
        self._parts = parts
        self._verdict: Verdict | None = None
        self._stores: Stores | None = None
        self.tending: Tending | None = None
        clock, db = link.parts.clock, link.journal.db
        self._events = Events(EventLog(db), clock, self._emit)
        self.tasks = Tasks(link, link.journal, clock, self._events)
        link.told.append(self._events.outcome)

    def take_verdict(self, verdict: Verdict | None, stores: Stores) -> None:
        """What is known of the store, and who finds out more; None: it is not one that is raced, or the link never writes to it."""
        self._verdict, self._stores = verdict, stores

    async def run(self) -> None:
        """See `OpenLink.run`. Tasks are carried out, the trash is kept within its bounds, and the event log is written meanwhile."""
        trash = tend(self._root, lambda: self._link.spec.safety, self._link.parts.clock, self._trash_trouble)
        lazy = [self.tending.run()] if self.tending else []
        await together(self._link.run(), self.tasks.run(), trash, self._events.run(), self._sweep(), *lazy)

    @property
    def commands(self) -> Commands | None:
        """See `OpenLink.commands`."""
        parts = self._link.parts
        return Commands(self.tending, parts.files, parts.lake) if self.tending else None

    def note(self, code: str, message: str) -> None:
        """A line in the link's event log."""
        self._events.note(code, message)

    def status(self) -> LinkStatus:
        """How it stands, from memory."""
        blind = [problem.message for one in self._link.parts.feeds for problem in one.feed.problems()]
        holding = self.tending.holding() if self.tending else None
        status = dataclasses.replace(self._link.status(), feeds=(*self._why, *blind), holding=holding)
        return dataclasses.replace(status, guarantee=self._verdict.sentence()) if self._verdict else status

    async def survey(self, paths: Sequence[str] = ()) -> None:
        await self._link.survey(paths)

    async def settle(self, timeout_s: float) -> bool:
        return await self._link.settle(timeout_s)

    def pause(self) -> None:
        self._link.pause()

    def resume(self, *, allow_deletes: bool = False) -> None:
        self._link.resume(allow_deletes=allow_deletes)

    def update(self, spec: LinkSpec) -> None:
        self._guard.update(spec)
        self._brake.safety = spec.safety
        self._link.update(spec)

    async def resolve(self, conflict_id: int, keep: Literal["files", "lake", "both"]) -> None:
        await self._link.resolve(conflict_id, keep)

    async def check(self, *, repair: bool) -> CheckResult:
        """See `Link.check`. The store is raced anew as well; where that is not possible, what is known goes on to hold."""
        if self._verdict is not None and self._stores is not None:
            self._verdict = await self._stores.judge(self._link.parts.lake, anew=True)
        return await self._link.check(repair=repair)

    async def aclose(self) -> None:
        """Close everything. Idempotent."""
        await self._parts.aclose()

    def _emit(self, level: int, code: str, path: str, message: str) -> None:
        fields: dict[log.Field, log.Value] = {"link": self._link.spec.name, "code": code, "message": message}
        if path:
            fields["path"] = display(path)
        log.emit(level, Event.LINK_EVENT, fields)

    async def _sweep(self) -> None:
        """What killed writers left staged a day ago goes; what stays now goes at another start."""
        lake = self._link.parts.lake
        if isinstance(lake, S3Location) and self._link.spec.rule.exports:
            with contextlib.suppress(LakelinkError):
                await lake.sweep()

    def _trash_trouble(self, error: LakelinkError) -> None:
        fields: dict[log.Field, log.Value] = {
            "link": self._link.spec.name, "code": error.code, "message": error.message, "hint": error.hint,
        }  # fmt: skip
        log.emit(logging.WARNING, Event.TRASH_KEPT, fields)


class LinkOpener:
    """Opens links by the settings as they are at that moment. An `Opener`."""

    def __init__(self, state_dir: Path, document: Callable[[], Document], lake_feeds: LakeFeeds) -> None:
        self._state_dir = state_dir
        self._document = document
        self._lake_feeds = lake_feeds
        self._stores = Stores(state_dir, SystemClock())

    async def __call__(self, spec: LinkSpec) -> OpenedLink:
        """Open both sides. They are under watch when this returns, so that the first survey misses nothing.

        Raises:
            RootMissing, NotPermitted: the directory is not there, or not for this user. UsageError, ConfigError: a location is wrong.
            StorageError: the journal cannot be opened. Refused: the store checks no conditions, and that was not accepted; or the file system
                takes names that differ for one.
            Unreachable: what the store does with conditions was never found out, and cannot be now.
        """
        async with AsyncExitStack() as stack:
            return await self._open(spec, self._document(), stack)

    async def accept_root(self, spec: LinkSpec) -> None:
        """See `links.acceptance.accept_root`. The link is not open."""
        root = tree_of(spec, self._document())
        with closing(Journal.open(journal_path(self._state_dir, spec))) as journal:
            await accept_root(_guard(root, spec, journal, Brake(spec.safety), SystemClock()), journal.db)

    async def _open(self, spec: LinkSpec, document: Document, stack: AsyncExitStack) -> OpenedLink:
        root = tree_of(spec, document)
        where = journal_path(self._state_dir, spec)
        journal = Journal.open(where)
        stack.callback(journal.close)
        laziness: Laziness | None = None
        if spec.lazy:
            tree = await open_tree(spec, spec.lazy, document, where)
            stack.push_async_callback(tree.aclose)
            laziness = tree.laziness
        caveat = await asyncio.to_thread(check_spelling, spec, root)
        feeds, why = await self._feeds(spec, root, document, stack)
        why += [caveat] if caveat else []
        # A root that is gone is a halt, and never made anew.
        files = laziness.files if laziness else LocalLocation(root, options=LocalOptions(trash=True, create_root=False))
        stack.push_async_callback(files.aclose)
        lake = await open_location(parse_location(spec.lake, document), _travelling(spec))
        stack.push_async_callback(lake.aclose)
        # A link that never writes needs no right to.
        verdict = await self._stores.judge(lake) if spec.rule.exports else None
        check_accepted(spec, verdict)
        brake, clock, random = Brake(spec.safety), SystemClock(), SystemRandom()
        guard = _guard(root, spec, journal, brake, clock)
        parts = Parts(files, lake, journal, feeds, clock, random, guard, brake, socket.gethostname(), laziness)
        opened = OpenedLink(Link(spec, parts), root, guard, brake, why, stack.pop_all())
        opened.take_verdict(verdict, self._stores)
        if laziness:
            opened.tending = tending_of(opened.link, laziness, lake, opened.note)
        return opened

    async def _feeds(
        self, spec: LinkSpec, root: str, document: Document, stack: AsyncExitStack
    ) -> tuple[list[SidedFeed], list[str]]:
        chosen = await open_local_feed(root, scan_interval_s=spec.pace.scan_interval_s)
        stack.push_async_callback(chosen.feed.aclose)
        feeds = [SidedFeed("files", chosen.feed)]
        why = [f"here: {' '.join(filter(None, (chosen.why, chosen.caveat)))}"]
        pushed = subscribe(self._lake_feeds, spec, document)
        for feed in (pushed, subscribe_to_gateway(self._lake_feeds, spec, document)):
            if feed is not None:
                stack.push_async_callback(feed.aclose)
                feeds.append(SidedFeed("lake", feed))
        return feeds, [*why, _of_lake(spec, pushed)]


def _guard(root: str, spec: LinkSpec, journal: Journal, brake: Brake, clock: Clock) -> RootGuard:
    machine = this_machine()

    def identify(path: str) -> str:
        return file_system(machine.kernel, machine.notify, path).identity

    return RootGuard(root, spec, journal, agreed=lambda: journal.agreed, brake=brake, clock=clock, identify=identify)


def _of_lake(spec: LinkSpec, pushed: LakeFeed | None) -> str:
    listing = f"listed every {format_duration(spec.pace.list_interval_s)}"
    if pushed is None:
        return f"in the lake: {listing}; nothing pushes its events."
    source = f"the queue {spec.events}" if spec.events else "the webhook"
    return f"in the lake: events from {source}, and {listing}."


def _travelling(spec: LinkSpec) -> OpenOptions:
    travels = spec.transport
    return OpenOptions(
        writable=True,
        bandwidth_bytes_per_s=travels.bandwidth_bytes_per_s,
        concurrency=travels.concurrency,
        storage_class=travels.storage_class or None,
        sse=travels.sse or None,
        staged_completion=True,
    )
