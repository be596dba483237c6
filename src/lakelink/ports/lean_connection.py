"""One HTTP/1.1 connection of asyncio's, its answers parsed by llhttp."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from httptools import HttpResponseParser

MAX_HEAD_BYTES = 64 << 10  # of an answer
MAX_ERROR_BODY_BYTES = 64 << 10


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
        # Of a connection that the other side closed first, asyncio would tell the loss a second time.
        if self._transport is not None and not self._lost:
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
