"""What happens in a story beside the work itself, drawn from the seed: each happening has a number and a chance of its own.

A happening that is left out (`without`) changes nothing about what the others are, so that a story that fails can be told shorter.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection
from dataclasses import dataclass, field


class Trace:
    """What happened, line by line, as a hash; as text too where it is wanted."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = [] if verbose else None
        self.count = 0

    def add(self, line: str) -> None:
        self.count += 1
        self._hash.update(line.encode("utf-8", "surrogateescape"))
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


@dataclass(slots=True)
class Happening:
    """One thing that happened, for people."""

    number: int
    text: str


@dataclass(slots=True)
class Chance:
    """Chance by name and by number. `calm`: nothing happens any more."""

    seed: int
    without: Collection[int] = ()
    calm: bool = False
    told: list[Happening] = field(default_factory=list)
    _count: int = 0

    def stream(self, name: str) -> random.Random:
        """A source of chance of its own: what is drawn from it depends on nothing else."""
        return random.Random(f"{self.seed} {name}")

    def happening(self) -> tuple[int, random.Random] | None:
        """The next happening's number and chance; None where it is left out."""
        self._count += 1
        number = self._count
        if self.calm or number in self.without:
            return None
        return number, random.Random(self.seed * 1_000_003 + number)

    def tell(self, number: int, text: str) -> None:
        """What it came to."""
        self.told.append(Happening(number, text))
