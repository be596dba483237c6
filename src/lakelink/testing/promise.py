"""A promise of the Location port as a value: a sentence, whom it concerns, and an async function that finds out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from lakelink.locations.base import Location, Traits
from lakelink.testing.hand import Hand

Check: TypeAlias = Callable[[Hand], Awaitable[None]]
"""Returns when the promise is kept. Raises ContractBroken (an AssertionError), NotApplicable, or the location's own error."""


class NotApplicable(Exception):
    """The promise does not concern this location; the message says why."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise. `heavy`: moves thousands of objects or many MiB."""

    name: str
    check: Check
    concerns: Callable[[Traits], bool]
    heavy: bool

    async def keep(self, location: Location) -> None:
        """Find out on a location that is empty and belongs to this check alone.

        Raises:
            ContractBroken: the promise is broken.
            NotApplicable: the location does not make this promise.
        """
        if not self.concerns(location.traits):
            raise NotApplicable("the traits of this location do not include it")
        await self.check(Hand(location))


class Registry:
    """The promises of one module, in order of writing."""

    def __init__(self) -> None:
        self.promises: list[Promise] = []

    def promise(
        self, *, concerns: Callable[[Traits], bool] = lambda _: True, heavy: bool = False
    ) -> Callable[[Check], Check]:
        """Register a function; its name, as a sentence, is the promise."""

        def register(check: Check) -> Check:
            name = str(getattr(check, "__name__", check)).replace("_", " ")
            self.promises.append(Promise(name, check, concerns, heavy))
            return check

        return register
