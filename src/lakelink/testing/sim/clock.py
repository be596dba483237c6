"""The clock of one simulated machine: virtual time, off by what the machine's clock is off."""

from __future__ import annotations

import asyncio

from lakelink.testing.sim.loop import SimLoop

EPOCH_NS = 1_700_000_000_000_000_000


class SimClock:
    """`Clock` over the loop's time. `skew_ns` may change at any time: wall time jumps, monotonic time does not."""

    def __init__(self, loop: SimLoop, skew_ns: int = 0) -> None:
        self._loop = loop
        self.skew_ns = skew_ns

    def time_ns(self) -> int:
        return EPOCH_NS + self.skew_ns + int(self._loop.time() * 1e9)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
