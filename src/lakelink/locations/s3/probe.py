"""What an S3 store can really do, found out with concurrency.

A single request says little: a store can check a condition, and change the object a moment later without looking again. Each condition
is therefore tried once in sequence (is it honoured at all?) and then raced: many writers name the same version, in many rounds, and each
round must have exactly one winner. Everything happens below one prefix of its own in `.lakelink/`, and is removed.

The losers of a round may be kept waiting for long: SeaweedFS queues them at a lock that it polls by the second. Each round has a name of
its own, so the next one begins as soon as somebody has won, and only the end waits for all losers.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakelink.errors import Unreachable
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.pouring import first_of
from lakelink.locations.s3.probe_requests import ProbeRequests, only, only_new
from lakelink.locations.s3.staging import STAGING
from lakelink.ports.random import SystemRandom
from lakelink.ports.wire import WireResponse

RACERS = 16
ROUNDS = 12
QUICK_RACERS = 8
QUICK_ROUNDS = 3
LINK_CONDITIONS = ("PUT If-None-Match", "PUT If-Match", "DELETE If-Match", "Copy If-None-Match", "Copy If-Match")
"""What a link relies on; objects above 8 MiB come by a copy wherever Complete is not known to be atomic."""

OPEN_ROUNDS = 8  # with losers still waiting; with all their connections well below what the wire opens to one host
NO_SUCH_ETAG = "0" * 32
ODD_NAMES = ("back\\slash", "two//slashes", "trailing/", "line\nbreak", "plus+ %25", "\u00e4\u0308")


class Support(StrEnum):
    """How a condition is honoured."""

    ATOMIC = "atomic"  # every round of every race had one winner
    RACY = "racy"  # honoured when asked alone; some race had several winners
    IGNORED = "ignored"  # the change is carried out whatever the condition says
    REFUSED = "refused"  # the store answers that it does not know it


@dataclass(frozen=True, slots=True)
class Race:
    """One condition and the evidence."""

    name: str
    support: Support
    rounds: int = 0
    rounds_won_once: int = 0
    most_winners: int = 0
    unclear: int = 0  # rounds in which nobody was told that it had won: answers were lost

    def __str__(self) -> str:
        if not self.rounds:
            return f"{self.name}: {self.support.value}"
        return (
            f"{self.name}: {self.support.value}; one winner in {self.rounds_won_once} of {self.rounds} rounds, "
            f"at most {self.most_winners}"
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found. `folded`: names that do not come back as they were given."""

    races: tuple[Race, ...]
    ordered_list: bool
    marker_metadata: bool
    folded: tuple[str, ...]

    def support(self, name: str) -> Support:
        """How the condition of that name is honoured."""
        return next(race.support for race in self.races if race.name == name)

    @property
    def safe(self) -> bool:
        """Whether two writers can never lose each other's changes, whatever way of writing they use."""
        return all(race.support is Support.ATOMIC for race in self.races)


@dataclass(frozen=True, slots=True)
class _Trial:
    """`alone`: a change of an existing object under a condition that does not hold. `round`: the contenders of one round."""

    name: str
    alone: Callable[[str], Awaitable[WireResponse]]
    round: Callable[[str], Awaitable[Sequence[Awaitable[WireResponse]]]]


async def probe(location: S3Location, *, rounds: int = ROUNDS, racers: int = RACERS) -> Capabilities:
    """Find out what the store behind `location` can do. Nothing outside a new prefix below the location's is touched; nothing is left.

    Raises:
        LakelinkError: the store cannot be reached, or the credentials cannot read, write, list and delete there.
    """
    requests = _requests(location)
    try:
        races = await _race(requests, _Trials(requests, racers).all(), rounds)
        return Capabilities(races, await _ordered(requests), await _keeps_markers(requests), await _folded(requests))
    finally:
        await requests.clean()


async def race_conditions(location: S3Location) -> tuple[tuple[Race, ...], str]:
    """A few rounds for `LINK_CONDITIONS` alone, in seconds; also the `Server` that the store calls itself, "" where it does not say.

    Otherwise as `probe`. May be repeated; a call that is cancelled may leave objects, which `S3Location.sweep` removes after a day.
    """
    requests = _requests(location)
    try:
        trials = [trial for trial in _Trials(requests, QUICK_RACERS).all() if trial.name in LINK_CONDITIONS]
        return await _race(requests, trials, QUICK_ROUNDS), requests.server
    finally:
        await requests.clean()


