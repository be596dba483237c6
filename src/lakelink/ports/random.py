"""Randomness, as a port: the simulator's is seeded."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Random(Protocol):
    """Jitter and unique names."""

    def uniform(self) -> float:
        """In [0, 1)."""
        ...

    def token(self) -> str:
        """16 hexadecimal digits that nobody else has drawn."""
        ...


class SystemRandom:
    """The operating system's source."""

    def uniform(self) -> float:
        return random.random()  # noqa: S311  # jitter needs no secrecy

    def token(self) -> str:
        return secrets.token_hex(8)
