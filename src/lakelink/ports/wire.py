"""One S3 request, one response: the door to every S3-compatible store.

The simulator and the wrappers (retry, throttle, meter, faults) stand at this port, so they act per request, that is per part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

Chunk: TypeAlias = bytes | memoryview
"""A piece of a body, as it came. A view is good for the length of the call that hands it over: its memory is used again."""


class Body(Protocol):
    """A request body that is read in place and can be read again. An OSError of it is raised by `send` as it is."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(slots=True)
class WireRequest:
    """One request, not signed yet.

    `path` is the raw request path as it goes on the wire (percent-encoded, bucket included for path style), `query` likewise without
    "?". `body` is bytes or a re-seekable reader (`readinto`, `seek`) of exactly `body_bytes`. With `sink`, the bytes of a 2xx body go there in
    order, from another thread, and `WireResponse.body` stays empty; an error body is always collected. An OSError of the sink is raised by
    `send` as it is. Once `send` returned or raised, the sink is not called any more: its file may be closed.

    `bulk_bytes` is how long the body of a 2xx answer will be, where that is known: it may then come by a way that is made for large ones.
    0: it may not.
    """

    operation: str  # as S3 names it: GetObject, UploadPart … : metrics, policies, errors
    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Body | None = None
    body_bytes: int = 0
    sink: Callable[[Chunk], None] | None = None
    bulk_bytes: int = 0
    host: str = ""  # "" = the endpoint's own; virtual-hosted addressing names the bucket's


class Message(Protocol):
    """A signed request: awscrt's HttpRequest."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Iterable[tuple[str, str]]: ...


@dataclass(slots=True)
class WireResponse:
    """Status, headers with lower-case names, and the body where no sink took it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    body_bytes: int = 0  # received, also where a sink took them


class S3Wire(Protocol):
    """Sends signed requests over pooled connections. Never retries, never follows redirects, never interprets a status."""

    async def send(self, request: WireRequest) -> WireResponse:
        """The complete response, whatever its status.

        A cancelled call closes its connection. Not atomic: after Unreachable nobody knows whether the request took effect.

        Raises:
            Unreachable: no connection, reset, truncated body, TLS refused, or no progress for the wire's time limit.
            NotPermitted: no credentials could be found or refreshed.
        """
        ...

    async def aclose(self) -> None: ...
