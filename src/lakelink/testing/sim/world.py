"""A world of machines and one store, with everything around them that may happen: the stage on which stories are played."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakelink.core.backoff import Backoff
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import S3Options
from lakelink.locations.wrap.wire_adaptive import AdaptiveWire
from lakelink.locations.wrap.wire_metered import MeteredWire
from lakelink.locations.wrap.wire_retrying import RetryingWire
from lakelink.ports.crt_endpoint import parse_endpoint
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.clocks import SeededRandom
from lakelink.testing.sim.borders import Borders
from lakelink.testing.sim.chance import Chance, Happening, Trace
from lakelink.testing.sim.clock import EPOCH_NS
from lakelink.testing.sim.durable import watched
from lakelink.testing.sim.ledger import Ledger, tokens_in
from lakelink.testing.sim.loop import SimLoop
from lakelink.testing.sim.machine import Machine
from lakelink.testing.sim.objects import Mutation
from lakelink.testing.sim.process import Odds, Process
from lakelink.testing.sim.profile import PROFILES, Profile
from lakelink.testing.sim.store import BUCKET, SimStore
from lakelink.testing.sim.strangers import STRANGER
from lakelink.testing.sim.wire import SimWire, Weather

_PAUSE_S = 0.5
_RAM = Path("/dev/shm")  # noqa: S108  # a directory of our own is made in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a story. `faults` is empty where every promise was kept."""

    seed: int
    faults: tuple[str, ...]
    digest: str
    happenings: tuple[Happening, ...]
    tokens: int = 0
    steps: int = 0
    trace: tuple[str, ...] = ()


@dataclass(slots=True)
class Told:
    """How a story is to be told."""

    seed: int
    without: Collection[int] = ()
    verbose: bool = False
    profile: str = ""  # "" = drawn from the seed
    shape: str = ""  # what kind of story, in the words of who tells it; "" = drawn from the seed


