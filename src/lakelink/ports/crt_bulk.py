"""Large answers in one piece: awscrt's S3 client collects the body natively, and Python sees it once instead of once per 16 KiB.

It is used as a transport only. A request goes out as it was signed here, as one GET of one range: no splitting, no retries, no checksums, no
HEAD. What that client cannot do (a proxy of the settings, other patience) is left to the ordinary connections.

Sources: aws-c-s3 `s3_auto_ranged_get.c` (a message with a Range no larger than the part size is one request; its headers are kept) and
`s3_client.c` (a connection that moves less than a byte per second for 30 s is closed).
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lakelink.errors import Unreachable
from lakelink.ports.crt_io import Endpoint, TlsSettings, bootstrap, crt_error_name, tls_context
from lakelink.ports.wire import WireRequest, WireResponse

if TYPE_CHECKING:
    from awscrt.http import HttpRequest
    from awscrt.s3 import S3Client

log = logging.getLogger("lakelink.wire")

MIN_BULK_BYTES = 1 << 20  # below, setting one up costs more than it saves
MAX_BULK_BYTES = 8 << 20
HELD_BYTES = 64 << 20  # bodies in memory at once; whoever finds no room takes an ordinary connection
NATIVE_MEMORY_BYTES = 256 << 20  # the least that the native client accepts; HELD_BYTES keeps it far from that
NATIVE_STALL_S = 30.0
REST_S = 60.0  # after a failure: in small pieces, what arrived before a break is kept
PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


class BulkReceiver:
    """Receives answers of 1 to 8 MiB in one piece, for one endpoint and its virtual hosts. Belongs to one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: TlsSettings,
        *,
        connect_timeout_s: float,
        stall_timeout_s: float,
        proxy: str | None,
        environ: Mapping[str, str],
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._connect_timeout_s = connect_timeout_s
        # The native client takes proxies from the environment of the process alone, and its patience cannot be set.
        proxied = bool(proxy) or any(environ.get(name) or os.environ.get(name) for name in PROXY_VARIABLES)
        self._usable = not proxied and ":" not in endpoint.host and stall_timeout_s >= NATIVE_STALL_S
        self._client: S3Client | None = None
        self._held_bytes = 0
        self._rest_until = 0.0

    def takes(self, request: WireRequest, now_s: float) -> bool:
        """Whether this request should come here now."""
        size = request.bulk_bytes
        return (
            MIN_BULK_BYTES <= size <= MAX_BULK_BYTES
            and self._usable
            and self._held_bytes + size <= HELD_BYTES
            and now_s >= self._rest_until
        )

    async def send(self, request: WireRequest, message: HttpRequest) -> WireResponse:
        """As `S3Wire.send`, of a signed message.

        Raises:
            Unreachable: no whole answer; a sink may have got all of it. The next minute belongs to ordinary connections.
        """
        loop = asyncio.get_running_loop()
        answer = _Answer(request, loop)
        self._held_bytes += request.bulk_bytes
        try:
            return await answer.of(self._made(), message)
        except Unreachable as error:
            self._rest_until = loop.time() + REST_S
            log.info("wire.bulk_failed", extra={"reason": str(error)})
            raise
        finally:
            self._held_bytes -= request.bulk_bytes

    def close(self) -> None:
        """Let go of the native client; it ends when its last request has."""
        self._client = None
        self._usable = False

    def _made(self) -> S3Client:
        if self._client is None:
            from awscrt import s3

            secure = self._endpoint.tls
            self._client = s3.S3Client(
                bootstrap=bootstrap(),
                region="-",  # of signatures alone, which are made elsewhere
                tls_mode=s3.S3RequestTlsMode.ENABLED if secure else s3.S3RequestTlsMode.DISABLED,
                tls_connection_options=tls_context(self._tls).new_connection_options() if secure else None,
                part_size=MAX_BULK_BYTES,
                memory_limit=NATIVE_MEMORY_BYTES,
                max_active_connections_override=HELD_BYTES // MIN_BULK_BYTES,
                retry_config=s3.S3RetryConfig(retry_mode=s3.S3RetryMode.NONE),
                connect_timeout_ms=int(self._connect_timeout_s * 1000),
            )
        return self._client


class _Answer:
    """One request and what comes of it. The callbacks run on native threads, one at a time."""

    def __init__(self, request: WireRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._request = request
        self._loop = loop
        self._pieces: list[bytes] = []
        # Not a method of this object: a cycle would keep whole answers in memory until the next collection.
        self._sink: Callable[[bytes], None] | None = request.sink or self._pieces.append
        self._gate = threading.Lock()
        self._done: asyncio.Future[None] = loop.create_future()
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._received = 0
        self._failure: OSError | None = None
        self._error: Exception | None = None

    async def of(self, client: S3Client, message: HttpRequest) -> WireResponse:
        from awscrt.s3 import S3RequestType

        running = client.make_request(
            type=S3RequestType.GET_OBJECT,
            request=message,
            on_headers=self._on_headers,
            on_body=self._on_body,
            on_done=self._on_done,
        )
        try:
            await self._done
        except BaseException:
            running.cancel()
            with self._gate:  # whoever owns the sink may close its file now
                self._sink = None
            raise
        if self._failure is not None:
            raise self._failure
        if self._error is not None and not self._status >= 300:
            raise Unreachable(f"{self._request.operation}: {crt_error_name(self._error)}") from self._error
        headers = {name.lower(): value for name, value in self._headers}
        # The native client lets go of this object later than it is done: the bytes are the caller's alone.
        pieces, self._pieces, self._sink = self._pieces, [], None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return WireResponse(self._status, headers, body, self._received)

    def _on_headers(self, status_code: int, headers: list[tuple[str, str]], **_: Any) -> None:
        self._status, self._headers = status_code, headers

    def _on_body(self, chunk: bytes, **_: Any) -> None:
        with self._gate:
            if self._sink is None:
                return
            self._received += len(chunk)
            try:
                self._sink(chunk)
            except OSError as error:
                self._failure = error
                self._sink = None

    def _on_done(
        self,
        error: Exception | None,
        error_headers: list[tuple[str, str]] | None,
        error_body: bytes | None,
        status_code: int | None,
        **_: Any,
    ) -> None:
        self._error = error
        if error is not None and status_code and error_headers is not None:
            self._status, self._headers, self._pieces = status_code, error_headers, [error_body or b""]
            self._received = len(self._pieces[0])
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            return  # the loop is closed: nobody waits for the answer

    def _settle(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
