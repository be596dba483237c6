"""The S3 wire on the AWS Common Runtime: HTTP/1.1, TLS and signatures in C; Python hands buffers over.

Answers come from the native thread to asyncio through a deque and at most one pending wake-up, so that a burst of small answers costs one.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakelink import __version__
from lakelink.errors import Unreachable
from lakelink.ports.bulk import BulkReceiver
from lakelink.ports.crt_io import (
    Endpoint,
    Terms,
    TlsSettings,
    bootstrap,
    crt_error_name,
    proxy_options,
    proxy_url,
    socket_options,
    tls_context,
)
from lakelink.ports.crt_open import opened
from lakelink.ports.lean import LeanSender
from lakelink.ports.pool import ConnectionPool
from lakelink.ports.wire import Body, WireRequest, WireResponse

if TYPE_CHECKING:
    from concurrent.futures import Future

    from awscrt.http import HttpClientConnection, HttpRequest

    from lakelink.ports.crt_auth import CrtSigner

MAX_ERROR_BODY_BYTES = 64 * 1024
COUNTED_BODY_BYTES = 64 * 1024  # larger bodies report their progress; smaller ones fit in the socket's buffer
SWEEP_S = 1.0
STALE_CONNECTIONS = 4  # in a row, before the service counts as not reachable
# The native TLS library keeps a failed handshake open for 10 to 30 s (s2n "blinding"); only then does it say what was wrong.
TLS_PATIENCE_S = 35.0
USER_AGENT = f"lakelink/{__version__}"
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class CrtWireOptions:
    """How connections are made. `proxy` None: from the environment; "": none."""

    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: str | None = None
    max_connections: int = 256  # per host; how many are used is the business of the concurrency limit above
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 60.0  # a request that moves no byte for so long is given up


class _CountedBody:
    """A request body that tells how far it was read: the only sign of progress while a large body is sent."""

    def __init__(self, body: Body, exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def readinto(self, buffer: memoryview) -> int:
        try:
            count = self._body.readinto(buffer) or 0
        except OSError as error:
            # Native code would print the traceback. The connection is closed instead, and the bytes that may still leave are zeros
            # that no checksum matches; `send` raises the error whatever the other side answers.
            self._exchange.fail(error)
            count = len(buffer)
            buffer[:] = bytes(count)
        self._exchange.moved += count
        return count

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._body.seek(offset, whence)


class _Exchange:
    """One request on one connection. Its callbacks run on the native thread; the wire reads it after `done`."""

    __slots__ = (
        "answer",
        "body",
        "connection",
        "error",
        "expired",
        "failure",
        "gate",
        "headers",
        "limit",
        "moved",
        "received",
        "seen_at",
        "seen_moved",
        "sink",
        "status",
        "wire",
    )

    def __init__(self, wire: CrtWire, request: WireRequest, answer: asyncio.Future[None]) -> None:
        self.wire = wire
        self.sink = request.sink
        self.gate = threading.Lock() if request.sink is not None else None
        self.answer = answer
        self.connection: HttpClientConnection | None = None
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body: list[bytes] = []
        self.received = 0
        self.limit = 0  # bytes of an error body that are kept; 0 = all of them
        self.error: BaseException | None = None
        self.failure: OSError | None = None  # of the caller's own body or sink
        self.moved = 0
        self.seen_moved = 0
        self.seen_at = time.monotonic()
        self.expired = False

    def on_response(self, status_code: int, headers: list[tuple[str, str]], **_: Any) -> None:
        self.status = status_code
        self.headers = headers
        self.moved += 1
        if not 200 <= status_code < 300:
            self.gate = None
            self.limit = MAX_ERROR_BODY_BYTES

    def on_body(self, chunk: bytes, **_: Any) -> None:
        self.received += len(chunk)
        self.moved += 1
        if self.gate is not None:
            with self.gate:
                self.pour(chunk)
        elif not self.limit or self.received <= self.limit:
            self.body.append(chunk)

    def pour(self, chunk: bytes) -> None:
        """Hand bytes to the sink, while somebody wants them."""
        if self.sink is not None and self.failure is None:
            try:
                self.sink(chunk)
            except OSError as error:
                self.fail(error)

    def leave(self) -> None:
        """Nobody waits any more. The sink is not running when this returns, and is never called again: its file may be closed."""
        if self.gate is not None:
            with self.gate:
                self.sink = None

    def fail(self, error: OSError) -> None:
        """The caller's own body or sink does not work: nothing more is wanted of this connection."""
        self.failure = error
        if self.connection is not None:
            self.connection.close()

    def on_complete(self, completion: Future[int]) -> None:
        self.error = completion.exception()
        self.wire.post(self)


