"""Stories of a link whose every change meets a rival: somebody who writes to that very path in the last moment before it is replaced, moved or deleted.

Nothing else goes wrong, and the rule keeps both. So what a rival wrote must be seen by everybody in the end, at the path or in a conflict copy: in a
trash or in an old version it would be as good as lost, since nobody decided that it should go.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote
from xml.sax.saxutils import unescape

from lakelink.model.link import Rule
from lakelink.model.path import is_own, split
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.sim.ledger import tokens_in
from lakelink.testing.sim.loop import SimLoop, Stuck, simulate
from lakelink.testing.sim.member import PACE, Member
from lakelink.testing.sim.oracle import differences, files_view, lake_view
from lakelink.testing.sim.store import Commit
from lakelink.testing.sim.strangers import Strangers
from lakelink.testing.sim.world import Told, Verdict, World, staged

PREFIX = "data/"
_ROUNDS = 16
_LAST_S = 12 * (PACE.scan_interval_s + PACE.list_interval_s)
_OFTEN = 0.5
_REST_S = 1.0
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_CHANGES = frozenset({"DeleteObjects", "DeleteObject", "CopyObject", "PutObject"})


def play(told: Told) -> Verdict:
    """One story, from its seed."""

    async def story(loop: SimLoop) -> Verdict:
        with staged(loop, told) as world:
            return await _Rivals(world).tell()

    try:
        return simulate(told.seed, story, steps_most=600_000)
    except Stuck as stuck:
        return Verdict(seed=told.seed, faults=(str(stuck),), digest="", happenings=())


class _Rivals:
    """One machine, its users, and strangers in the lake."""

    def __init__(self, world: World) -> None:
        world.calm()
        self._world = world
        self._choice = world.chance.stream("rivals")
        self._member = Member(world, "m1", PREFIX)
        self._member.operator.spec = replace(self._member.operator.spec, rule=Rule(), filters=())
        self._strangers = Strangers(world.store, PREFIX, world.ledger)
        self._acted_s: dict[
            str, float
        ] = {}  # a second write right after the first would keep what that one displaced from being put back
        self._written: set[int] = set()  # by rivals
        self._handle = world.store.handle
        world.store.handle = self._arrived  # type: ignore[method-assign]

    async def tell(self) -> Verdict:
        world, member, choice = self._world, self._member, self._choice
        member.start()
        await asyncio.sleep(0.001)
        kernel = member.machine.kernel
        if kernel is None:
            raise AssertionError("it has not started")
        go_on = kernel.between

        def between(call: str, about: str) -> None:
            go_on(call, about)
            if call == "rename":
                self._renaming(about)

        kernel.between = between
        for _ in range(_ROUNDS):
            for _ in range(choice.randint(1, 4)):
                world.trace.add(choice.choice([member.people.act, member.people.act, self._strangers.act])(choice))
            await asyncio.sleep(choice.random() * choice.choice([1, 5, 15]))
        self._acted_s = dict.fromkeys(self._acted_s, float("inf"))
        self._choice = world.chance.stream("nobody")
        world.store.handle = self._handle  # type: ignore[method-assign]
        kernel.between = go_on
        member.people.rest()
        await asyncio.sleep(_LAST_S)
        faults = self._judged()
        await member.stop()
        return world.verdict(faults)

    def _is_time(self, path: str) -> bool:
        now_s = self._world.loop.time()
        if now_s - self._acted_s.get(path, -_REST_S) < _REST_S or self._choice.random() > _OFTEN:
            return False
        self._acted_s[path] = now_s
        return True

    def _renaming(self, about: str) -> None:
        """A file of the users is about to be exchanged or taken away: one of them writes to it first."""
        names = {part.split(" ")[0] for part in about.split(" -> ")}
        for path, inode in self._member.people.files().items():
            if inode.is_file and split(path)[1] in names and self._is_time(path):
                self._write(self._member.people.write_to, path)

    def _arrived(self, request: WireRequest, body: bytes, writer: str) -> WireResponse | Commit:
        """A change of ours is about to be carried out by the store: a stranger is a moment earlier."""
        if writer.startswith("m1.") and request.operation in _CHANGES:
            for key in _keys_of(request, body):
                if _is_of_others(key) and self._is_time(key):
                    self._write(self._strangers.put_at, key)
        return self._handle(request, body, writer)

    def _write(self, write: Callable[[str, random.Random], str], where: str) -> None:
        first = self._world.ledger.count
        self._world.trace.add(write(where, self._choice))
        self._written |= self._world.ledger.since(first)

    def _judged(self) -> list[str]:
        world, member = self._world, self._member
        if member.link is None:
            return ["the link has ended"]
        objects = world.store.objects.now
        lake, unclear = lake_view(objects, PREFIX)
        unclear |= {clash.path for clash in member.link.journal.conflicts() if not clash.copy}
        unclear |= {trouble.problem.path for trouble in member.link.journal.problems()}
        found = differences(files_view(member.people.files()), lake, unclear, posix=False)
        seen = [bytes(inode.data) for inode in member.people.files().values()] + [one.body for one in objects.values()]
        # Who keeps a file open that is displaced goes on writing to what is in the trash: only rivals have to be seen.
        return found + world.ledger.lost(set().union(world.tokens() - self._written, *map(tokens_in, seen)))


def _is_of_others(key: str) -> bool:
    return key.startswith(PREFIX) and not key.endswith("/") and not is_own(key.removeprefix(PREFIX))


def _keys_of(request: WireRequest, body: bytes) -> list[str]:
    if request.operation == "DeleteObjects":
        return [unescape(key.decode()) for key in _KEY.findall(body)]
    key = unquote(request.path).removeprefix("/")
    return [key[key.index(PREFIX) :]] if PREFIX in key else []
