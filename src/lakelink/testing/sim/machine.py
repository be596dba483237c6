"""One simulated machine: a disk, a clock, databases, its users, and at most one process of the program at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.chance import Chance, Trace
from lakelink.testing.sim.clock import SimClock
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.durable import Databases
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.ledger import Ledger, tokens_in
from lakelink.testing.sim.loop import SimLoop
from lakelink.testing.sim.people import People
from lakelink.testing.sim.process import End, Odds, Process

_USER_CALL_S = 5e-6


class Machine:
    """`elsewhere` says which tokens are safe on other machines and in the lake: what a power failure takes from here alone is nobody's fault."""

    def __init__(
        self, name: str, loop: SimLoop, chance: Chance, trace: Trace, ledger: Ledger, borders: Borders, place: Path
    ) -> None:
        self.name = name
        self._loop, self._chance, self._trace, self._ledger, self._borders = loop, chance, trace, ledger, borders
        self.clock = SimClock(loop, chance.stream(f"skew {name}").choice([0, 0, 90_000_000_000, -90_000_000_000]))
        self.disk = Disk(chance.seed, self.clock.time_ns)
        self.disk.gone = self._gone
        self.databases = Databases(place, name)
        self._choice = chance.stream(f"crash {name}")
        self.process: Process | None = None
        self.kernel: SimKernel | None = None
        self.elsewhere: Callable[[], set[int]] = set
        self.looked: Callable[[Inode], None] = lambda _inode: None
        self.gone: Callable[[Inode], None] = lambda _inode: None
        self._lives = 0
        self._door = self._plain_door()

    def _plain_door(self) -> SimKernel:
        def between(_call: str, _about: str) -> None:
            self._loop.tick(_USER_CALL_S)

        kernel = SimKernel(self.disk, between, first_fd=self._borders.first_fd())
        return self._borders.add(kernel)

    def people(self, root: str) -> People:
        """Users of a directory, which is made."""
        here = ""
        for component in root.strip("/").split("/"):
            here += "/" + component
            self._door.mkdir(here)
        self.disk.sync_all()
        return People(self.disk, self._plain_door(), root, self._ledger, f"{self.name} user")

    def boot(self, odds: Odds) -> Process:
        """A new process; the one before has ended."""
        self._lives += 1
        process = Process(f"{self.name}.{self._lives}", self._loop, self._chance, self._trace, odds)
        kernel = SimKernel(self.disk, process.between, first_fd=self._borders.first_fd(), looked=self.looked)
        self.process, self.kernel = process, self._borders.add(kernel)
        self.databases.between = process.between
        return process

    def crashed(self, end: End, people: People) -> None:
        """The process has ended by itself: what is left of the machine's state is what a new one finds."""
        if end is End.POWER:
            before = self.tokens()
            if self.kernel is not None:
                self.kernel.files.forget()
            people.power_failure()
            self._door.files.forget()
            gone, self.disk.gone = self.disk.gone, None
            self.disk.power_failure(self._choice)
            self.disk.gone = gone
            lost = before - self.tokens() - self.elsewhere()
            self._ledger.excuse(lost, f"{self.name}: power failure before it was synced")
        elif self.kernel is not None:
            self.kernel.files.close_all()
        self.databases.crash(self._choice, power=end is End.POWER)

    def tokens(self) -> set[int]:
        """Every token on this disk, lakelink's own directories included."""
        found: set[int] = set()
        for _, inode in self.disk.tree(self.disk.top):
            if inode.is_file:
                found |= tokens_in(inode.data)
        return found

    def _gone(self, inode: Inode) -> None:
        if inode.is_file:
            self.gone(inode)

    def random(self, name: str) -> random.Random:
        """Chance of this machine."""
        return self._chance.stream(f"{self.name} {name}")
