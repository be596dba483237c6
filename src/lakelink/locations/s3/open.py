"""Putting an S3 location together: endpoint, region, credentials and wire from settings and the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lakelink.core.backoff import Backoff
from lakelink.core.concurrency import ConcurrencyLimit, ConcurrencyPolicy
from lakelink.errors import UsageError
from lakelink.locations.base import LocationSpec
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.location import S3Location
from lakelink.locations.s3.options import S3Options
from lakelink.locations.wrap.wire_adaptive import AdaptiveWire
from lakelink.locations.wrap.wire_metered import MeteredWire
from lakelink.locations.wrap.wire_retrying import RetryingWire
from lakelink.locations.wrap.wire_throttled import ThrottledWire
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.crt import CrtWire, CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource, CrtSigner
from lakelink.ports.crt_endpoint import parse_endpoint, resolve_endpoint, resolve_region
from lakelink.ports.crt_io import TlsSettings
from lakelink.ports.random import SystemRandom
from lakelink.ports.wire import S3Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """How a store is reached and as whom. Everything left empty comes from the environment, as the AWS tools do it."""

    endpoint: str = ""
    region: str = ""
    credentials: CredentialSource = field(default_factory=CredentialSource)
    ca_bundle: str = ""
    verify: bool = True
    proxy: str | None = None
    sign_payload: bool = False
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 60.0
    max_connections: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How much, how fast, how patient. None: not limited; for `concurrency`: found out while running."""

    bytes_per_s: float | None = None
    requests_per_s: float | None = None
    concurrency: int | None = None
    backoff: Backoff = field(default_factory=Backoff)


Wrap = Callable[[S3Wire], S3Wire]


def split_url(url: str) -> tuple[str, str]:
    """(bucket, prefix) of `s3://bucket/prefix`.

    Raises:
        UsageError: not of that form.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UsageError(f"{url} is not of the form s3://BUCKET/PREFIX")
    return bucket, prefix.strip("/")


def open_s3(
    url: str,
    access: S3Access | None = None,
    options: S3Options | None = None,
    *,
    traffic: Traffic | None = None,
    wrap: Wrap | None = None,
    spec: LocationSpec | None = None,
    environ: Mapping[str, str] | None = None,
) -> S3Location:
    """The location at `s3://bucket/prefix`. Nothing is sent before the first verb.

    Around the native wire stand, from the inside: `wrap` (faults of a test), the meter, the throttle, the search for the right
    concurrency, and retries.

    Raises:
        UsageError, ConfigError: a setting is wrong.
    """
    access, options, clock = access or S3Access(), options or S3Options(), SystemClock()
    environment = os.environ if environ is None else environ
    bucket, prefix = split_url(url)
    region = resolve_region(access.region, access.credentials.profile, environment).value
    endpoint = parse_endpoint(resolve_endpoint(access.endpoint, region, environment).value)
    signer = CrtSigner(access.credentials, region, sign_payload=access.sign_payload, environ=environment)
    wire_options = CrtWireOptions(
        tls=TlsSettings(access.ca_bundle or environment.get("AWS_CA_BUNDLE", ""), access.verify),
        proxy=access.proxy,
        max_connections=access.max_connections,
        connect_timeout_s=access.connect_timeout_s,
        stall_timeout_s=access.stall_timeout_s,
    )
    wire: S3Wire = CrtWire(endpoint, signer, wire_options, environment)
    meter = MeteredWire(wrap(wire) if wrap else wire)
    client = S3Client(_layered(meter, traffic or Traffic(), clock), bucket, endpoint, clock, options, signer)
    if traffic is None or not (traffic.bytes_per_s or traffic.requests_per_s or traffic.concurrency):
        client.short = meter
    return S3Location(client, prefix, spec, meter=meter)


def _layered(wire: S3Wire, traffic: Traffic, clock: Clock) -> S3Wire:
    if traffic.bytes_per_s or traffic.requests_per_s:
        wire = ThrottledWire(wire, clock, bytes_per_s=traffic.bytes_per_s, requests_per_s=traffic.requests_per_s)
    policy = ConcurrencyPolicy()
    if traffic.concurrency is not None:
        policy = ConcurrencyPolicy(start=traffic.concurrency, most=traffic.concurrency)
    adaptive = AdaptiveWire(wire, clock, ConcurrencyLimit(policy))
    return RetryingWire(adaptive, clock, SystemRandom(), backoff=traffic.backoff)
