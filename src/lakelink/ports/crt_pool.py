"""Connections kept for reuse: last used first, bounded, idle ones dropped.

Lives on the asyncio thread. A connection is either lent (the borrower owns it) or free; `lent + free + connecting` never exceeds the bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from lakelink.errors import Unreachable, Untrusted
from lakelink.ports.crt_io import Endpoint, crt_error_name

if TYPE_CHECKING:
    from awscrt.http import HttpClientConnection

IDLE_S = 20.0  # shorter than what servers and middleboxes wait before they drop a connection silently

Connect = Callable[[Endpoint], "Future[HttpClientConnection]"]


class ConnectionPool:
    """The connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, connect: Connect, max_connections: int) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._max = max_connections
        self._free: list[tuple[HttpClientConnection, float]] = []
        self._held = 0  # lent, free or connecting
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def take(self, deadline_s: float) -> HttpClientConnection:
        """A connection that was open a moment ago; the caller gives it back with `give` or `drop`.

        Raises:
            Unreachable: no connection could be made, or the pool was closed.
        """
        while True:
            if self._closed:
                raise Unreachable(f"the connection to {self._endpoint.url} was closed")
            while self._free:
                connection, _ = self._free.pop()
                if connection.is_open():
                    return connection
                self._held -= 1
            if self._held < self._max:
                return await self._open(deadline_s)
            await self._turn()

    async def _turn(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # Woken and cancelled in the same tick: the turn goes to the next one.
            if waiter.done() and not waiter.cancelled():
                self._wake_one()
            raise

    def give(self, connection: HttpClientConnection, now_s: float) -> None:
        """Take back a connection whose exchange ended cleanly."""
        if connection.is_open() and not self._closed:
            self._free.append((connection, now_s))
        else:
            connection.close()
            self._held -= 1
        self._wake_one()

    def drop(self, connection: HttpClientConnection) -> None:
        """Close a connection whose exchange did not end cleanly."""
        connection.close()
        self._held -= 1
        self._wake_one()

    def sweep(self, now_s: float) -> None:
        """Close what was not used for a while; the oldest are in front."""
        while self._free and now_s - self._free[0][1] > IDLE_S:
            self._free.pop(0)[0].close()
            self._held -= 1

    def close(self) -> None:
        """Close the free connections; borrowers drop theirs, and nobody gets another one."""
        self._closed = True
        while self._waiting:
            self._wake_one()
        while self._free:
            self._free.pop()[0].close()
            self._held -= 1

    @property
    def idle(self) -> int:
        return len(self._free)

    async def _open(self, deadline_s: float) -> HttpClientConnection:
        from awscrt.exceptions import AwsCrtError

        self._held += 1
        loop = asyncio.get_running_loop()
        arrival: asyncio.Future[HttpClientConnection] = loop.create_future()
        try:
            self._connect(self._endpoint).add_done_callback(lambda opening: _hand_over(loop, arrival, opening))
            async with asyncio.timeout(deadline_s):
                return await arrival
        except BaseException as error:  # also a setting that is wrong, and a cancellation: the place is free again
            if arrival.done() and not arrival.cancelled() and arrival.exception() is None:
                arrival.result().close()
            self._give_up()
            if isinstance(error, (AwsCrtError, OSError, TimeoutError)):
                raise self._refused(error) from error
            raise

    def _refused(self, error: BaseException) -> Unreachable:
        reason = f"no connection to {self._endpoint.url}: {crt_error_name(error)}"
        if "TLS_ERROR" in getattr(error, "name", ""):
            return Untrusted(
                reason, hint="Name the certificate authority with ca_bundle (or AWS_CA_BUNDLE), or check http/https."
            )
        return Unreachable(reason, hint="Check the endpoint, the proxy settings and that the store is running.")

    def _give_up(self) -> None:
        self._held -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    arrival: asyncio.Future[HttpClientConnection],
    opening: Future[HttpClientConnection],
) -> None:
    """On the native thread: bring the connection to the loop, or close it where nobody waits any more."""
    try:
        loop.call_soon_threadsafe(_settle, arrival, opening)
    except RuntimeError:  # the loop is closed
        _close(opening)


def _settle(arrival: asyncio.Future[HttpClientConnection], opening: Future[HttpClientConnection]) -> None:
    error = opening.exception()
    if arrival.done():
        _close(opening)
    elif error is not None:
        arrival.set_exception(error)
    else:
        arrival.set_result(opening.result())


def _close(opening: Future[HttpClientConnection]) -> None:
    if opening.exception() is None:
        opening.result().close()
