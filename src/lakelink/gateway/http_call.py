"""One HTTP request, one answer, within a deadline: for webhooks and the identity service. No redirects, no proxies, no cookies; bounded in memory."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from lakelink import __version__
from lakelink.errors import ConfigError, Unreachable, Untrusted

MOST_HEADER_BYTES = 64 << 10
MOST_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `ca_bundle` "" = the system's authorities."""

    url: str
    ca_bundle: str = ""
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes = field(repr=False)


def check_url(url: str, where: str) -> None:
    """Https to anywhere, http to this machine alone: what is sent must not be seen on the way.

    Raises:
        ConfigError: it is neither. The message repeats no user information.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ConfigError(f"{where} has a user in it", hint="Name a file with a token instead.")
    try:
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    is_http = parts.scheme == "http" and is_loopback(host)
    if not host or not (parts.scheme == "https" or is_http) or any(char <= " " or char > "~" for char in url):
        raise ConfigError(
            f"{where} has to be an https:// URL, or http:// to this machine",
            hint="For example https://hooks.example.com/arrived.",
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def post(endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send a JSON document and return the answer, whatever its status. All in all it takes no longer than the endpoint's `timeout_s`.

    Raises:
        Unreachable: no connection, no complete answer in time, or one that is no HTTP or too long. Whether it was received is not known.
        Untrusted: its certificate is not accepted.
    """
    parts = urlsplit(endpoint.url)
    place = f"{parts.scheme}://{parts.netloc}"
    try:
        async with asyncio.timeout(endpoint.timeout_s):
            return await _exchange(parts, endpoint, body, headers)
    except TimeoutError as error:
        raise Unreachable(
            f"{place} did not answer within {endpoint.timeout_s:g} s", hint="Is the service up, and quick enough?"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(
            f"the certificate of {place} is not accepted: {error.verify_message}",
            hint="ca_bundle names the authorities of your own.",
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise Unreachable(f"{place} gave no answer: {error}", hint="Is the service up?") from error


async def _exchange(parts: SplitResult, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> Answer:
    context = ssl.create_default_context(cafile=endpoint.ca_bundle or None) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context, limit=MOST_HEADER_BYTES)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"User-Agent: lakelink/{__version__}", "Content-Type: application/json",
            "Accept: application/json", f"Content-Length: {len(body)}", "Connection: close", *(f"{name}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()
        return await _answer(reader)
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    status = 100
    fields: dict[str, str] = {}
    while 100 <= status < 200:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise ValueError("it does not speak HTTP")
        status = int(rest[:3])
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in fields.get("transfer-encoding", "").lower():
        return Answer(status, await _chunked(reader))
    length = int(fields["content-length"]) if "content-length" in fields else -1
    if length > MOST_BODY_BYTES:
        raise ValueError("its answer is too long")
    body = await reader.readexactly(length) if length >= 0 else await _rest(reader)
    return Answer(status, body)


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    parts, total = [], 0
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        total += size
        if total > MOST_BODY_BYTES or size < 0:
            raise ValueError("its answer is too long")
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(parts)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    parts, total = [], 0
    while part := await reader.read(64 << 10):
        total += len(part)
        if total > MOST_BODY_BYTES:
            raise ValueError("its answer is too long")
        parts.append(part)
    return b"".join(parts)
