"""The event loop, name resolver, TLS and proxy settings of the AWS Common Runtime (awscrt): made once, late, and shared.

One event-loop thread for the whole process: the callbacks share the interpreter lock, and two threads were measured slower than one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from lakelink.errors import ConfigError

if TYPE_CHECKING:
    from awscrt.http import HttpProxyOptions
    from awscrt.io import ClientBootstrap, ClientTlsContext, SocketOptions

MAX_HOSTS = 64  # names the resolver remembers


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store answers."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own; IPv6 addresses in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    def named(self, host: str) -> Endpoint:
        """The same service by the name of a virtual host (`HOST:PORT`); "": by its own."""
        name = host.partition(":")[0]  # a virtual host is a name, never an IPv6 address
        return Endpoint(name or self.host, self.port, self.tls)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the other side proves who it is. `verify` False accepts anyone: only when it is asked for by name."""

    ca_bundle: str = ""
    verify: bool = True


@cache
def bootstrap() -> ClientBootstrap:
    """The process-wide bootstrap with its one event-loop thread."""
    from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

    group = EventLoopGroup(1)
    return ClientBootstrap(group, DefaultHostResolver(group, MAX_HOSTS))


@cache
def tls_context(settings: TlsSettings) -> ClientTlsContext:
    """The TLS context of these settings.

    Raises:
        ConfigError: the CA bundle cannot be read or holds no certificate.
    """
    from awscrt.exceptions import AwsCrtError
    from awscrt.io import ClientTlsContext, TlsContextOptions

    options = TlsContextOptions()
    options.verify_peer = settings.verify
    try:
        if settings.ca_bundle:
            options.override_default_trust_store_from_path(None, settings.ca_bundle)
        return ClientTlsContext(options)
    except (OSError, AwsCrtError) as error:
        raise ConfigError(
            f"the CA bundle {settings.ca_bundle or 'of the system'} cannot be used: {error}",
            hint="ca_bundle (or AWS_CA_BUNDLE) names a file of PEM certificates; without it the system's are used (package ca-certificates).",
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How patient connections are that this process makes itself, how many it may have per host, and whether a proxy is between: then there are none."""

    connect_timeout_s: float
    stall_timeout_s: float
    max_connections: int
    proxied: bool


def socket_options(connect_timeout_s: float) -> SocketOptions:
    """TCP with keep-alive and a bound on connecting."""
    from awscrt.io import SocketOptions

    options = SocketOptions()
    options.connect_timeout_ms = int(connect_timeout_s * 1000)
    options.keep_alive = True
    options.keep_alive_timeout_secs = 60
    options.keep_alive_interval_secs = 15
    options.keep_alive_max_probes = 4
    return options


def proxy_url(endpoint: Endpoint, setting: str | None, environ: Mapping[str, str]) -> str:
    """The proxy for this endpoint, "" for none: the setting, else https_proxy or http_proxy unless no_proxy names the host.

    As curl does it, upper-case HTTP_PROXY is not read (a CGI request header could set it).
    """
    if setting is not None:
        return setting
    names = ("https_proxy", "HTTPS_PROXY") if endpoint.tls else ("http_proxy",)
    found = next((environ[name] for name in names if environ.get(name)), "")
    return "" if found and _bypassed(endpoint, environ.get("no_proxy") or environ.get("NO_PROXY") or "") else found


def _bypassed(endpoint: Endpoint, no_proxy: str) -> bool:
    host = endpoint.host.lower()
    for item in no_proxy.lower().replace(" ", ",").split(","):
        name, _, port = item.partition(":")
        if port and port != str(endpoint.port):
            continue
        name = name.lstrip("*").lstrip(".")
        if item == "*" or (name and (host == name or host.endswith("." + name))):
            return True
    return False


def proxy_options(url: str, *, tunnel: bool) -> HttpProxyOptions | None:
    """What awscrt needs to go through the proxy at `url`; None without one.

    Raises:
        ConfigError: the URL is not that of an HTTP proxy.
    """
    if not url:
        return None
    from awscrt import http

    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(f"the proxy {parts.scheme}://{parts.hostname} is not supported", hint="Use http://HOST:PORT.")
    kind = http.HttpProxyConnectionType
    options = http.HttpProxyOptions(
        parts.hostname, parts.port or 8080, connection_type=kind.Tunneling if tunnel else kind.Forwarding
    )
    if parts.username:
        options.auth_type = http.HttpProxyAuthenticationType.Basic
        options.auth_username = unquote(parts.username)
        options.auth_password = unquote(parts.password or "")
    return options


def encode_checksum(value: int, size_bytes: int) -> str:
    """A checksum as S3 headers carry it: big-endian, base64 (Amazon S3 User Guide, Checking object integrity)."""
    return base64.b64encode(value.to_bytes(size_bytes, "big")).decode("ascii")


def crt_error_name(error: BaseException) -> str:
    """What awscrt calls this failure, without its number."""
    name: Any = getattr(error, "name", "") or type(error).__name__
    return str(name).removeprefix("AWS_").removeprefix("ERROR_").removeprefix("IO_").lower().replace("_", " ")
