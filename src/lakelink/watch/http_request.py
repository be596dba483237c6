"""One HTTP/1.1 request from a peer that nobody trusts: everything has a limit and a deadline (RFC 9112)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024  # an event of SeaweedFS names every chunk of a file, before and after
IDLE_S = 75.0  # between two requests on one connection
HEADER_S = 10.0
BODY_S = 30.0
WRITE_S = 10.0
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Rejected(Exception):
    """The request is not answered with 200; the connection is closed after the answer, since its body was not read."""

    def __init__(self, status: int, *headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and header fields; names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool

    @property
    def length(self) -> int:
        """The size of the body.

        Raises:
            Rejected: none is given (a body in chunks has no limit that is known beforehand), or it is too large.
        """
        text = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not text:
            raise Rejected(411)
        if not (text.isascii() and text.isdecimal()) or len(text) > 18:
            raise Rejected(400)
        if int(text) > MAX_BODY_BYTES:
            raise Rejected(413)
        return int(text)


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next request of the connection; None when the peer is done.

    Raises:
        Rejected: not HTTP/1.x, too long or too slow.
    """
    try:
        async with asyncio.timeout(IDLE_S):
            first = await reader.read(1)
    except (TimeoutError, ConnectionError):
        return None
    if not first:
        return None
    try:
        async with asyncio.timeout(HEADER_S):
            raw = first + await reader.readuntil(b"\r\n\r\n")
    except TimeoutError as error:
        raise Rejected(408) from error
    except asyncio.LimitOverrunError as error:
        raise Rejected(431) from error
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return parse_head(raw)


def parse_head(raw: bytes) -> Head:
    """The request line and the fields.

    Raises:
        Rejected: not HTTP/1.x, or something in it can be read in two ways.
    """
    lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.rpartition(" ")
    if version not in {"HTTP/1.0", "HTTP/1.1"} or not method.isalpha() or not target.startswith("/"):
        raise Rejected(400)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.lower()
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise Rejected(400)
        if key in headers and key in {"content-length", "authorization", "transfer-encoding"}:
            raise Rejected(400)
        headers[key] = value.strip()
    wants = headers.get("connection", "").lower()
    keep_alive = wants == "keep-alive" if version == "HTTP/1.0" else wants != "close"
    return Head(method, target.partition("?")[0], headers, keep_alive)


async def read_body(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
    """The whole body; None when the peer left.

    Raises:
        Rejected: too large, without a length, or too slow.
    """
    length = head.length
    if head.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(BODY_S):
            return await reader.readexactly(length)
    except TimeoutError as error:
        raise Rejected(408) from error
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def answer(writer: asyncio.StreamWriter, status: int, *headers: str, close: bool = False) -> None:
    """Send the answer, without a body. A peer that does not take it loses its connection: TimeoutError, ConnectionError."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", "Content-Length: 0", *headers]
    if close:
        lines.append("Connection: close")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    async with asyncio.timeout(WRITE_S):
        await writer.drain()