def _requests(location: S3Location) -> ProbeRequests:
    """Below `.lakelink/`, where no link takes the objects for its own."""
    return ProbeRequests(location.client, f"{location.keys.prefix}{STAGING}probe-{SystemRandom().token()}/")


class _Trials:
    """One method per condition for the contenders of a round; they are ready to start together."""

    def __init__(self, requests: ProbeRequests, racers: int) -> None:
        self._requests = requests
        self._bodies = [f"racer {number}".encode() for number in range(racers)]
        self._rounds = itertools.count()

    def all(self) -> list[_Trial]:
        requests, wrong = self._requests, only(NO_SUCH_ETAG)
        return [
            _Trial("PUT If-None-Match", lambda n: requests.put(n, b"x", only_new()), self.create),
            _Trial("PUT If-Match", lambda n: requests.put(n, b"x", wrong), self.replace),
            _Trial("Complete If-None-Match", lambda n: self.completed(n, only_new()), self.complete_new),
            _Trial("Complete If-Match", lambda n: self.completed(n, wrong), self.complete_over),
            _Trial("PUT against Complete", lambda n: self.completed(n, wrong), self.put_or_complete),
            _Trial("DELETE If-Match", lambda n: requests.delete(n, wrong), self.delete_or_put),
            _Trial("Copy If-None-Match", lambda n: self.copied(n, only_new()), self.copy_new),
            _Trial("Copy If-Match", lambda n: self.copied(n, wrong), self.put_or_copy),
        ]

    async def completed(self, name: str, condition: Sequence[tuple[str, str]]) -> WireResponse:
        return await self._requests.complete(name, await self._requests.upload(name, b"alone"), condition)

    async def copied(self, name: str, condition: Sequence[tuple[str, str]]) -> WireResponse:
        await self._requests.make("origin", b"origin")
        return await self._requests.copy("origin", name, condition)

    async def create(self, name: str) -> list[Awaitable[WireResponse]]:
        return [self._requests.put(name, body, only_new()) for body in self._bodies]

    async def replace(self, name: str) -> list[Awaitable[WireResponse]]:
        etag = await self._requests.make(name, b"base")
        return [self._requests.put(name, body, only(etag)) for body in self._bodies]

    async def _uploads(self, name: str, bodies: Sequence[bytes]) -> list[tuple[str, str]]:
        return await asyncio.gather(*(self._requests.upload(name, body) for body in bodies))

    async def complete_new(self, name: str) -> list[Awaitable[WireResponse]]:
        uploads = await self._uploads(name, self._bodies)
        return [self._requests.complete(name, upload, only_new()) for upload in uploads]

    async def complete_over(self, name: str) -> list[Awaitable[WireResponse]]:
        etag = await self._requests.make(name, b"base")
        uploads = await self._uploads(name, self._bodies)
        return [self._requests.complete(name, upload, only(etag)) for upload in uploads]

    async def put_or_complete(self, name: str) -> list[Awaitable[WireResponse]]:
        etag = await self._requests.make(name, b"base")
        uploads = await self._uploads(name, self._bodies[::2])
        completes = [self._requests.complete(name, upload, only(etag)) for upload in uploads]
        return [*completes, *(self._requests.put(name, body, only(etag)) for body in self._bodies[1::2])]

    async def delete_or_put(self, name: str) -> list[Awaitable[WireResponse]]:
        etag = await self._requests.make(name, b"base")
        contenders = [self._requests.put(name, body, only(etag)) for body in self._bodies[1:]]
        # First, in the middle, last: each order is another race.
        contenders.insert(next(self._rounds) % 3 * len(contenders) // 2, self._requests.delete(name, only(etag)))
        return list(contenders)

    async def copy_new(self, name: str) -> list[Awaitable[WireResponse]]:
        await self._requests.make("origin", b"origin")
        return [self._requests.copy("origin", name, only_new()) for _ in self._bodies]

    async def put_or_copy(self, name: str) -> list[Awaitable[WireResponse]]:
        etag = await self._requests.make(name, b"base")
        await self._requests.make("origin", b"origin")
        copies = [self._requests.copy("origin", name, only(etag)) for _ in self._bodies[::2]]
        return [*copies, *(self._requests.put(name, body, only(etag)) for body in self._bodies[1::2])]


async def _race(requests: ProbeRequests, trials: Sequence[_Trial], rounds: int) -> tuple[Race, ...]:
    """Judge each condition: first alone, then, where it is honoured, by `rounds` races."""
    alone = [await _alone(requests, trial) for trial in trials]
    raced: dict[str, list[_Round]] = {trial.name: [] for trial in trials}
    slots = asyncio.Semaphore(OPEN_ROUNDS)
    try:
        async with asyncio.TaskGroup() as tasks:
            for trial in (trial for trial, support in zip(trials, alone, strict=True) if support is Support.ATOMIC):
                for number in range(rounds):
                    await slots.acquire()
                    running = _Round(await trial.round(f"{trial.name.replace(' ', '-')}-{number}"))
                    raced[trial.name].append(running)
                    tasks.create_task(running.run()).add_done_callback(lambda _: slots.release())
                    await running.decided.wait()
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    return tuple(
        _verdict(trial.name, support, [run.winners for run in raced[trial.name]])
        for trial, support in zip(trials, alone, strict=True)
    )


async def _alone(requests: ProbeRequests, trial: _Trial) -> Support:
    """What comes of a condition that does not hold when nobody else is there: ATOMIC until a race shows otherwise."""
    name = f"{trial.name.replace(' ', '-')}-alone"
    await requests.make(name, b"base")
    status = (await trial.alone(name)).status
    if status < 300:
        return Support.IGNORED
    return Support.ATOMIC if status in {404, 409, 412} else Support.REFUSED


class _Round:
    """One round: how many were told that they had won, and whether somebody was."""

    def __init__(self, contenders: Sequence[Awaitable[WireResponse]]) -> None:
        self._contenders = contenders
        self.winners = 0
        self.decided = asyncio.Event()  # somebody has won, or all have their answers

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for contender in self._contenders:
                tasks.create_task(self._contend(contender))
        self.decided.set()

    async def _contend(self, contender: Awaitable[WireResponse]) -> None:
        try:
            response = await contender
        except Unreachable:
            return  # a lost answer tells nobody that it has won
        if response.status < 300:
            self.winners += 1
            self.decided.set()


def _verdict(name: str, alone: Support, winners: Sequence[int]) -> Race:
    if not winners:
        return Race(name, alone)
    most = max(winners)
    return Race(
        name,
        Support.RACY if most > 1 else alone,
        rounds=len(winners),
        rounds_won_once=winners.count(1),
        most_winners=most,
        unclear=winners.count(0),
    )


async def _ordered(requests: ProbeRequests) -> bool:
    """Whether listings are in byte order: `-` and `.` sort before `/`."""
    names = ["order/a-b", "order/a.c", "order/a/x", "order/a0"]
    for name in reversed(names):
        await requests.make(name, b"x")
    return [name for name in await requests.names() if name.startswith("order/")] == names


async def _keeps_markers(requests: ProbeRequests) -> bool:
    """Whether an object whose key ends in a slash keeps its metadata: modes and times of directories need it."""
    await requests.make("marker/", b"", [("x-amz-meta-file-permissions", "0040750")])
    return (await requests.head("marker/")).headers.get("x-amz-meta-file-permissions") == "0040750"


async def _folded(requests: ProbeRequests) -> tuple[str, ...]:
    """The odd names that are refused, or listed under another name."""
    kept = []
    for number, odd in enumerate(ODD_NAMES):
        name = f"odd{number}/{odd}"
        if (await requests.put(name, b"x")).status < 300 and await requests.get(name) == b"x":
            kept.append(name)
    listed = set(await requests.names())
    return tuple(odd for number, odd in enumerate(ODD_NAMES) if not {f"odd{number}/{odd}"} & set(kept) & listed)
