"""Connections kept for reuse: last used first, bounded, idle ones dropped.

Lives on the asyncio thread. A connection is either lent (the borrower owns it) or free; `lent + free + connecting` never exceeds the bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from lakelink.errors import Unreachable
from lakelink.ports.crt_io import Endpoint

IDLE_S = 20.0  # shorter than what servers and middleboxes wait before they drop a connection silently


class Pooled(Protocol):
    """A connection that can be kept."""

    def is_open(self) -> bool: ...

    def close(self) -> object: ...


C = TypeVar("C", bound=Pooled)


class ConnectionPool(Generic[C]):
    """The connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, connect: Callable[[Endpoint], Awaitable[C]], max_connections: int) -> None:
        """`connect` raises Unreachable where there is none to be had; cancelled, it leaves none behind."""
        self._endpoint = endpoint
        self._connect = connect
        self._max = max_connections
        self._free: list[tuple[C, float]] = []
        self._held = 0  # lent, free or connecting
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def take(self, deadline_s: float) -> C:
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

    def give(self, connection: C, now_s: float) -> None:
        """Take back a connection whose exchange ended cleanly."""
        if connection.is_open() and not self._closed:
            self._free.append((connection, now_s))
        else:
            connection.close()
            self._held -= 1
        self._wake_one()

    def drop(self, connection: C) -> None:
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

    async def _open(self, deadline_s: float) -> C:
        self._held += 1
        try:
            async with asyncio.timeout(deadline_s):
                return await self._connect(self._endpoint)
        except BaseException as error:  # also a setting that is wrong, and a cancellation: the place is free again
            self._held -= 1
            self._wake_one()
            if isinstance(error, TimeoutError):
                raise no_connection(self._endpoint, f"no answer within {deadline_s:.0f} s") from error
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def no_connection(endpoint: Endpoint, reason: str) -> Unreachable:
    """The error of a connection that could not be made."""
    return Unreachable(
        f"no connection to {endpoint.url}: {reason}",
        hint="Check the endpoint, the proxy settings and that the store is running.",
    )
