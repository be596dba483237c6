"""Listening sockets, and what happens to a connection before SSH begins: the header of a balancer, and whether it is let in at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lakelink.gateway.server.networks import Networks
from lakelink.gateway.server.proxy import LONGEST_V2_BYTES, BadHeader, Header, parse_header, plain

HEADER_WITHIN_S = 5.0
MOST_GREETED = 500  # connections whose header or admission is awaited
PAUSE_S, SHORT_PAUSE_S = 0.1, 0.01
BACKLOG = 512
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection, and from where it really comes. `early` was read already."""

    socket: socket.socket
    address: str
    port: int
    early: bytes = b""


class Porch(Protocol):
    """Who decides about arrivals, and takes them."""

    async def admit(self, arrival: Arrival) -> bool:
        """Whether it is let in; then its socket is no longer the caller's."""
        ...

    def refused(self, address: str, reason: str) -> None: ...


class Listener:
    """Accepts on any number of sockets. It closes them."""

    def __init__(self, porch: Porch, proxies: Networks) -> None:
        self._porch = porch
        self._proxies = proxies
        self._tasks: set[asyncio.Future[Any]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from now on."""
        self._sockets = list(sockets)
        for each in sockets:
            each.setblocking(False)
            self._loops.append(asyncio.create_task(self._accept(each)))

    async def aclose(self) -> None:
        """Accept no more; who is just being greeted is let go. Idempotent."""
        for task in [*self._loops, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._loops, *self._tasks, return_exceptions=True)
        self._loops.clear()
        while self._sockets:
            self._sockets.pop().close()

    def keep(self, task: asyncio.Future[Any]) -> None:
        """Own a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:
                # Out of descriptors, or the client is gone before it was accepted (accept(2)); neither ends the listener, and neither makes it spin.
                await asyncio.sleep(PAUSE_S if error.errno in _EXHAUSTED else SHORT_PAUSE_S)
                continue
            if len(self._tasks) >= MOST_GREETED:
                connection.close()
                self._porch.refused(_plain(peer[0]), "too-many-half-open")
                continue
            self.keep(asyncio.ensure_future(self._greet(connection, peer)))

    async def _greet(self, connection: socket.socket, peer: tuple[Any, ...]) -> None:
        address, port = _plain(peer[0]), int(peer[1])
        taken = False
        try:
            early = b""
            if address in self._proxies:
                header, early = await self._header(connection)
                if not header.address:  # a check of health
                    return
                address, port = header.address, header.port
            taken = await self._porch.admit(Arrival(connection, address, port, early))
        except (BadHeader, TimeoutError):
            self._porch.refused(address, "bad-proxy-header")
        except OSError:
            pass  # gone
        finally:
            if not taken:
                connection.close()

    async def _header(self, connection: socket.socket) -> tuple[Header, bytes]:
        """What the balancer says, and what was read beyond it."""
        loop, data = asyncio.get_running_loop(), b""
        async with asyncio.timeout(HEADER_WITHIN_S):
            while (header := parse_header(data)) is None:
                chunk = await loop.sock_recv(connection, LONGEST_V2_BYTES - len(data))
                if not chunk:
                    raise BadHeader("cut short")
                data += chunk
        return header, data[header.size_bytes :]


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one port, between which the kernel spreads connections (socket(7), SO_REUSEPORT).

    Raises:
        OSError: the port cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if port:
        _check_free(family, address)
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            each = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
            found.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            each.bind((*address[:1], found[0].getsockname()[1], *address[2:]) if len(found) > 1 else address)
            each.listen(BACKLOG)
    except BaseException:
        for each in found:
            with contextlib.suppress(OSError):
                each.close()
        raise
    return found


def _check_free(family: int, address: Any) -> None:
    """With SO_REUSEPORT a second gateway of the same user would silently get a share of the connections."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _plain(address: str) -> str:
    try:
        return plain(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return address
