"""Large answers, and large parts out of memory: one thread and one connection each.

awscrt hands a body over in pieces of 16 KiB, each with a call into Python; collected natively, it is copied twice through memory that has left
the processor's cache by then. Here `http.client` reads 256 KiB at a time into a buffer that stays in the cache while it is written and summed,
and the interpreter lock is free meanwhile: measured at half the CPU time. A part that is in memory is handed to the kernel as it is. A request
goes out as it was signed, and nothing is tried again here. What is not possible this way (a proxy) is left to the ordinary connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Callable

from lakelink.errors import Unreachable
from lakelink.ports.crt_io import Endpoint, Terms, TlsSettings
from lakelink.ports.wire import Chunk, Message, WireRequest, WireResponse

log = logging.getLogger("lakelink.wire")

MIN_BULK_BYTES = 1 << 20  # below, a thread costs more than it saves
MAX_HELD_BYTES = 8 << 20  # of an answer without a sink
AT_ONCE = 8  # whoever finds no room takes an ordinary connection
BUFFER_BYTES = 256 << 10
SENT_BYTES = 128 << 10  # at a time: each is to move within the time limit
MAX_ERROR_BODY_BYTES = 64 << 10
IDLE_S = 20.0  # as with ordinary connections


class BulkReceiver:
    """Receives answers of 1 MiB and more for one endpoint and its virtual hosts, and sends parts of that size. Belongs to one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TlsSettings,
        terms: Terms,
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._terms = terms
        self._usable = not terms.proxied
        self._context: ssl.SSLContext | None = None
        self._free: list[tuple[_Line, float]] = []
        self._running: set[_Answer] = set()

    def takes(self, request: WireRequest) -> bool:
        """Whether this request should come here now."""
        size = request.bulk_bytes
        fits = size >= MIN_BULK_BYTES and (request.sink is not None or size <= MAX_HELD_BYTES)
        return (fits or _is_large_part(request)) and self._usable and len(self._running) < AT_ONCE

    async def send(self, request: WireRequest, message: Message) -> WireResponse:
        """As `S3Wire.send`, of a signed message.

        Raises:
            Unreachable: no whole answer; a sink has what came of it. Where this side cannot agree on TLS with the other one, the next attempts
            belong to ordinary connections: they know what is wrong, or get on.
        """
        loop = asyncio.get_running_loop()
        try:
            line = self._line(request.host, loop.time())
        except OSError as error:  # the certificates cannot be used
            self._usable = False
            raise Unreachable(f"{request.operation}: {error}") from error
        answer = _Answer(request, message, line, loop.create_future())
        self._running.add(answer)
        threading.Thread(target=answer.run, args=(loop,), name="lakelink-bulk", daemon=True).start()
        try:
            return await answer.result
        except Unreachable as error:
            if isinstance(error.__cause__, ssl.SSLError):
                self._usable = False
                log.info("wire.bulk_refused", extra={"reason": str(error)})
            raise
        finally:
            self._running.discard(answer)
            if answer.clean and self._usable:
                self._free.append((line, loop.time()))
            else:
                answer.leave()

    def sweep(self, now_s: float) -> None:
        """Close what was not used for a while; the oldest are in front."""
        while self._free and now_s - self._free[0][1] > IDLE_S:
            self._free.pop(0)[0].release()

    @property
    def idle(self) -> int:
        return len(self._free)

    def close(self) -> None:
        """Close all connections; requests under way fail with Unreachable."""
        self._usable = False
        while self._free:
            self._free.pop()[0].release()
        for answer in self._running:
            answer.line.close()

    def _line(self, host: str, now_s: float) -> _Line:
        self.sweep(now_s)
        for number in reversed(range(len(self._free))):
            if self._free[number][0].host == host:
                return self._free.pop(number)[0]
        return _Line(host, self._connection(host), self._terms.stall_timeout_s)

    def _connection(self, host: str) -> http.client.HTTPConnection:
        endpoint, timeout_s = self._endpoint.named(host), self._terms.connect_timeout_s
        if not endpoint.tls:
            return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
        if self._context is None:
            self._context = tls_context(self._tls)
        return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout_s, context=self._context)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """For connections that this process makes itself.

    Raises:
        OSError: the certificates cannot be used.
    """
    context = ssl.create_default_context(cafile=settings.ca_bundle or None)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_large_part(request: WireRequest) -> bool:
    """Whether it sends much out of memory. A part may be sent twice: no condition depends on how often it arrives."""
    body = request.body
    return request.operation == "UploadPart" and isinstance(body, bytes) and len(body) >= MIN_BULK_BYTES


