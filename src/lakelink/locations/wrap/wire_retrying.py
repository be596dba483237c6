"""A wire that tries again: visibly, with back-off, within a budget, and only what may be repeated.

What may not be repeated blindly is a conditional change whose answer was lost: the second send would be refused because of the first. Such
a loss goes up to the layer that can look at what is there (`locations.s3.conditions.settle`). A download that already handed bytes to
its sink goes up as well: whoever owns the sink knows where to go on.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from email.utils import parsedate_to_datetime

from lakelink.core.backoff import Backoff, RetryBudget
from lakelink.errors import Retry, Unreachable
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random
from lakelink.ports.wire import Chunk, S3Wire, WireRequest, WireResponse

log = logging.getLogger("lakelink.wire")

# Amazon S3 API reference, Error responses; 409 is a conditional request that met another one.
_REFUSED_FOR_NOW = frozenset({429, 503})
_UNCERTAIN = frozenset({500, 502, 504})
_CONDITIONS = frozenset({"if-match", "if-none-match"})
_LATE_FAILURES = frozenset({"CopyObject", "CompleteMultipartUpload", "UploadPartCopy"})


class RetryingWire:
    """`S3Wire` over another; one per client, since the budget is shared by all its requests."""

    def __init__(
        self,
        wire: S3Wire,
        clock: Clock,
        random: Random,
        *,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._random = random
        self._backoff = backoff or Backoff()
        self._budget = budget or RetryBudget()
        self.retries = 0

    async def send(self, request: WireRequest) -> WireResponse:
        """The first answer that is not a passing failure, or the last one when patience or budget ends."""
        attempt = 0
        while True:
            handed = _Handed(request)
            try:
                response = await self._wire.send(handed.request)
            except Unreachable as error:
                hopeless = error.retry is Retry.NEVER or handed.bytes_out or _changes_conditionally(request)
                if hopeless or not self._again(attempt):
                    raise
                response = None
            if response is not None:
                if not _passing(request, response):
                    if response.status < 500:
                        self._budget.earn()
                    return response
                if not self._again(attempt):
                    return response
            delay_s = self._backoff.delay_s(attempt, self._random.uniform(), _retry_after_s(response, self._clock))
            self.retries += 1
            log.info(
                "wire.retried",
                extra={
                    "operation": request.operation,
                    "status": response.status if response else 0,
                    "delay_s": delay_s,
                },
            )
            await self._clock.sleep(delay_s)
            attempt += 1

    async def aclose(self) -> None:
        await self._wire.aclose()

    def _again(self, attempt: int) -> bool:
        return self._backoff.may_repeat(attempt) and self._budget.spend()


class _Handed:
    """Watches whether a sink was given bytes."""

    def __init__(self, request: WireRequest) -> None:
        self.bytes_out = 0
        self.request = request
        sink = request.sink
        if sink is None:
            return

        def counted(chunk: Chunk) -> None:
            self.bytes_out += len(chunk)
            sink(chunk)

        self.request = replace(request, sink=counted)


def _changes_conditionally(request: WireRequest) -> bool:
    # A DELETE of one version may be repeated: when the first one took effect, the second finds nothing of that version.
    return request.method not in {"GET", "HEAD", "DELETE"} and any(name in _CONDITIONS for name, _ in request.headers)


def _passing(request: WireRequest, response: WireResponse) -> bool:
    """Whether the same request may well succeed in a moment, and may be sent again."""
    status = response.status
    if status in _REFUSED_FOR_NOW:
        return True
    if status == 409:
        # Elsewhere a 409 is a state (BucketNotEmpty, OperationAborted …), not a moment.
        return b"ConditionalRequestConflict" in response.body
    if status == 400:
        return b"<Code>RequestTimeout</Code>" in response.body
    if status in _UNCERTAIN:
        return not _changes_conditionally(request)
    if status == 200 and request.operation in _LATE_FAILURES and b"<Error" in response.body:
        return not _changes_conditionally(request)
    return False


def _retry_after_s(response: WireResponse | None, clock: Clock) -> float:
    """Retry-After: seconds, or a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("retry-after", "") if response else ""
    if not text:
        return 0.0
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock.time_ns() / 1e9)
    except (ValueError, TypeError):
        return 0.0
