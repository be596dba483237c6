"""Small requests and answers over plain sockets on the caller's own event loop.

awscrt costs a small request two changes of thread, five calls between C and Python and their objects: measured at twice the CPU time of a socket
that asyncio watches and llhttp (`httptools`) parses. A request goes out as awscrt signed it, and nothing is tried again here. TLS, proxies, sinks
and larger bodies are left to the native connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, cast

from lakelink.errors import StorageError, Unreachable
from lakelink.ports.bulk import MIN_BULK_BYTES
from lakelink.ports.crt_io import Endpoint, proxy_url
from lakelink.ports.pool import ConnectionPool, no_connection
from lakelink.ports.wire import WireRequest, WireResponse

if TYPE_CHECKING:
    from httptools import HttpResponseParser

MAX_BODY_BYTES = 256 << 10  # of a request: what the socket does not take at once is copied
MAX_HEAD_BYTES = 64 << 10  # of an answer
MAX_ERROR_BODY_BYTES = 64 << 10


class Message(Protocol):
    """A signed request: awscrt's HttpRequest."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Iterable[tuple[str, str]]: ...


class LeanConnection(asyncio.Protocol):
    """One connection, one request at a time. What is known of the answer stands in its fields once `ask` is over."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.received = 0  # bytes of the body
        self.moved = 0  # grows with whatever comes
        self.seen_moved = -1
        self.seen_at_s = 0.0
        self.expired = False
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = None
        self._answer: asyncio.Future[None] | None = None
        self._bodyless = False
        self._head_ended = False
        self._lost = False

    def ask(self, head: bytes, body: bytes, *, bodyless: bool) -> asyncio.Future[None]:
        """Send, and be done once the whole answer is here. `bodyless`: the answer to a HEAD announces a body that does not come.

        Raises (the future):
            ConnectionError: there is no whole answer. ValueError: it is not HTTP.
        """
        if self._parser is None:
            from httptools import HttpResponseParser

            self._parser = HttpResponseParser(self)
        self.status, self.headers, self.body, self.received = 0, {}, [], 0
        self.moved, self.seen_moved, self.expired, self.reusable = 0, -1, False, False
        self._bodyless, self._head_ended = bodyless, False
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is not None:
            self._transport.write(head + body)
        return self._answer

    def is_open(self) -> bool:
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Close it; a request under way fails, and what was not sent yet never is."""
        if self._transport is not None:
            self._transport.abort()

    # ── what asyncio calls ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of a stream, whatever loop made it
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._parser is None:
            self.close()  # nobody asked
            return
        self.moved += len(data)
        if not self._head_ended and self.moved > MAX_HEAD_BYTES + len(data):
            self._fail(ValueError("the head of the answer does not end"))
            return
        from httptools import HttpParserError, HttpParserUpgrade

        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(ValueError(f"the answer is not HTTP: {error}"))

    def eof_received(self) -> None:
        # Without a length and without chunks, the end of the connection is the end of the body (RFC 9112, 6.3).
        endless = not {"content-length", "transfer-encoding"} & self.headers.keys()
        if self._answer is not None and self._head_ended and endless:
            self._finish(reusable=False)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        length = self.headers.get("content-length")
        reason = f"the answer ended after {self.received} of {length} bytes" if length else "the connection was closed"
        self._fail(error or ConnectionResetError(reason))

    # ── what the parser calls: also for bytes behind the answer, which are nobody's, and after which nothing here can be trusted ──

    def on_message_begin(self) -> None:
        self.reusable = self.reusable and self._answer is not None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None:
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        if self._parser is None or self._answer is None:
            return
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._head_ended = True
            if self._bodyless:
                self._parser = None  # it waits for a body
                self._finish(reusable=self.headers.get("connection", "").lower() != "close")

    def on_body(self, chunk: bytes) -> None:
        if self._answer is None:
            return
        self.received += len(chunk)
        if 200 <= self.status < 300 or self.received <= MAX_ERROR_BODY_BYTES:
            self.body.append(chunk)

    def on_message_complete(self) -> None:
        if self._answer is None:
            return
        if self.status < 200:
            self.headers = {}  # 100 Continue: the answer is still to come
        elif self._parser is not None:
            self._finish(reusable=self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        answer, self._answer = self._answer, None
        self.reusable = reusable
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(error)


class LeanSender:
    """Small requests to one endpoint and its virtual hosts. Belongs to one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_timeout_s: float,
        stall_timeout_s: float,
        max_connections: int,
        proxy: str | None,
        environ: Mapping[str, str],
    ) -> None:
        self._endpoint = endpoint
        self._connect_timeout_s = connect_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._max_connections = max_connections
        self._usable = not endpoint.tls and not proxy_url(endpoint, proxy, environ)
        self._pools: dict[str, ConnectionPool[LeanConnection]] = {}
        self.running: set[LeanConnection] = set()

    def takes(self, request: WireRequest) -> bool:
        """Whether this request should come here."""
        body = request.body
        small = body is None or (isinstance(body, bytes) and len(body) <= MAX_BODY_BYTES)
        return self._usable and small and request.sink is None and request.bulk_bytes < MIN_BULK_BYTES

    async def send(self, request: WireRequest, message: Message) -> WireResponse:
        """As `S3Wire.send`, of a signed message."""
        head = _head(message)
        body = request.body if isinstance(request.body, bytes) else b""
        pool = self._pool(request.host)
        connection = await pool.take(self._connect_timeout_s)
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
            reason = f"no byte moved for {self._stall_timeout_s:.0f} s"
        return Unreachable(f"{request.operation}: {reason} ({self._endpoint.url})")

    def sweep(self, now_s: float) -> None:
        """Whoever moved no byte for too long loses its connection, and so does what nobody has used for a while."""
        for connection in list(self.running):
            if connection.moved != connection.seen_moved:
                connection.seen_moved, connection.seen_at_s = connection.moved, now_s
            elif now_s - connection.seen_at_s > self._stall_timeout_s:
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
            name = host.partition(":")[0]  # a virtual host is a name, never an IPv6 address
            endpoint = Endpoint(name or self._endpoint.host, self._endpoint.port, self._endpoint.tls)
            pool = self._pools[host] = ConnectionPool(endpoint, _connect, self._max_connections)
        return pool


async def _connect(endpoint: Endpoint) -> LeanConnection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(LeanConnection, endpoint.host, endpoint.port)
    except OSError as error:
        raise no_connection(endpoint, str(error)) from error
    return connection


def _head(message: Message) -> bytes:
    lines = [f"{message.method} {message.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in message.headers]
    lines += ["", ""]
    head = "\r\n".join(lines).encode()
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise StorageError("a header of the request holds a line break", hint="Look at the metadata that it carries.")
    return head
