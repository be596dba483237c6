"""What a link needs of the world: the daemon builds the real ones, the simulator others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lakelink.errors import LakelinkError
from lakelink.links.hsm.lazy import Laziness
from lakelink.locations.base import Location
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random
from lakelink.state.journal import Journal
from lakelink.watch.feed import Feed

SideName = Literal["files", "lake"]


class Guard(Protocol):
    """Knows whether the root is still the one that the link was made for."""

    async def check(self) -> None:
        """It is.

        Raises:
            Halt: it is not, or it cannot be told: nothing may be carried. The hint says what to do.
        """
        ...


class Brake(Protocol):
    """Stops deletions that are too many to be meant."""

    def ask(self, deletes: int, agreed: int, now_s: float) -> None:
        """So many paths may go.

        Raises:
            Halt: that is too large a share; nothing was deleted.
        """
        ...

    def done(self, deletes: int, now_s: float) -> None:
        """So many paths went."""
        ...

    def allow_once(self) -> None:
        """The next question is answered with yes, whatever the number."""
        ...


class Observer(Protocol):
    """Hears what came of each path; a task counts by it. Called from the link's loop: quick, and it never raises."""

    def __call__(self, path: str, verb: str, error: LakelinkError | None) -> None: ...


@dataclass(frozen=True, slots=True)
class SidedFeed:
    """A change feed and the side it watches."""

    side: SideName
    feed: Feed


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything below a link. Whoever makes them closes them."""

    files: Location  # opened writable, trash on
    lake: Location
    journal: Journal
    feeds: Sequence[SidedFeed]
    clock: Clock
    random: Random
    guard: Guard
    brake: Brake
    host: str
    lazy: Laziness | None = None  # of a lazy link; `files` is its LazyFiles then
