"""A wire that finds out how many requests to have in flight: enough for a far store, few for one that complains."""

from __future__ import annotations

import asyncio
from collections import deque

from lakelink.core.concurrency import ConcurrencyLimit
from lakelink.errors import Unreachable
from lakelink.ports.clock import Clock
from lakelink.ports.wire import S3Wire, WireRequest, WireResponse

REQUEST_WEIGHT_BYTES = (
    64 * 1024
)  # what one request costs, expressed in bytes: large bodies count for more than small ones
_COMPLAINTS = frozenset({429, 503})


class AdaptiveWire:
    """`S3Wire` over another. Stands below retries, so that a pause between attempts holds no place."""

    def __init__(self, wire: S3Wire, clock: Clock, limit: ConcurrencyLimit | None = None) -> None:
        self._wire = wire
        self._clock = clock
        self._limit = limit or ConcurrencyLimit()
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """The requests allowed at once now."""
        return self._limit.limit

    async def send(self, request: WireRequest) -> WireResponse:
        """As the wire below; waits for its turn, first come, first served."""
        if self._active >= self._limit.limit or self._waiting:
            await self._turn()
        else:
            self._active += 1
        begun_s = self._clock.monotonic()
        try:
            response = await self._wire.send(request)
        except Unreachable:
            self._limit.complained(self._clock.monotonic())
            raise
        finally:
            self._active -= 1
            self._admit()
        if response.status in _COMPLAINTS:
            self._limit.complained(self._clock.monotonic())
        else:
            moved = response.body_bytes + (len(request.body) if isinstance(request.body, bytes) else request.body_bytes)
            saturated = self._active + 1 >= self._limit.limit
            now_s = self._clock.monotonic()
            work = 1 + moved / REQUEST_WEIGHT_BYTES
            self._limit.finished(now_s, work, saturated=saturated, took_s=now_s - begun_s)
        return response

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._active -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        """Hand free places to those who wait; a place is counted when it is handed over."""
        while self._waiting and self._active < self._limit.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._active += 1
                turn.set_result(None)
