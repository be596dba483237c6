"""Time for tests: it passes only when somebody waits for it, and then at once. And chance that can be repeated."""

from __future__ import annotations

import asyncio
import random


class JumpingClock:
    """A clock that jumps to the end of every sleep. `slept` holds the seconds of each, in order."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self._start_ns = start_ns
        self._elapsed_s = 0.0
        self.slept: list[float] = []

    def time_ns(self) -> int:
        return self._start_ns + int(self._elapsed_s * 1e9)

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        until = self._elapsed_s + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self._elapsed_s = max(self._elapsed_s, until)


class SeededRandom:
    """The random port, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uniform(self) -> float:
        return self._random.random()

    def token(self) -> str:
        return f"{self._random.getrandbits(64):016x}"
