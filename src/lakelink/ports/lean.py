"""Small requests and answers over plain sockets on the caller's own event loop.

awscrt costs a small request two changes of thread, five calls between C and Python and their objects: measured at twice the CPU time of a socket
that asyncio watches and llhttp (`httptools`) parses, and at a third more under TLS. A request goes out as awscrt signed it, and nothing is tried
again here. Proxies, sinks and larger bodies are left to the native connections.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time

from lakelink.errors import StorageError, Unreachable
from lakelink.ports.bulk import MIN_BULK_BYTES, tls_context
from lakelink.ports.crt_io import Endpoint, Terms, TlsSettings
from lakelink.ports.lean_connection import LeanConnection
from lakelink.ports.pool import ConnectionPool, no_connection
from lakelink.ports.wire import Message, WireRequest, WireResponse

log = logging.getLogger("lakelink.wire")

MAX_BODY_BYTES = 256 << 10  # of a request: what the socket does not take at once is copied


class _NotThisWay(Exception):
    """No TLS by this process's own library."""


class LeanSender:
    """Small requests to one endpoint and its virtual hosts. Belongs to one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TlsSettings,
        terms: Terms,
    ) -> None:
        self._endpoint = endpoint
        self._terms = terms
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._usable = not terms.proxied
        self._pools: dict[str, ConnectionPool[LeanConnection]] = {}
        self.running: set[LeanConnection] = set()

    def takes(self, request: WireRequest) -> bool:
        """Whether this request should come here."""
        body = request.body
        small = body is None or (isinstance(body, bytes) and len(body) <= MAX_BODY_BYTES)
        return self._usable and small and request.sink is None and request.bulk_bytes < MIN_BULK_BYTES

    async def send(self, request: WireRequest, message: Message) -> WireResponse | None:
        """As `S3Wire.send`, of a signed message. None: nothing was sent, and it has to go by a native connection. That is so from the moment on at
        which this side cannot agree on TLS with the other one: native connections know what is wrong, or get on.
        """
        head = _head(message)
        body = request.body if isinstance(request.body, bytes) else b""
        pool = self._pool(request.host)
        try:
            connection = await pool.take(self._terms.connect_timeout_s)
        except _NotThisWay:
            return None
        connection.seen_at_s = time.monotonic()
        self.running.add(connection)
        try:
            await connection.ask(head, body, bodyless=request.method == "HEAD")
        except BaseException as error:  # cancelled, too: closing the connection is what stops the request
            pool.drop(connection)
            if isinstance(error, (OSError, ValueError)):
                raise self._unanswered(request, connection, error) from error
            raise
        finally:
            self.running.discard(connection)
        parts = connection.body
        response = WireResponse(
            connection.status,
            connection.headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
            connection.received,
        )
        connection.body = []
        if connection.reusable:
            pool.give(connection, connection.seen_at_s)
        else:
            pool.drop(connection)
        return response

    def _unanswered(self, request: WireRequest, connection: LeanConnection, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        if connection.expired:
            reason = f"no byte moved for {self._terms.stall_timeout_s:.0f} s"
        return Unreachable(f"{request.operation}: {reason} ({self._endpoint.url})")

    def sweep(self, now_s: float) -> None:
        """Whoever moved no byte for too long loses its connection, and so does what nobody has used for a while."""
        for connection in list(self.running):
            if connection.moved != connection.seen_moved:
                connection.seen_moved, connection.seen_at_s = connection.moved, now_s
            elif now_s - connection.seen_at_s > self._terms.stall_timeout_s:
                connection.expired = True
                connection.close()
        for pool in self._pools.values():
            pool.sweep(now_s)

    @property
    def idle(self) -> int:
        return sum(pool.idle for pool in self._pools.values())

    def close(self) -> None:
        """Close all connections; requests under way fail with Unreachable."""
        for connection in list(self.running):
            connection.close()
        for pool in self._pools.values():
            pool.close()

    def _pool(self, host: str) -> ConnectionPool[LeanConnection]:
        pool = self._pools.get(host)
        if pool is None:
            endpoint = self._endpoint.named(host)
            pool = self._pools[host] = ConnectionPool(endpoint, self._connect, self._terms.max_connections)
        return pool

    async def _connect(self, endpoint: Endpoint) -> LeanConnection:
        if endpoint.tls and self._context is None:
            try:
                self._context = tls_context(self._tls)
            except OSError as error:
                raise self._refused(error) from error
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                LeanConnection, endpoint.host, endpoint.port, ssl=self._context
            )
        except ssl.SSLError as error:
            raise self._refused(error) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that can be no name
            raise no_connection(endpoint, str(error)) from error
        return connection

    def _refused(self, error: OSError) -> _NotThisWay:
        """From now on everything goes by native connections."""
        self._usable = False
        log.info("wire.lean_refused", extra={"reason": str(error)})
        return _NotThisWay(str(error))


def _head(message: Message) -> bytes:
    lines = [f"{message.method} {message.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in message.headers]
    lines += ["", ""]
    head = "\r\n".join(lines).encode()
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise StorageError("a header of the request holds a line break", hint="Look at the metadata that it carries.")
    return head
