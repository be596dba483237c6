"""Stories of one-way runs: killed at any call, with writers on both sides. The next run finishes the work.

A target is ruled by its source: what the run saw at the target it may replace. What it did not see it must not: an edit that came between the look
and the change survives. The source is never changed.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from enum import Enum
from html import unescape
from urllib.parse import unquote

from lakelink.core.diff import Rule
from lakelink.errors import LakelinkError
from lakelink.locations.base import Location
from lakelink.locations.local.options import LocalOptions
from lakelink.model.task import MaxDelete, Progress, SyncOptions, SyncResult
from lakelink.oneway.ledger import Ledger as Record
from lakelink.oneway.pair import YOUNG_NS, Pair
from lakelink.oneway.run import Run
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.state.index import SyncIndex
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.ledger import tokens_in
from lakelink.testing.sim.loop import SimLoop, Stuck, simulate
from lakelink.testing.sim.objects import Mutation
from lakelink.testing.sim.oracle import differences, files_view, lake_view
from lakelink.testing.sim.people import People
from lakelink.testing.sim.process import End
from lakelink.testing.sim.store import BUCKET
from lakelink.testing.sim.strangers import STRANGER, Strangers
from lakelink.testing.sim.world import Told, Verdict, World, staged

ROOT = "/srv/files"
PREFIX = "data/"
COPY = "copy/"
OTHERS = "other stranger"
_POWER_AT_REST = 0.4
_RUNS = 3
_LAST_RUNS = 10
_OPTIONS = SyncOptions(delete=True, max_delete=MaxDelete(percent=100), allow_empty_source=True)
_LISTED = re.compile(rb"<Key>([^<]*)</Key>.*?<ETag>&quot;([^<]*)&quot;</ETag>", re.DOTALL)


def play(told: Told) -> Verdict:
    """One story, from its seed."""

    async def story(loop: SimLoop) -> Verdict:
        with staged(loop, told) as world:
            return await _OneWay(world).tell()

    try:
        return simulate(told.seed, story, steps_most=300_000)
    except Stuck as stuck:
        return Verdict(seed=told.seed, faults=(str(stuck),), digest="", happenings=())


class Way(Enum):
    """From where to where."""

    UP = "files to lake"
    DOWN = "lake to files"
    ACROSS = "lake to lake"


class _OneWay:
    """A machine with a directory, and a prefix in the store; one is the source of the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._machine = world.machine("m1")
        self._people: People = self._machine.people(ROOT)
        drawn = world.chance.stream("direction").choice(list(Way))
        self._way = Way(world.told.shape) if world.told.shape else drawn
        self._up = self._way is Way.UP
        # Last-Modified counts seconds: metadata that somebody rewrites at the target in the second of our own write is not noticed.
        self._strangers = Strangers(world.store, PREFIX, world.ledger, describing=not self._up)
        self._seen: set[tuple[object, ...]] = set()
        if self._up:
            # Nothing can tell such a file of the source from a whole one, and nobody but its writer could have synced it.
            self._machine.disk.zeros = False
            self._machine.elsewhere = set  # what the source lost with its power, its target loses with the next run
        self._machine.looked = self._looked
        self._machine.gone = self._gone
        world.noted = self._noted
        world.store.objects.told.append(self._replaced)
        world.asides += [self._people.act, self._strangers.act]
        if self._way is Way.ACROSS:
            self._others = Strangers(world.store, COPY, world.ledger, name=OTHERS, describing=False)
            world.asides = [self._strangers.act, self._others.act]

    async def tell(self) -> Verdict:
        world = self._world
        others = asyncio.ensure_future(world.nature())
        begin = world.chance.stream("begin")
        for _ in range(begin.randint(3, 12)):
            world.aside(begin)
        for _ in range(_RUNS):
            await asyncio.sleep(begin.random() * begin.choice([2, 8]))
            await self._run()
            if begin.random() < _POWER_AT_REST:
                world.trace.add("power failure at rest")
                self._machine.crashed(End.POWER, self._people)
        world.calm()
        await others
        self._people.rest()
        return world.verdict(await self._end())

    async def _end(self) -> list[str]:
        """Calm: the sides become equal, and stay untouched then. Nothing is lost."""
        world = self._world
        silent = False
        for _ in range(_LAST_RUNS):
            await asyncio.sleep(10)
            before = world.mutations, self._machine.disk.changes
            result = await self._run()
            # What could not be done, such as removing a directory that holds keys that are no files, is tried again by each run.
            silent = result is not None and (
                before == (world.mutations, self._machine.disk.changes) or bool(result.failed)
            )
            if silent and not self._differences():
                break
        faults = self._differences()
        if not silent:
            faults.append("runs with nothing to do go on changing something")
        return faults + world.ledger.lost(world.tokens())

    def _differences(self) -> list[str]:
        lake, unclear = lake_view(self._world.store.objects.now, PREFIX)
        if self._way is Way.ACROSS:
            copy, unclear_too = lake_view(self._world.store.objects.now, COPY)
            return differences(copy, lake, unclear | unclear_too, posix=True)
        return differences(files_view(self._people.files()), lake, unclear, posix=self._up)

    async def _run(self) -> SyncResult | None:
        """One run by a process of its own; None where it did not come to its end."""
        machine = self._machine
        process = self._world.boot(machine)
        with suppress(LakelinkError):
            result = await process.live(self._sync)
            if process.end is None:
                return result
        machine.crashed(process.end or End.KILL, self._people)
        return None

    async def _sync(self) -> SyncResult:
        machine = self._machine
        source, target = self._sides()
        home = machine.databases.home / "sync"
        home.mkdir(parents=True, exist_ok=True)
        index = SyncIndex(home / "index.sqlite", machine.clock.time_ns() - YOUNG_NS)
        try:
            pair = Pair(source, target, Rule(posix=True, owner=True, checksum=False), index)
            result = SyncResult(source="source", target="target")
            record = Record(target, index, machine.clock, result, Progress())
            await Run(pair, _OPTIONS, record, machine.clock).all()
        finally:
            await source.aclose()
            await target.aclose()
            index.close()
        return result

    def _sides(self) -> tuple[Location, Location]:
        world, machine = self._world, self._machine
        lake = world.lake(machine, PREFIX)
        if self._way is Way.ACROSS:
            return lake, world.lake(machine, COPY)
        files = world.local(machine, ROOT, LocalOptions(create_root=not self._up))
        return (files, lake) if self._up else (lake, files)

    # What the run saw, and what it took away
    def _looked(self, inode: Inode) -> None:
        self._seen.add((inode.serial, inode.mtime_ns, len(inode.data)))

    def _gone(self, inode: Inode) -> None:
        if self._machine.disk.actor or self._way is not Way.DOWN:
            return
        tokens = tokens_in(inode.data)
        self._world.ledger.destroyed(tokens, f"removed from the disk at {self._world.loop.time():.6f}")
        if (inode.serial, inode.mtime_ns, len(inode.data)) in self._seen:
            self._excuse(tokens, f"{self._machine.name} user")

    def _noted(self, request: WireRequest, response: WireResponse) -> None:
        if response.status >= 300:
            return
        if request.operation == "ListObjectsV2":
            for key, etag in _LISTED.findall(response.body):
                self._seen.add((unquote(unescape(key.decode())), etag.decode()))
        elif request.method in {"GET", "HEAD"}:
            key = unquote(request.path).removeprefix("/")
            key = key if request.host.startswith(BUCKET) else key.partition("/")[2]
            self._seen.add((key, response.headers["etag"].strip('"')))

    def _replaced(self, mutation: Mutation) -> None:
        before = mutation.before
        if (
            mutation.writer not in {STRANGER, OTHERS}
            and before is not None
            and (mutation.key, before.etag) in self._seen
        ):
            self._excuse(tokens_in(before.body), STRANGER if self._up else OTHERS)

    def _excuse(self, tokens: set[int], writer: str) -> None:
        """A writer of the target lost what the run had seen before: that is what a target is."""
        self._world.ledger.excuse(tokens & self._world.ledger.written_by(writer), "the source rules")