class _Line:
    """One connection, its buffer, and its end: `close` may come from another thread and ends a call that waits."""

    def __init__(self, host: str, connection: http.client.HTTPConnection, stall_timeout_s: float) -> None:
        self.host = host
        self.buffer = memoryview(bytearray(BUFFER_BYTES))
        self._connection = connection
        self._stall_timeout_s = stall_timeout_s
        self._closed = False
        self.is_torn = False  # not all of a body was sent: whatever is answered, it is the last answer

    def ask(self, message: Message, body: bytes) -> http.client.HTTPResponse:
        """Send, and wait for the head of the answer. A connection that was closed since its last use is made anew, once."""
        used = self._connection.sock is not None
        try:
            return self._ask(message, body)
        except (ConnectionError, http.client.BadStatusLine):
            if not used or self._closed:
                raise
        self._connection.close()
        self.is_torn = False
        return self._ask(message, body)

    def _ask(self, message: Message, body: bytes) -> http.client.HTTPResponse:
        connection = self._connection
        if connection.sock is None:
            connection.connect()
            connection.sock.settimeout(self._stall_timeout_s)  # type: ignore[attr-defined]  # connected
        if self._closed:
            raise ConnectionAbortedError("nobody waits any more")
        connection.putrequest(message.method, message.path, skip_host=True, skip_accept_encoding=True)
        for name, value in message.headers:
            connection.putheader(name, value)
        connection.endheaders()
        view = memoryview(body)
        try:
            for at in range(0, len(body), SENT_BYTES):
                connection.send(view[at : at + SENT_BYTES])
        except (BrokenPipeError, ConnectionResetError):
            self.is_torn = True  # why, may have been answered before all was sent
        return connection.getresponse()

    def close(self) -> None:
        self._closed = True
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close it; nobody uses it."""
        self._connection.close()


class _Answer:
    """One request and what comes of it. `run` is its thread; the rest belongs to the loop."""

    def __init__(
        self, request: WireRequest, message: Message, line: _Line, result: asyncio.Future[WireResponse]
    ) -> None:
        self.line = line
        self.result = result
        self.clean = False
        self._request = request
        self._message = message
        self._sink: Callable[[Chunk], None] | None = request.sink
        self._gate = threading.Lock()
        self._left = False
        self._reusable = False

    def leave(self) -> None:
        """Nobody waits any more. The sink is not running when this returns, and is never called again: its file may be closed."""
        self.line.close()
        with self._gate:
            self._left, self._sink = True, None
            if self.clean:  # its thread is over, and left the connection to us
                self.line.release()

    def run(self, loop: asyncio.AbstractEventLoop) -> None:
        outcome: WireResponse | Exception
        try:
            outcome = self._receive()
        except _SinkError as failed:
            outcome = failed.error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, TimeoutError):
                reason = "no byte moved for too long"
            outcome = Unreachable(f"{self._request.operation}: {reason}")
            outcome.__cause__ = error
        with self._gate:
            self.clean = isinstance(outcome, WireResponse) and self._reusable and not self._left
            if not self.clean:
                self.line.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the answer
            loop.call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: WireResponse | Exception) -> None:
        if self.result.done():
            return
        if isinstance(outcome, Exception):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)

    def _receive(self) -> WireResponse:
        request = self._request
        sent = request.body if isinstance(request.body, bytes) else b""
        response = self.line.ask(self._message, sent)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if not 200 <= response.status < 300:
            body = response.read(MAX_ERROR_BODY_BYTES)
            self._reusable = self._is_clean_after(response)
            return WireResponse(response.status, headers, body, len(body))
        announced, most = response.length, request.bulk_bytes or MAX_ERROR_BODY_BYTES
        if self._sink is None:
            body = response.read(most + 1)  # one more shows that it is not the range that was asked for
            received = len(body)
        else:
            body, received = b"", self._pour(response)
        if announced is not None and received < min(announced, most + 1):
            raise http.client.IncompleteRead(b"", announced - received)
        self._reusable = self._is_clean_after(response)
        return WireResponse(response.status, headers, body, received)

    def _is_clean_after(self, response: http.client.HTTPResponse) -> bool:
        return response.isclosed() and not response.will_close and not self.line.is_torn

    def _pour(self, response: http.client.HTTPResponse) -> int:
        received, buffer = 0, self.line.buffer
        while count := response.readinto(buffer):
            with self._gate:
                if self._left or self._sink is None:
                    raise ConnectionAbortedError("nobody waits any more")
                try:
                    self._sink(buffer[:count])
                except OSError as error:
                    raise _SinkError(error) from error
            received += count
        return received


class _SinkError(Exception):
    """The caller's own file does not take the bytes: not the connection's fault."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error