class World:
    """Make it inside the loop that plays it. `calm` ends all happenings."""

    def __init__(self, loop: SimLoop, told: Told, place: Path) -> None:
        self.loop = loop
        self.told = told
        self.chance = Chance(told.seed, told.without)
        self.trace = Trace(verbose=told.verbose)
        self.ledger = Ledger()
        self.borders = Borders(loop, told.seed)
        self.odds = Odds(self.chance.stream("odds"))
        self.machines: list[Machine] = []
        self._place = place
        choice = self.chance.stream("world")
        names = ["aws", "aws", "seaweedfs", "versioned", "stale-list"]
        self.profile: Profile = PROFILES[told.profile or choice.choice(names)]
        self.store = SimStore(self.profile, loop.time, EPOCH_NS, page_keys=choice.choice([2, 5, 1000]))
        lag = self.chance.stream("lag")
        self.store.lag_s = lambda: 0.0 if self.chance.calm else lag.random() * self.profile.list_lag_s
        self.store.objects.told.append(self._mutated)
        self.weather = Weather(self.chance.stream("weather"), self.odds.weather, self.odds.slow)
        self.asides: list[Callable[[random.Random], str]] = []
        self.noted: Callable[[WireRequest, WireResponse], None] = lambda _request, _response: None
        self.mutations = 0  # of the program, at the store

    # Machines and what runs on them
    def machine(self, name: str) -> Machine:
        made = Machine(name, self.loop, self.chance, self.trace, self.ledger, self.borders, self._place)
        made.elsewhere = lambda: self.tokens(but=made)
        self.machines.append(made)
        return made

    def boot(self, machine: Machine) -> Process:
        process = machine.boot(self.odds)
        process.aside = self.aside
        return process

    def local(self, machine: Machine, root: str, options: LocalOptions | None = None) -> LocalLocation:
        """A location on the machine's kernel, for the process that runs there now."""
        if machine.process is None or machine.kernel is None:
            raise AssertionError("nothing runs on this machine")
        chance = SeededRandom(self.chance.stream(machine.process.name).getrandbits(32))
        return LocalLocation(root, kernel=machine.kernel, clock=machine.clock, random=chance, options=options)

    def lake(self, machine: Machine, prefix: str, options: S3Options | None = None) -> S3Location:
        """A location in the store, for the process that runs on the machine now; layered as `locations.s3.open` does."""
        process = machine.process
        if process is None:
            raise AssertionError("nothing runs on this machine")
        wire = SimWire(
            self.store,
            self.loop,
            self.weather,
            writer=process.name,
            alive=process.between,
            noted=self.noted,
        )
        meter = MeteredWire(wire)
        chance = SeededRandom(self.chance.stream(f"retries {process.name}").getrandbits(32))
        patient = RetryingWire(AdaptiveWire(meter, machine.clock), machine.clock, chance, backoff=Backoff(attempts=6))
        endpoint = parse_endpoint(self.profile.endpoint)
        client = S3Client(patient, BUCKET, endpoint, machine.clock, options or S3Options(), SimSigner())
        return S3Location(client, prefix, meter=meter)

    # What happens
    def aside(self, choice: random.Random) -> str:
        """Somebody else acts."""
        return choice.choice(self.asides)(choice)

    async def nature(self) -> None:
        """Others act at any time, until it is calm."""
        pause = self.chance.stream("nature")
        while not self.chance.calm:
            await asyncio.sleep(pause.expovariate(1 / _PAUSE_S))
            drawn = self.chance.happening()
            if drawn is not None:
                told = self.aside(drawn[1])
                self.trace.add(told)
                self.chance.tell(drawn[0], told)

    def calm(self) -> None:
        """From now on nothing goes wrong, and nobody else does anything."""
        self.chance.calm = True
        self.weather.faults = 0.0
        self.weather.slow = 0.0

    # What is there
    def tokens(self, *, but: Machine | None = None) -> set[int]:
        """Every token that is anywhere: on a disk, in the lake, and in its versions where it keeps them."""
        found: set[int] = set()
        for machine in self.machines:
            if machine is not but:
                found |= machine.tokens()
        kept = self.store.objects.versions if self.profile.versioned else list(self.store.objects.now.items())
        for _, stored in kept:
            found |= tokens_in(stored.body)
        return found

    def _mutated(self, mutation: Mutation) -> None:
        after = mutation.after.etag if mutation.after else "nothing"
        self.trace.add(f"{mutation.time_s:.6f} {mutation.writer} {mutation.operation} {mutation.key} {after}")
        if not mutation.writer.endswith(STRANGER):
            self.mutations += 1
            if mutation.before is not None:
                gone = tokens_in(mutation.before.body) - tokens_in(mutation.after.body if mutation.after else b"")
                how = f"{mutation.writer} {mutation.operation} {mutation.key!r} at {mutation.time_s:.3f}"
                self.ledger.destroyed(gone, how)

    def verdict(self, faults: list[str]) -> Verdict:
        return Verdict(
            seed=self.chance.seed,
            faults=tuple(faults),
            digest=self.trace.digest,
            happenings=tuple(self.chance.told),
            tokens=self.ledger.count,
            steps=self.loop.steps,
            trace=tuple(self.trace.lines or ()),
        )


class SimSigner:
    """Signs nothing; the simulated store knows everybody. Two locations with it are known to be of one store."""

    region = "us-east-1"
    clock_offset_s = 0.0
    generation = 0
    renewable = False
    principal = "simulated"

    def refresh(self, seen_generation: int) -> None:
        """Nothing expires."""


@contextmanager
def staged(loop: SimLoop, told: Told) -> Iterator[World]:
    """A world, and a place for its databases that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=_RAM if _RAM.is_dir() else None) as place:
        world = World(loop, told, Path(place))
        databases = _Databases(world)
        with world.borders.led(), watched(databases):
            try:
                yield world
            finally:
                for machine in world.machines:
                    machine.databases.close()


class _Databases(list[Any]):
    """Those of all machines of a world, as they come."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def __iter__(self) -> Iterator[Any]:
        return (machine.databases for machine in self._world.machines)


Story = Callable[[SimLoop], Coroutine[Any, Any, Verdict]]
