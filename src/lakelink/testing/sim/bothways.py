"""Stories of links: one to three machines keep a directory each in step with one prefix, while users and strangers write on all sides.

At the end it is calm, and everything must be there: each token at a path, in a conflict copy or in a trash; both sides of each link equal; and nothing
stirs any more.
"""

from __future__ import annotations

import asyncio

from lakelink.testing.sim.lazy import LazyTree
from lakelink.testing.sim.ledger import CONFLICT
from lakelink.testing.sim.loop import SimLoop, Stuck, simulate
from lakelink.testing.sim.member import PACE, Member
from lakelink.testing.sim.oracle import differences, files_view, lake_view
from lakelink.testing.sim.process import End
from lakelink.testing.sim.strangers import Strangers
from lakelink.testing.sim.world import Told, Verdict, World, staged

PREFIX = "data/"
_ROUND_S = PACE.scan_interval_s + PACE.list_interval_s
_LAST_ROUNDS = 30
_SILENT_ROUNDS = 2
_FAILURES = 0.3  # of the turns of a machine that is up


def play(told: Told) -> Verdict:
    """One story, from its seed."""
    return _play(told, lazy=False)


def play_lazy(told: Told) -> Verdict:
    """One story of lazy links: files come as stubs, are loaded by who opens them, and are released again at any moment."""
    return _play(told, lazy=True)


def _play(told: Told, *, lazy: bool) -> Verdict:
    async def story(loop: SimLoop) -> Verdict:
        with staged(loop, told) as world:
            return await _Links(world, lazy=lazy).tell()

    try:
        return simulate(told.seed, story, steps_most=1_500_000)
    except Stuck as stuck:
        return Verdict(seed=told.seed, faults=(str(stuck),), digest="", happenings=())


class _Links:
    """The members and the strangers of one prefix."""

    def __init__(self, world: World, *, lazy: bool) -> None:
        self._world = world
        self._life = world.chance.stream("links")
        count = self._life.choice([1, 1, 1, 2, 3])
        self._lazy = lazy
        self._members = [self._member(f"m{number}") for number in range(1, count + 1)]
        strangers = Strangers(world.store, PREFIX, world.ledger)
        for member in self._members:
            world.asides += member.misfortunes()
            world.asides += [member.people.act] * 5
        world.asides += [strangers.act] * 4

    def _member(self, name: str) -> Member:
        tree = LazyTree(self._world, PREFIX, name) if self._lazy else None
        return Member(self._world, name, PREFIX, tree)

    async def tell(self) -> Verdict:
        world, life = self._world, self._life
        others = asyncio.ensure_future(world.nature())
        for _ in range(life.randint(0, 10)):
            world.aside(life)
        for _ in range(life.randint(3, 8)):
            for member in self._members:
                await self._turn(member)
            await asyncio.sleep(life.random() * life.choice([1, 6, 30]))
        world.calm()
        await others
        return world.verdict(await self._end())

    async def _turn(self, member: Member) -> None:
        """A machine that is down comes up; one that is up may be stopped."""
        if not member.is_up:
            if self._life.random() < 0.1:
                member.lose_journal()
                self._world.trace.add(f"{member.machine.name} loses its journal")
            member.start()
        elif self._life.random() < 0.15:
            await member.stop()
        elif self._life.random() < _FAILURES:
            member.fail(self._life.choice(list(End)))

    async def _end(self) -> list[str]:
        """Calm: it comes to rest as it is set; and when everything is carried again, to rest with both sides equal."""
        world = self._world
        for member in self._members:
            member.mount()
            member.people.rest()
        faults = []
        if any(member.operator.is_strict for member in self._members):
            faults = await self._rest("as it is set")
            for member in self._members:
                member.operator.open()
        faults += await self._rest("at the end")
        faults += [fault for member in self._members for fault in [*self._judged(member), *member.faults]]
        names = {name for key in world.store.objects.now for name in key.split("/")}
        faults += [f"a conflict copy of a conflict copy: {name}" for name in sorted(names) if name.count(CONFLICT) > 1]
        for member in self._members:
            await member.stop()
        for member in self._members:
            member.excuse()
        return faults + world.ledger.lost(world.tokens())

    async def _rest(self, when: str) -> list[str]:
        """All start anew, and nothing stirs any more after a while; what is wrong with that."""
        world = self._world
        for member in self._members:
            await member.stop()
            member.start()
        before = world.mutations, *(member.machine.disk.changes for member in self._members)
        silent = 0
        for _ in range(_LAST_ROUNDS):
            await asyncio.sleep(_ROUND_S)
            after = world.mutations, *(member.machine.disk.changes for member in self._members)
            silent = silent + 1 if before == after else 0
            if silent >= _SILENT_ROUNDS:
                return []
            before = after
        return [f"still not at rest after {_LAST_ROUNDS} rounds, {when}"]

    def _judged(self, member: Member) -> list[str]:
        name = member.machine.name
        if member.link is None:
            return [f"{name}: the link has ended"]
        lake, unclear = lake_view(self._world.store.objects.now, PREFIX)
        # What stands as a conflict, or cannot be carried, is listed and waits for its user.
        journal = member.link.journal
        unclear |= {clash.path for clash in journal.conflicts() if not clash.copy}
        unclear |= {trouble.problem.path for trouble in journal.problems()} | member.unclear()
        found = differences(files_view(member.people.files(), member.people.bytes_of), lake, unclear, posix=False)
        status = member.link.status()
        if status.reason:
            found.append(f"halted: {status.reason}")
        return [f"{name}: {difference}" for difference in found]
