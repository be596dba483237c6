"""A wire that keeps to a rate: bytes per second in both directions together, and requests per second.

Small bodies wait before they are sent. Large ones are paced while they move: reading the body, or handing over what arrived, sleeps in the
native thread. That thread serves all connections of this process, and holding it back is what slows them all: the sender through a
full socket buffer, the receiver through TCP's window. Each sleep is short, so that answers and time limits still work.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from lakelink.core.bucket import TokenBucket
from lakelink.ports.clock import Clock
from lakelink.ports.wire import Body, Chunk, S3Wire, WireRequest, WireResponse

PACED_BODY_BYTES = 64 * 1024
BURST_S = 0.25
MAX_SLEEP_S = 0.5  # per 16 KiB of the native reader: rates down to 32 KiB/s are kept


class ThrottledWire:
    """`S3Wire` over another. None for a rate: not limited."""

    def __init__(
        self, wire: S3Wire, clock: Clock, *, bytes_per_s: float | None = None, requests_per_s: float | None = None
    ) -> None:
        self._wire = wire
        self._clock = clock
        now_s = clock.monotonic()
        self._pace = _Pace(bytes_per_s, now_s) if bytes_per_s else None
        self._requests = (
            TokenBucket(requests_per_s, max(1.0, requests_per_s * BURST_S), now_s) if requests_per_s else None
        )

    async def send(self, request: WireRequest) -> WireResponse:
        """As the wire below, later."""
        if self._requests is not None:
            await self._wait(self._requests.take(1, self._clock.monotonic()))
        pace = self._pace
        if pace is None:
            return await self._wire.send(request)
        size = len(request.body) if isinstance(request.body, bytes) else request.body_bytes
        if request.body is not None and size <= PACED_BODY_BYTES:
            await self._wait(pace.take(size, self._clock.monotonic()))
        elif request.body is not None:
            body = _BytesBody(request.body) if isinstance(request.body, bytes) else request.body
            request = dataclasses.replace(request, body=_PacedBody(body, pace), body_bytes=size)
        if request.sink is not None:
            # Each of its own thread would sleep for itself: the others would not be slowed down.
            request = dataclasses.replace(request, sink=_paced_sink(request.sink, pace), bulk_bytes=0)
            return await self._wire.send(request)
        response = await self._wire.send(request)
        await self._wait(pace.take(response.body_bytes, self._clock.monotonic()))
        return response

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def _wait(self, delay_s: float) -> None:
        if delay_s > 0:
            await self._clock.sleep(delay_s)


class _Pace:
    """A bucket that the loop and the native thread share."""

    def __init__(self, bytes_per_s: float, now_s: float) -> None:
        self._bucket = TokenBucket(bytes_per_s, max(1.0, bytes_per_s * BURST_S), now_s)
        self._lock = threading.Lock()

    def take(self, size_bytes: int, now_s: float) -> float:
        with self._lock:
            return self._bucket.take(size_bytes, now_s)

    def sleep(self, size_bytes: int) -> None:
        """Blocking, for the native thread."""
        delay_s = self.take(size_bytes, time.monotonic())
        if delay_s > 0:
            time.sleep(min(delay_s, MAX_SLEEP_S))


class _PacedBody:
    def __init__(self, body: Body, pace: _Pace) -> None:
        self._body = body
        self._pace = pace

    def readinto(self, buffer: memoryview, /) -> int | None:
        count = self._body.readinto(buffer)
        self._pace.sleep(count or 0)
        return count

    def read(self, size: int = -1, /) -> bytes:
        data = self._body.read(size)
        self._pace.sleep(len(data))
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._body.seek(offset, whence)


class _BytesBody:
    """Bytes as a body, without copying them."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self._position = 0

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._view[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._view) if size < 0 else self._position + size
        piece = bytes(self._view[self._position : end])
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._position = (0, self._position, len(self._view))[whence] + offset
        return self._position


def _paced_sink(sink: Callable[[Chunk], None], pace: _Pace) -> Callable[[Chunk], None]:
    def paced(chunk: Chunk) -> None:
        sink(chunk)
        pace.sleep(len(chunk))

    return paced
