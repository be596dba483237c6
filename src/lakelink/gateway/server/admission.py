"""Connections that have not shown yet who they are: how many, from where, and whether one more is let in (sshd_config(5), MaxStartups)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lakelink.gateway.server.networks import source_of
from lakelink.ports.random import Random


@dataclass(frozen=True, slots=True)
class HalfOpenLimits:
    """From `start` on some are dropped at random, from `full` on all: a flood then does not shut out who comes honestly."""

    start: int = 25
    full: int = 100
    per_source: int = 20


class Door:
    """The half-open connections of a gateway, over all its workers."""

    def __init__(self, limits: HalfOpenLimits, random: Random) -> None:
        self.limits = limits
        self._random = random
        self._open: Counter[str] = Counter()

    @property
    def half_open(self) -> int:
        return self._open.total()

    def refusal(self, address: str) -> str:
        """Why a connection from there is not let in: a word for the audit log; "" = it is."""
        if self._open[source_of(address)] >= self.limits.per_source:
            return "too-many-from-address"
        if self._random.uniform() < self._drop_rate():
            return "too-many-half-open"
        return ""

    def enter(self, address: str) -> None:
        self._open[source_of(address)] += 1

    def leave(self, address: str) -> None:
        """It is through, or gone. Once for each `enter`."""
        source = source_of(address)
        self._open[source] -= 1
        if self._open[source] <= 0:
            del self._open[source]

    def _drop_rate(self) -> float:
        limits, crowd = self.limits, self.half_open
        if crowd < limits.start:
            return 0.0
        if crowd >= limits.full:
            return 1.0
        # 30 % at `start`, all at `full`, as sshd does by default.
        return 0.3 + 0.7 * (crowd - limits.start) / max(1, limits.full - limits.start)
