"""One machine that keeps a link: its users, its journal, its feeds, and the runtime, which is killed and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from lakelink.core.filters import Filter
from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError, RootReplaced
from lakelink.links.parts import Parts, SidedFeed
from lakelink.links.runtime import Link
from lakelink.locations.base import Location
from lakelink.locations.local.options import LocalOptions
from lakelink.model.linkspec import LinkSpec, Pace
from lakelink.state import journal as journals
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.sim.feeds import FeedWeather, FilesEvents, LakeEvents, SimFeed
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.lazy import LazyTree
from lakelink.testing.sim.ledger import tokens_in
from lakelink.testing.sim.machine import Machine
from lakelink.testing.sim.operator import Operator
from lakelink.testing.sim.people import People
from lakelink.testing.sim.process import End
from lakelink.testing.sim.traces import Traces
from lakelink.testing.sim.world import World

ROOT = "/srv/files"
JOURNAL = "journal.sqlite"
PACE = Pace(quiet_s=1.0, scan_interval_s=40.0, list_interval_s=25.0)


class SimGuard:
    """`Guard` over a simulated kernel: the path leads to the directory that the link was made with."""

    def __init__(self, kernel: SimKernel, top: Inode) -> None:
        self._kernel = kernel
        self._wanted = top.dev, top.ino

    async def check(self) -> None:
        """See `Guard.check`."""
        try:
            st = self._kernel.stat(ROOT)
        except OSError as error:
            raise RootReplaced(f"{ROOT} is not there", hint="Is it mounted?") from error
        if (st.st_dev, st.st_ino) != self._wanted:
            raise RootReplaced(f"{ROOT} is another directory", hint="Is it mounted?")

    def allow_empty(self) -> None:
        """It is allowed already."""


class SimBrake:
    """`Brake` that lets everything pass: users of these stories delete a lot."""

    def ask(self, deletes: int, agreed: int, now_s: float) -> None:
        """Yes."""

    def done(self, deletes: int, now_s: float) -> None:
        """Noted."""

    def allow_once(self) -> None:
        """Noted."""


class Member:
    """One of the machines that share a prefix."""

    def __init__(self, world: World, name: str, prefix: str, lazy: LazyTree | None = None) -> None:
        self._world = world
        self._prefix = prefix
        self.machine: Machine = world.machine(name)
        self.people: People = self.machine.people(ROOT)
        self._top = self._named_top()
        self._choice = self.machine.random("life")
        self._lazy = lazy
        if lazy is not None:
            lazy.settle(self.people, self._top)
        spec = LinkSpec(
            name="link", ident=f"ident-{name}", files=f"file://{ROOT}", lake=f"s3://lake/{prefix}", pace=PACE
        )
        self.operator = Operator(world, self.machine, ROOT, spec)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._empty: Inode | None = None
        self.link: Link | None = None
        self.endings: list[str] = []  # how links ended by themselves
        self.faults: list[str] = []
        self._traces = Traces(prefix, f"{name}.")
        self.operator.updated = lambda spec: self._traces.leave_out(Filter(spec.filters))
        self.operator.updated(self.operator.spec)
        world.store.objects.told.append(self._traces.heard)

    def _named_top(self) -> Inode:
        here = self.machine.disk.top
        for component in ROOT.strip("/").split("/"):
            here = here.entries[component.encode()]
        return here

    # Its life
    @property
    def is_up(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Boot, and keep the link until stopped or crashed."""
        self._stop = asyncio.Event()
        self._task = asyncio.ensure_future(self._live())

    async def stop(self) -> None:
        """A clean end."""
        self._stop.set()
        if self._task is not None:
            await self._task

    async def _live(self) -> None:
        process = self._world.boot(self.machine)
        try:
            await process.live(self._serve)
        finally:
            self.link = None
            if process.end is End.POWER:
                self.mount()  # as a machine does that boots
            if process.end is not None or process.failed:
                self.machine.crashed(process.end or End.KILL, self.people)
                self.faults += self._traces.missing(self.machine.databases.home / JOURNAL)

    async def _serve(self) -> None:
        """As a daemon does: a link that ends by an error is opened anew after a while."""
        while not self._stop.is_set():
            try:
                await self._keep()
            except LakelinkError as error:
                self._world.trace.add(f"{self.machine.name}: the link ended: {error}")
                self.endings.append(str(error))
                await self.machine.clock.sleep(1.0)

    async def _keep(self) -> None:
        """One life of the link, with parts of its own."""
        world, machine, loop = self._world, self.machine, self._world.loop
        weather = FeedWeather(self._choice) if world.chance.calm else FeedWeather.drawn(self._choice)
        feeds = [SimFeed(loop, weather), SimFeed(loop, weather)]
        events, told = FilesEvents(machine.disk, ROOT, feeds[0]), LakeEvents(self._prefix, feeds[1])
        world.store.objects.told.append(told)
        parts = self._parts(feeds)
        try:
            self.link = Link(self.operator.spec, parts)
            await self._until_stopped(self.link)
        finally:
            events.close()
            world.store.objects.told.remove(told)
            self.link = None
            await parts.files.aclose()
            await parts.lake.aclose()
            for feed in feeds:
                await feed.aclose()
            parts.journal.close()

    def _parts(self, feeds: Sequence[SimFeed]) -> Parts:
        world, machine = self._world, self.machine
        if machine.kernel is None:
            raise AssertionError("nothing runs here")
        files: Location = world.local(machine, ROOT, LocalOptions(create_root=False, trash=True))
        laziness = self._lazy.laziness(files, machine.kernel) if self._lazy is not None else None
        return Parts(
            files=laziness.files if laziness is not None else files,
            lake=world.lake(machine, self._prefix),
            journal=journals.Journal.open(machine.databases.home / JOURNAL, journals.connect_durable),
            feeds=[SidedFeed("files", feeds[0]), SidedFeed("lake", feeds[1])],
            clock=machine.clock,
            random=SeededRandom(self._choice.getrandbits(32)),
            guard=SimGuard(machine.kernel, self._top),
            brake=SimBrake(),
            host=machine.name,
            lazy=laziness,
        )

    async def _until_stopped(self, link: Link) -> None:
        running = asyncio.ensure_future(self._at_work(link))
        waiting = asyncio.ensure_future(self._stop.wait())
        operating = asyncio.ensure_future(self.operator.run(link))
        tasks = {running, waiting, operating}
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in (running, operating):
            if not task.cancelled():
                task.result()

    async def _at_work(self, link: Link) -> None:
        if self._lazy is None or link.parts.lazy is None:
            await link.run()
        else:
            await together(link.run(), self._lazy.tend(link, link.parts.lazy))

    def fail(self, end: End) -> None:
        """The process, or the machine with it, ends now."""
        if self.is_up and self.machine.process is not None:
            self.machine.process.die(end)

    def excuse(self) -> None:
        """What users of this machine threw away without a word."""
        if self._lazy is not None:
            self._lazy.excuse()

    def unclear(self) -> set[str]:
        """Paths at which both sides may differ at the end, as the documentation says."""
        return self._lazy.unclear() if self._lazy is not None else set()

    def lose_journal(self) -> None:
        """Somebody deletes it while nothing runs."""
        self.machine.databases.lose()
        self._traces.forget()

    # What happens to it
    def misfortunes(self) -> list[Callable[[random.Random], str]]:
        """What else may happen to this machine at any time."""
        lazy = self._lazy.misfortunes() if self._lazy is not None else []
        return [self.people.act, self._jump_clock, self._unmount, *lazy]

    def _jump_clock(self, choice: random.Random) -> str:
        self.machine.clock.skew_ns += choice.choice([-1, 1]) * choice.randrange(120_000_000_000)
        return f"{self.machine.name}: the clock jumps"

    def _unmount(self, choice: random.Random) -> str:
        """What is mounted at the root goes, or comes back; without it the path leads to an empty directory of another file system."""
        disk = self.machine.disk
        self.people.rest()  # what is in use is not unmounted
        above = disk.top.entries[b"srv"]
        if self._empty is not None:
            self.mount()
            return f"{self.machine.name}: mounted again"
        if choice.random() < 0.7:
            return f"{self.machine.name}: stays mounted"
        self._empty = Inode(2, 99, self._top.mode, disk.now_ns())
        self._empty.nlink = 1
        above.entries[b"files"] = self._empty
        return f"{self.machine.name}: unmounted"

    def mount(self) -> None:
        """The root is there again, if it was not."""
        if self._empty is not None:
            self.people.rest()
            hidden = (tokens_in(inode.data) for _, inode in self.machine.disk.tree(self._empty))
            self._world.ledger.excuse(set().union(*hidden), "written below a mount point")
            self.machine.disk.top.entries[b"srv"].entries[b"files"] = self._top
            self._empty = None
