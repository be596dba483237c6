"""As much of HTTP/1.1 (RFC 9112) as a small server needs: one request per connection, everything bounded, nothing guessed.

A request that is longer, slower or stranger than it may be is answered with its status and the connection is closed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

HEAD_BYTES = 16 << 10
BODY_BYTES = 4 << 20  # a call with as many paths as a command line holds
READ_WITHIN_S = 10.0

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,2048}) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")


class BadRequest(Exception):
    """What arrived is not a request that this server takes."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; names of fields in lower case."""

    method: str
    target: str
    fields: Mapping[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The request; None where the peer left without asking anything. The reader's limit has to be `HEAD_BYTES`.

    Raises:
        BadRequest: it is too long, too slow, or no request.
    """
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, fields = _parse_head(head)
            body = await reader.readexactly(_body_bytes(fields))
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the request broke off") from error
    except asyncio.LimitOverrunError as error:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long") from error
    except TimeoutError as error:
        raise BadRequest(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive") from error
    return HttpRequest(method, target, fields, body)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head[:-4].split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the first line is no request")
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header line is malformed")
        name = field[1].decode("ascii").lower()
        # Two lengths are how requests are smuggled; nothing that we read may be repeated.
        if name in fields and name in {"content-length", "transfer-encoding", "authorization", "host"}:
            raise BadRequest(HTTPStatus.BAD_REQUEST, f"{name} is given twice")
        fields[name] = field[2].decode("latin-1")
    return request_line[1].decode("ascii"), request_line[2].decode("ascii"), fields


def _body_bytes(fields: Mapping[str, str]) -> int:
    if "transfer-encoding" in fields:
        raise BadRequest(HTTPStatus.NOT_IMPLEMENTED, "a body needs its Content-Length")
    length = fields.get("content-length", "0")
    if not length.isascii() or not length.isdecimal():
        raise BadRequest(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
    if len(length) > len(str(BODY_BYTES)) or int(length) > BODY_BYTES:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {BODY_BYTES} bytes")
    return int(length)


def response_head(status: HTTPStatus, content_type: str, size_bytes: int | None) -> bytes:
    """Status line and header of an answer, the last on its connection; without a size it ends where the connection ends."""
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if size_bytes is not None:
        lines.append(f"Content-Length: {size_bytes}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
