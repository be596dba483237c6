"""A wire that fails by script: for tests of everything above it, against a real store below it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from lakelink.errors import Unreachable
from lakelink.ports.clock import Clock
from lakelink.ports.wire import S3Wire, WireRequest, WireResponse


class FaultKind(Enum):
    """What goes wrong."""

    STATUS = "status"  # answered with `status` and `body`; the store never sees the request
    LOST_BEFORE = "lost-before"  # no answer, no effect
    LOST_AFTER = "lost-after"  # the store carried it out, the answer is lost
    DELAY = "delay"  # carried out after `delay_s`
    TRUNCATED = "truncated"  # the answer breaks off after half of its body


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: hits the next `times` requests that match."""

    kind: FaultKind
    operation: str = ""  # "" = any
    path_part: str = ""
    skip: int = 0  # let so many matching requests pass first
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    when: Callable[[WireRequest], bool] | None = None

    def matches(self, request: WireRequest) -> bool:
        """Whether the fault is about such a request."""
        return (
            self.operation in {"", request.operation}
            and self.path_part in request.path
            and (self.when is None or self.when(request))
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    skips_left: int
    times_left: int


class FaultyWire:
    """`S3Wire` over another, with faults in the order given; one fault per request. `struck` tells what was hit."""

    def __init__(self, wire: S3Wire, clock: Clock, faults: Iterable[Fault] = ()) -> None:
        self._wire = wire
        self._clock = clock
        self._armed = [_Armed(fault, fault.skip, fault.times) for fault in faults]
        self.struck: list[tuple[str, FaultKind]] = []

    def add(self, fault: Fault) -> None:
        """Let something else go wrong from now on."""
        self._armed.append(_Armed(fault, fault.skip, fault.times))

    async def send(self, request: WireRequest) -> WireResponse:
        """As the wire below, unless a fault says otherwise."""
        fault = self._next(request)
        if fault is None:
            return await self._wire.send(request)
        self.struck.append((request.operation, fault.kind))
        match fault.kind:
            case FaultKind.STATUS:
                body = f"<Error><Code>{fault.code}</Code><Message>by script</Message></Error>".encode()
                return WireResponse(
                    fault.status, dict(fault.headers), b"" if request.method == "HEAD" else body, len(body)
                )
            case FaultKind.LOST_BEFORE:
                raise Unreachable(f"{request.operation}: connection reset (by script, before)")
            case FaultKind.LOST_AFTER:
                await self._wire.send(request)
                raise Unreachable(f"{request.operation}: connection reset (by script, after)")
            case FaultKind.DELAY:
                await self._clock.sleep(fault.delay_s)
                return await self._wire.send(request)
            case FaultKind.TRUNCATED:
                await self._truncate(request)
                raise Unreachable(f"{request.operation}: the answer broke off (by script)")

    async def aclose(self) -> None:
        await self._wire.aclose()

    def _next(self, request: WireRequest) -> Fault | None:
        for armed in self._armed:
            if armed.times_left <= 0 or not armed.fault.matches(request):
                continue
            if armed.skips_left > 0:
                armed.skips_left -= 1
                continue
            armed.times_left -= 1
            return armed.fault
        return None

    async def _truncate(self, request: WireRequest) -> None:
        whole = await self._wire.send(dataclasses.replace(request, sink=None))
        if request.sink is not None and whole.body:
            request.sink(whole.body[: len(whole.body) // 2])
