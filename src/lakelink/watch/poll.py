"""The feed for what raises no events: at an interval everything may have changed, and a scan has to find out what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from lakelink.model.change import Problem
from lakelink.ports.clock import Clock
from lakelink.watch.feed import EVERYTHING, Delivery, Told


class PollFeed:
    """`Feed` without a kernel behind it."""

    kind = "poll"
    closes = False

    def __init__(self, clock: Clock, interval_s: float, problems: Sequence[Problem] = ()) -> None:
        """`problems`: why there is nothing better."""
        self._clock = clock
        self._interval_s = interval_s
        self._problems = tuple(problems)
        self._closed = asyncio.Event()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """One hint for everything, an interval after the one before was asked for."""
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            while not self._closed.is_set():
                pause = asyncio.ensure_future(self._clock.sleep(self._interval_s))
                try:
                    await asyncio.wait({closed, pause}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    pause.cancel()
                if not self._closed.is_set():
                    yield Told([EVERYTHING])
        finally:
            closed.cancel()

    def problems(self) -> Sequence[Problem]:
        """As `Feed.problems`."""
        return self._problems

    async def aclose(self) -> None:
        """As `Feed.aclose`."""
        self._closed.set()
