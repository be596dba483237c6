"""What a store says: error documents, dates, and the headers of an object."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.sim.objects import StoredObject

_SECOND_NS = 1_000_000_000


class Refused(Exception):
    """The request is not carried out; the answer says why."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def refusal(request: WireRequest, status: int, code: str) -> WireResponse:
    """An error document; HEAD has none."""
    body = f"<Error><Code>{code}</Code><Message>{request.operation}</Message></Error>".encode()
    return answer(b"" if request.method == "HEAD" else body, status=status)


def answer(body: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    return WireResponse(status, dict(headers or {}), body, len(body))


def http_date(time_ns: int) -> str:
    """A date as headers carry it: whole seconds."""
    return format_datetime(datetime.fromtimestamp(time_ns // _SECOND_NS, UTC), usegmt=True)


def iso_date(time_ns: int) -> str:
    """A date as listings carry it."""
    return f"{datetime.fromtimestamp(time_ns // _SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def object_headers(found: StoredObject, *, checksum: bool) -> dict[str, str]:
    """As HEAD gives them, without Content-Length."""
    headers = dict(found.headers)
    headers["etag"] = f'"{found.etag}"'
    headers["last-modified"] = http_date(found.modified_ns)
    if found.version_id:
        headers["x-amz-version-id"] = found.version_id
    if checksum and found.checksum is not None:
        headers[found.checksum[0]] = found.checksum[1]
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return headers


def text(value: str) -> str:
    """A key in a document."""
    return escape(value).replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")
