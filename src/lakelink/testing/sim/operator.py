"""Operators of a simulated link: they change what it carries, pause it, ask for surveys, settle conflicts and bring files back, at the worst moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from lakelink.errors import LakelinkError
from lakelink.links.resolving import Keep
from lakelink.links.runtime import Link
from lakelink.links.trash import Trash
from lakelink.model.link import ALL_EVENTS, ConflictRule, Event, Rule
from lakelink.model.linkspec import LinkSpec
from lakelink.testing.sim.machine import Machine
from lakelink.testing.sim.world import World

_PAUSE_S = 3.0
_LONGEST_S = 20.0
_KEEPS: tuple[Keep, ...] = ("files", "lake", "both")
_FILTERS: Sequence[tuple[str, ...]] = ((), (), ("*.txt",), ("d/",), ("/e/f/z",))


class Operator:
    """Who runs the link of one machine. `spec` is how the link is set at the moment; `opened` lets it carry everything again."""

    def __init__(self, world: World, machine: Machine, root: str, spec: LinkSpec) -> None:
        self._world = world
        self._machine = machine
        self._root = root
        self._choice = machine.random("operator")
        self._busy = self._choice.random() < 0.5  # the other half never touch their links again
        self._strict = self._choice.random() < 0.3  # policies and filters, too, are set
        self.spec = replace(spec, rule=replace(spec.rule, conflict=self._some_rule(self._choice)))
        if self._strict:
            self.spec = self._narrowed(self._choice)
        self.updated: Callable[[LinkSpec], None] = lambda _spec: None
        self._acts: Sequence[Callable[[Link, random.Random], Awaitable[str]]] = (
            self._pause,
            self._survey,
            self._survey,
            self._check,
            self._resolve,
            self._restore,
            self._restore,
            self._update,
        )

    @property
    def is_strict(self) -> bool:
        """Not everything is carried."""
        return self.spec.rule.imports != ALL_EVENTS or self.spec.rule.exports != ALL_EVENTS or bool(self.spec.filters)

    def open(self) -> None:
        """From the next start on everything is carried."""
        self.spec = replace(self.spec, rule=Rule(conflict=self.spec.rule.conflict), filters=())

    async def run(self, link: Link) -> None:
        """Act now and then, until cancelled."""
        while self._busy:
            await asyncio.sleep(self._choice.expovariate(1 / _PAUSE_S))
            drawn = self._world.chance.happening()
            if drawn is None:
                continue
            number, choice = drawn
            told = f"{self._machine.name} operator: {await self._act(link, choice)}"
            self._world.trace.add(told)
            self._world.chance.tell(number, told)

    async def _act(self, link: Link, choice: random.Random) -> str:
        act = choice.choice(self._acts)
        if link.journal.open_conflicts and choice.random() < 0.5:
            act = self._resolve
        name = act.__name__.strip("_")
        try:
            async with asyncio.timeout(_LONGEST_S):
                return f"{name} {await act(link, choice)}"
        except LakelinkError as error:
            return f"{name}: {error.code}"
        except TimeoutError:
            return f"{name}: given up"

    async def _pause(self, link: Link, choice: random.Random) -> str:
        link.pause()
        try:
            await asyncio.sleep(choice.random() * choice.choice([1, 10]))
        finally:
            link.resume(allow_deletes=choice.random() < 0.5)
        return "and resume"

    async def _survey(self, link: Link, choice: random.Random) -> str:
        paths = choice.choice([(), ("d",), ("e/f", "a")])
        await link.survey(paths)
        return " ".join(paths)

    async def _check(self, link: Link, _choice: random.Random) -> str:
        return str((await link.check(repair=True)).differences)

    async def _resolve(self, link: Link, choice: random.Random) -> str:
        clashes = link.journal.conflicts()
        if not clashes:
            return "nothing"
        clash, keep = choice.choice(clashes), choice.choice(_KEEPS)
        await link.resolve(clash.id, keep)
        return f"{clash.path!r}, keep {keep}"

    async def _restore(self, _link: Link, choice: random.Random) -> str:
        """As the command does, which needs no daemon: by the kernel alone."""
        kernel = self._machine.kernel
        if kernel is None:
            return "nothing"
        trash = Trash(self._root, kernel)
        with suppress(LakelinkError):
            items = list(trash.items())
            if items:
                item = choice.choice(items)
                answers = trash.restore([item.name])  # none where it went meanwhile, or the root with it
                return f"{item.name!r}: {[str(answer.error or 'done') for answer in answers]}"
        return "nothing"

    async def _update(self, link: Link, choice: random.Random) -> str:
        rule = replace(self.spec.rule, conflict=self._some_rule(choice))
        self.spec = self._narrowed(choice) if self._strict else replace(self.spec, rule=rule)
        self.updated(self.spec)
        link.update(self.spec)
        rule = self.spec.rule
        carried = [" ".join(sorted(events)) or "none" for events in (rule.imports, rule.exports)]
        return f"import {carried[0]}, export {carried[1]}, {rule.conflict}, {self.spec.filters}"

    def _narrowed(self, choice: random.Random) -> LinkSpec:
        imports, exports = (self._some_events(choice) for _ in range(2))
        rule = Rule(imports=imports, exports=exports, conflict=self._some_rule(choice))
        return replace(self.spec, rule=rule, filters=choice.choice(_FILTERS))

    def _some_events(self, choice: random.Random) -> frozenset[Event]:
        return frozenset(event for event in Event if choice.random() < 0.6)

    def _some_rule(self, choice: random.Random) -> ConflictRule:
        rules: list[ConflictRule] = [ConflictRule.KEEP_BOTH, ConflictRule.KEEP_BOTH, *ConflictRule]
        return choice.choice(rules)
