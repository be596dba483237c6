"""One bucket of one store: builds requests, follows what the store asks for once, and turns refusals into errors."""

from __future__ import annotations

import logging
import re
from typing import NamedTuple, Protocol

from lakelink.locations.s3.keys import encode_key
from lakelink.locations.s3.metadata import SECOND_NS, parse_http_date_ns
from lakelink.locations.s3.options import Addressing, S3Options
from lakelink.locations.s3.translate import refusal, translate
from lakelink.ports.clock import Clock
from lakelink.ports.crt_endpoint import aws_endpoint, is_aws, parse_endpoint
from lakelink.ports.crt_io import Endpoint
from lakelink.ports.wire import S3Wire, WireRequest, WireResponse

log = logging.getLogger("lakelink.s3")

# A bucket of this form can be a host name below the endpoint; with dots the certificate of AWS does not cover it.
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]").fullmatch
_REGION = re.compile(r"[a-z0-9-]{1,40}").fullmatch  # it becomes part of a host name
MAX_SKEW_S = 900.0  # Amazon S3 API reference, RequestTimeTooSkewed: 15 minutes
_EXPIRED = frozenset({"ExpiredToken", "TokenRefreshRequired", "InvalidToken"})
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


class _SentAs(NamedTuple):
    """What a request was signed with."""

    generation: int
    region: str
    clock_offset_s: float


class Signer(Protocol):
    """What the client may turn on the signer below its wire."""

    region: str
    clock_offset_s: float

    @property
    def generation(self) -> int: ...

    @property
    def renewable(self) -> bool: ...

    @property
    def principal(self) -> str: ...

    def refresh(self, seen_generation: int) -> None: ...


class S3Client:
    """Sends requests about one bucket. Retries are the wire's business; what is followed here is a changed truth, once per request:
    credentials that expired, a clock that is off, a bucket in another region.
    """

    def __init__(
        self,
        wire: S3Wire,
        bucket: str,
        endpoint: Endpoint,
        clock: Clock,
        options: S3Options,
        signer: Signer | None = None,
    ) -> None:
        self.wire = wire
        self.bucket = bucket
        self.endpoint = endpoint
        self.options = options
        self.clock = clock
        self._signer = signer
        self._payer = [("x-amz-request-payer", "requester")] if options.requester_pays else []
        self.short: S3Wire | None = None
        """The wire without the layers that hold back and try again, for who goes the long way where this fails; None where requests are held back."""
        self._root = ""
        self._host = ""
        self._place(endpoint)

    def same_store(self, other: S3Client) -> bool:
        """Whether a server-side copy from `other` can work: the same service, and the same principal."""
        return self.wire is other.wire or (bool(self.store) and self.store == other.store)

    @property
    def store(self) -> str:
        """The service, and as whom it is spoken to; "" where that is not known."""
        return f"{self.endpoint} {self._signer.principal}" if self._signer is not None else ""

    def request(
        self, operation: str, method: str, key: str, *, query: str = "", headers: list[tuple[str, str]] | None = None
    ) -> WireRequest:
        """A request about an object of the bucket; about the bucket itself where `key` is empty."""
        return WireRequest(
            operation=operation,
            method=method,
            path=self._root + encode_key(key),
            query=query,
            headers=(headers or []) + self._payer,
            host=self._host,
        )

    async def call(self, request: WireRequest, name: str) -> WireResponse:
        """The answer of a request that was carried out.

        Raises:
            LakelinkError: what `translate` makes of the refusal, about `name`.
        """
        response = await self.send(request)
        if response.status >= 300:
            raise translate(request, response, self.bucket, name)
        return response

    async def send(self, request: WireRequest) -> WireResponse:
        """The answer, whatever its status, after following what the store asked for."""
        signer = self._signer
        if signer is None:
            return await self.wire.send(request)
        sent = _SentAs(signer.generation, signer.region, signer.clock_offset_s)
        response = await self.wire.send(request)
        if response.status in {301, 307, 400, 401, 403} and self._follow(signer, response, request, sent):
            response = await self.wire.send(request)
        return response

    def _follow(self, signer: Signer, response: WireResponse, request: WireRequest, sent: _SentAs) -> bool:
        """Whether the same request may be answered otherwise now. Many may be told the same at once: what counts is how this one was sent."""
        found = refusal(response)
        silent = request.method == "HEAD"  # its answer has no document that would name the reason
        if signer.renewable and (found.code in _EXPIRED or (silent and response.status in {400, 401})):
            log.warning("s3.credentials_expired", extra={"code": found.code})
            signer.refresh(sent.generation)
            return True
        server_ns = parse_http_date_ns(response.headers.get("date", ""))
        offset_s = (server_ns - self.clock.time_ns()) / SECOND_NS
        skewed = silent and abs(offset_s - sent.clock_offset_s) > MAX_SKEW_S
        if server_ns and (found.code == "RequestTimeTooSkewed" or skewed):
            log.warning("s3.clock_skew", extra={"offset_s": round(offset_s)})
            signer.clock_offset_s = offset_s
            return True
        moved = silent or found.code in _ELSEWHERE or response.status in {301, 307}
        if moved and found.region != sent.region and _REGION(found.region):
            log.warning("s3.region_changed", extra={"region": found.region})
            signer.region = found.region
            self._move(request, found.region)
            return True
        return False

    def _move(self, request: WireRequest, region: str) -> None:
        if is_aws(self.endpoint.host):
            self._place(parse_endpoint(aws_endpoint(region)))
            # The wire's own endpoint stays what it was: name the host, also for path style.
            self._host = self._host or parse_endpoint(aws_endpoint(region)).authority
        request.host = self._host

    def _place(self, endpoint: Endpoint) -> None:
        style = self.options.addressing
        if style is Addressing.AUTO:
            style = Addressing.VIRTUAL if is_aws(endpoint.host) and _HOST_LABEL(self.bucket) else Addressing.PATH
        virtual = style is Addressing.VIRTUAL
        self._root = "/" if virtual else f"/{encode_key(self.bucket)}/"
        self._host = f"{self.bucket}.{endpoint.authority}" if virtual else ""