class CrtWire:
    """`S3Wire` over pooled native connections to one endpoint and its virtual hosts. Belongs to one event loop.

    The pool grows on demand, reuses the connection that was used last, and drops those idle for 20 s.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        signer: CrtSigner,
        options: CrtWireOptions | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.signer = signer
        self._options = options or CrtWireOptions()
        self._environ = os.environ if environ is None else environ
        terms = Terms(
            connect_timeout_s=self._options.connect_timeout_s,
            stall_timeout_s=self._options.stall_timeout_s,
            max_connections=self._options.max_connections,
            proxied=bool(proxy_url(endpoint, self._options.proxy, self._environ)),
        )
        self._bulk = BulkReceiver(endpoint, self._options.tls, terms)
        self._lean = LeanSender(endpoint, self._options.tls, terms)
        self._pools: dict[str, ConnectionPool[HttpClientConnection]] = {}
        self._running: set[_Exchange] = set()
        self._done: deque[_Exchange] = deque()
        self._wake_pending = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: WireRequest) -> WireResponse:
        """As the port says. An OSError of the caller's own body or sink (disk full …) is raised as it is."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        if self._closed:
            raise Unreachable("the connection to the store was closed")
        if self._lean.takes(request):
            message = self._message(request, None)
            await self.signer.sign(message)
            self._watch()
            answer = await self._lean.send(request, message)
            if answer is not None:
                return answer
        exchange = _Exchange(self, request, loop.create_future())
        message = self._message(request, exchange)
        await self.signer.sign(message)
        if self._bulk.takes(request):
            try:
                return await self._bulk.send(request, message)
            finally:
                self._watch()
        pool = self._pool(request.host)
        connection = await self._start(pool, message, exchange)
        try:
            await exchange.answer
        except BaseException:
            # Cancelled: closing the connection is what stops the request.
            pool.drop(connection)
            exchange.leave()
            raise
        finally:
            self._running.discard(exchange)
        if exchange.error is None and exchange.failure is None:
            pool.give(connection, exchange.seen_at)
        else:
            pool.drop(connection)
        return self._response(request, exchange)

    async def _start(
        self, pool: ConnectionPool[HttpClientConnection], message: HttpRequest, exchange: _Exchange
    ) -> HttpClientConnection:
        """Send on a connection of the pool. One that died since it was last looked at was sent nothing: the next one is taken."""
        patience_s = self._options.connect_timeout_s + (TLS_PATIENCE_S if self.endpoint.tls else 0.0)
        for _ in range(STALE_CONNECTIONS):
            connection = await pool.take(patience_s)
            exchange.seen_at = time.monotonic()
            exchange.connection = connection
            try:
                stream = connection.request(message, exchange.on_response, exchange.on_body)
                stream.completion_future.add_done_callback(exchange.on_complete)
                stream.activate()
            except RuntimeError:  # as awscrt says that the connection is closed
                pool.drop(connection)
                continue
            except BaseException:
                pool.drop(connection)
                raise
            self._running.add(exchange)
            self._watch()
            return connection
        raise Unreachable(
            f"{self.endpoint.url} closes every connection before it is used", hint="Is this the port of an S3 service?"
        )

    async def aclose(self) -> None:
        """Close all connections; requests under way fail with Unreachable."""
        self._closed = True
        self._bulk.close()
        self._lean.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for exchange in self._running:
            if exchange.connection is not None:
                exchange.connection.close()
        for pool in self._pools.values():
            pool.close()

    def post(self, exchange: _Exchange) -> None:
        """On the native thread: hand a finished exchange to the loop."""
        self._done.append(exchange)
        if not self._wake_pending and self._loop is not None:
            # Set before the wake-up and cleared before the drain: no exchange can fall between the two.
            self._wake_pending = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                return  # the loop is closed: nobody waits for the answer

    def _drain(self) -> None:
        self._wake_pending = False
        while self._done:
            answer = self._done.popleft().answer
            if not answer.done():
                answer.set_result(None)

    def _message(self, request: WireRequest, exchange: _Exchange | None) -> HttpRequest:
        """The message to be signed; without an exchange it has a body only where that is signed as well."""
        from awscrt.http import HttpHeaders, HttpRequest

        headers = [("host", request.host or self.endpoint.authority), ("user-agent", USER_AGENT), *request.headers]
        body: Any = request.body
        if body is not None or request.method in {"PUT", "POST"}:
            size = len(body) if isinstance(body, bytes) else request.body_bytes
            headers.append(("content-length", str(size)))
            if not size or (exchange is None and not self.signer.signs_payload):
                body = None
            elif isinstance(body, bytes):
                body = io.BytesIO(body)
            else:
                body.seek(0)  # it may have been sent before
            if exchange is not None and (size > COUNTED_BODY_BYTES or not isinstance(request.body, bytes)):
                body = body and _CountedBody(body, exchange)
        path = f"{request.path}?{request.query}" if request.query else request.path
        return HttpRequest(request.method, path, HttpHeaders(headers), body)

    def _pool(self, host: str) -> ConnectionPool[HttpClientConnection]:
        pool = self._pools.get(host)
        if pool is None:
            endpoint = self.endpoint.named(host)
            pool = self._pools[host] = ConnectionPool(endpoint, self._connect, self._options.max_connections)
        return pool

    async def _connect(self, endpoint: Endpoint) -> HttpClientConnection:
        from awscrt.http import HttpClientConnection

        tls = None
        if endpoint.tls:
            tls = tls_context(self._options.tls).new_connection_options()
            tls.set_server_name(endpoint.host)
        proxy = proxy_options(proxy_url(endpoint, self._options.proxy, self._environ), tunnel=endpoint.tls)
        opening = HttpClientConnection.new(
            endpoint.host,
            endpoint.port,
            bootstrap(),
            socket_options(self._options.connect_timeout_s),
            tls,
            proxy,
        )
        return await opened(endpoint, opening)

    def _response(self, request: WireRequest, exchange: _Exchange) -> WireResponse:
        if exchange.failure is not None:
            raise exchange.failure
        if exchange.error is not None:
            reason = crt_error_name(exchange.error)
            if exchange.expired:
                reason = f"no byte moved for {self._options.stall_timeout_s:.0f} s"
            raise Unreachable(f"{request.operation}: {reason} ({self.endpoint.url})") from exchange.error
        headers = {name.lower(): value for name, value in exchange.headers}
        length = headers.get("content-length", "")
        has_body = request.method != "HEAD" and exchange.status not in _NO_BODY
        if has_body and length and length != str(exchange.received):
            raise Unreachable(
                f"{request.operation}: the answer ended after {exchange.received} of {length} bytes ({self.endpoint.url})"
            )
        return WireResponse(exchange.status, headers, b"".join(exchange.body), exchange.received)

    def _watch(self) -> None:
        if self._timer is None and self._loop is not None and not self._closed:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Once a second, for all requests at once: whoever moved no byte for too long loses its connection."""
        self._timer = None
        now = time.monotonic()
        for exchange in self._running:
            if exchange.moved != exchange.seen_moved:
                exchange.seen_moved = exchange.moved
                exchange.seen_at = now
            elif now - exchange.seen_at > self._options.stall_timeout_s:
                exchange.expired = True
                if exchange.connection is not None:
                    exchange.connection.close()
        self._bulk.sweep(now)
        self._lean.sweep(now)
        idle = self._bulk.idle + self._lean.idle
        for pool in self._pools.values():
            pool.sweep(now)
            idle += pool.idle
        if self._running or self._lean.running or idle:
            self._watch()
