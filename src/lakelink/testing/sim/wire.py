"""The network between one process and a store: requests take their time, overtake each other, get lost on either way, and arrive after all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lakelink.errors import Unreachable
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.sim.answers import refusal
from lakelink.testing.sim.loop import SimLoop
from lakelink.testing.sim.store import SimStore

_PIECE_BYTES = 64 << 10
_COMPLETE_WINDOW_S = 0.02


class Fate(Enum):
    """What becomes of one request."""

    FINE = "fine"
    LOST_BEFORE = "lost-before"  # it never arrives
    LOST_AFTER = "lost-after"  # it is carried out, the answer is lost
    LATE = "late"  # the sender gives up; it arrives later all the same
    REFUSED = "refused"  # 503, 500 …, nothing done
    TRUNCATED = "truncated"  # the answer breaks off


@dataclass(slots=True)
class Weather:
    """How bad the network is. `faults` is the share of requests that something happens to; 0 is a calm day."""

    choice: random.Random
    faults: float = 0.0
    slow: float = 0.1  # share of requests that take seconds instead of milliseconds
    slow_s: float = 3.0

    def fate(self) -> Fate:
        if self.choice.random() >= self.faults:
            return Fate.FINE
        return self.choice.choice([fate for fate in Fate if fate is not Fate.FINE])

    def delay_s(self) -> float:
        slow = self.choice.random() < self.slow
        return self.choice.random() * (self.slow_s if slow else 0.02)

    def status(self, request: WireRequest) -> tuple[int, str]:
        """A refusal that passes."""
        answers = [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")]
        if any(name in {"if-match", "if-none-match"} for name, _ in request.headers) and request.method != "GET":
            answers.append((409, "ConditionalRequestConflict"))
        return self.choice.choice(answers)


class SimWire:
    """`S3Wire` of one process. `alive` raises Crash once the process is gone; `noted` hears of each request that reaches the store."""

    def __init__(
        self,
        store: SimStore,
        loop: SimLoop,
        weather: Weather,
        *,
        writer: str,
        alive: Callable[[str, str], None],
        noted: Callable[[WireRequest, WireResponse], None] | None = None,
    ) -> None:
        self._store = store
        self._loop = loop
        self._weather = weather
        self._writer = writer
        self._alive = alive
        self._noted = noted

    async def send(self, request: WireRequest) -> WireResponse:
        """As `S3Wire.send`."""
        self._alive(request.operation, request.path)
        body = _body_of(request)
        weather, loop = self._weather, self._loop
        fate = weather.fate()
        if fate is Fate.LOST_BEFORE:
            await asyncio.sleep(weather.delay_s())
            raise Unreachable(f"{request.operation}: no connection (simulated)")
        if fate is Fate.REFUSED:
            await asyncio.sleep(weather.delay_s())
            return refusal(request, *weather.status(request))
        arrived = loop.create_future()
        loop.call_later(weather.delay_s(), self._arrive, request, body, arrived)
        if fate is Fate.LATE:
            await asyncio.sleep(weather.delay_s() / 4)
            raise Unreachable(f"{request.operation}: no answer in time (simulated)")
        response: WireResponse = await arrived
        await asyncio.sleep(weather.delay_s() / 2)
        self._alive("answer", request.path)
        if fate is Fate.LOST_AFTER:
            raise Unreachable(f"{request.operation}: the answer was lost (simulated)")
        return self._received(request, response, whole=fate is not Fate.TRUNCATED)

    def _arrive(self, request: WireRequest, body: bytes, arrived: asyncio.Future[WireResponse]) -> None:
        """The store gets the request, whether or not anybody still waits for the answer."""
        result = self._store.handle(request, body, self._writer)
        if isinstance(result, WireResponse):
            self._answered(request, result, arrived)
        else:
            commit = result
            self._loop.call_later(
                self._weather.choice.random() * _COMPLETE_WINDOW_S,
                lambda: self._answered(request, commit(), arrived),
            )

    def _answered(self, request: WireRequest, response: WireResponse, arrived: asyncio.Future[WireResponse]) -> None:
        if self._noted is not None:
            self._noted(request, response)
        if not arrived.done():
            arrived.set_result(response)

    def _received(self, request: WireRequest, response: WireResponse, *, whole: bool) -> WireResponse:
        body = response.body
        if not whole and body:
            if request.sink is not None and response.status < 300:
                request.sink(body[: len(body) // 2])
            raise Unreachable(f"{request.operation}: the answer broke off (simulated)")
        if request.sink is None or response.status >= 300:
            return response
        for start in range(0, len(body), _PIECE_BYTES):
            request.sink(body[start : start + _PIECE_BYTES])
        return WireResponse(response.status, response.headers, b"", len(body))

    async def aclose(self) -> None:
        """Nothing is held."""


def _body_of(request: WireRequest) -> bytes:
    if request.body is None:
        return b""
    if isinstance(request.body, bytes):
        return request.body
    request.body.seek(0)
    pieces = []
    while piece := request.body.read(_PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
