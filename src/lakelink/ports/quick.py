"""Small requests that somebody waits for, one after the other: on connections that the event loop itself serves.

A request on awscrt's connections goes to its thread and comes back in three calls that wait for the interpreter lock: fine where many are
under way at once, and most of the time and the processor of a small one that is waited for. Here it is one write and one read. It is signed
as all are, and nothing is tried again. What does not fit (large bodies, a proxy, more at once than there are places) is left to the ordinary
connections.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import cast

from lakelink.errors import Unreachable
from lakelink.ports.answer import Answer, NotHttp
from lakelink.ports.bulk import IDLE_S, Message, Terms, ssl_context
from lakelink.ports.crt_io import Endpoint, TlsSettings
from lakelink.ports.wire import WireRequest, WireResponse

log = logging.getLogger("lakelink.wire")

MAX_BODY_BYTES = 256 << 10  # sent; with its head it is copied once
AT_ONCE = 32  # whoever finds no place takes an ordinary connection


class QuickSender:
    """Connections to one endpoint and its virtual hosts. Belongs to one event loop."""

    def __init__(self, endpoint: Endpoint, tls: TlsSettings, terms: Terms) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._terms = terms
        self._usable = not terms.proxied
        self._context: ssl.SSLContext | None = None
        self._free: list[_Line] = []
        self._lent: set[_Line] = set()
        self._connecting = 0

    def takes(self, request: WireRequest) -> bool:
        """Whether this request should come here now."""
        body = request.body
        small = request.sink is None and (body is None or (isinstance(body, bytes) and len(body) <= MAX_BODY_BYTES))
        return small and self._usable and len(self._lent) + self._connecting < AT_ONCE

    async def send(self, request: WireRequest, message: Message) -> WireResponse | None:
        """As `S3Wire.send`, of a signed message. None: nothing was sent, it has to go the ordinary way.

        Raises:
            Unreachable: no whole answer; nobody knows whether the request took effect.
        """
        head = _head_of(message)
        if head is None:
            return None
        line = self._kept(request.host)
        if line is None:
            line = await self._connected(request.host)
            if line is None:
                return None
        self._lent.add(line)
        try:
            body = request.body if isinstance(request.body, bytes) else b""
            answer = await line.ask(head + body, is_head=request.method == "HEAD")
        except NotHttp as error:
            raise Unreachable(f"{request.operation}: {error} ({self._endpoint.url})") from error
        except OSError as error:
            reason = "no byte moved for too long" if line.expired else str(error) or type(error).__name__
            raise Unreachable(f"{request.operation}: {reason} ({self._endpoint.url})") from error
        finally:
            self._lent.discard(line)
            if line.is_open and self._usable:
                self._free.append(line)
            else:
                line.close()
        return WireResponse(answer.status, answer.headers, answer.body, answer.received)

    def sweep(self, now_s: float) -> None:
        """Close what was not used for a while (the oldest are in front), and give up what does not move."""
        while self._free and now_s - self._free[0].moved_at_s > IDLE_S:
            self._free.pop(0).close()
        for line in self._lent:
            line.give_up_if_still(now_s, self._terms.stall_timeout_s)

    @property
    def busy(self) -> int:
        """How many connections are to be looked after."""
        return len(self._free) + len(self._lent) + self._connecting

    def close(self) -> None:
        """Close all connections; requests under way fail with Unreachable."""
        self._usable = False
        while self._free:
            self._free.pop().close()
        for line in self._lent:
            line.close()

    def _kept(self, host: str) -> _Line | None:
        for number in reversed(range(len(self._free))):
            line = self._free[number]
            if not line.is_open:
                del self._free[number]
            elif line.host == host:
                return self._free.pop(number)
        return None

    async def _connected(self, host: str) -> _Line | None:
        """A new connection. None where there is none to be had this way: the ordinary way knows what is wrong, or gets on."""
        name = host.partition(":")[0] or self._endpoint.host  # a virtual host is a name, never an IPv6 address
        self._connecting += 1
        try:
            context = self._tls_context() if self._endpoint.tls else None
            async with asyncio.timeout(self._terms.connect_timeout_s):
                _, line = await asyncio.get_running_loop().create_connection(
                    lambda: _Line(host), name, self._endpoint.port, ssl=context
                )
        except (OSError, ValueError) as error:  # also TimeoutError, and all that TLS and names may be refused for
            if isinstance(error, ssl.SSLError):
                self._usable = False
                log.info("wire.quick_refused", extra={"reason": str(error)})
            return None
        finally:
            self._connecting -= 1
        return line

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl_context(self._tls)
        return self._context


def _head_of(message: Message) -> bytes | None:
    """The request line and the headers; None where that would not be what was signed."""
    lines = [f"{message.method} {message.path} HTTP/1.1", *(f"{name}: {value}" for name, value in message.headers)]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        return None
    return f"{text}\r\n\r\n".encode()


class _Line(asyncio.Protocol):
    """One connection, and the answer that is waited for."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.expired = False
        self.moved_at_s = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._moved: tuple[int, int] = (0, 0)  # received, and not sent yet, when it was last looked at
        self._received = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, data: bytes, *, is_head: bool) -> Answer:
        """Send, and wait for the whole answer. Cancelled, or after an error, the connection is closed."""
        transport = self._transport
        if transport is None:
            raise ConnectionAbortedError("the connection is closed")
        self._answer, self._waiter = Answer(head=is_head), asyncio.get_running_loop().create_future()
        self.moved_at_s = time.monotonic()
        transport.write(data)
        try:
            answer = await self._waiter
        except BaseException:
            self.close()
            raise
        if not answer.reusable:
            self.close()
        return answer

    def close(self) -> None:
        """At once; whoever waits hears of it. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def give_up_if_still(self, now_s: float, patience_s: float) -> None:
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if (self._received, unsent) != self._moved:
            self._moved, self.moved_at_s = (self._received, unsent), now_s
        elif now_s - self.moved_at_s > patience_s:
            self.expired = True
            self.close()

    # As asyncio calls it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._answer is None:  # nobody asked
            self.close()
            return
        self._go_on(lambda answer: answer.feed(data))

    def eof_received(self) -> None:
        if self._answer is not None:
            self._go_on(Answer.end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        waiter, self._waiter, self._answer = self._waiter, None, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(exc or ConnectionResetError("the connection was closed"))

    def _go_on(self, step: Callable[[Answer], None]) -> None:
        answer, waiter = self._answer, self._waiter
        if answer is None or waiter is None:
            return
        try:
            step(answer)
        except NotHttp as error:
            self._answer = None
            if not waiter.done():
                waiter.set_exception(error)
            return
        if answer.is_over:
            self._answer = self._waiter = None
            if not waiter.done():
                waiter.set_result(answer)
