"""Which endpoint and which region: what was said here, else the environment, else AWS; each answer says where it came from."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lakelink.errors import ConfigError
from lakelink.ports.crt_io import Endpoint

DEFAULT_REGION = "us-east-1"


class Resolved(NamedTuple):
    """A value and where it came from, for `lakelink doctor`."""

    value: str
    origin: str


def resolve_region(explicit: str, profile: str, environ: Mapping[str, str]) -> Resolved:
    """The region to sign for: explicit, AWS_REGION, AWS_DEFAULT_REGION, the profile's, else us-east-1."""
    if explicit:
        return Resolved(explicit, "the location's settings")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environ.get(name):
            return Resolved(environ[name], name)
    found = profile_value("region", profile, environ)
    return found or Resolved(DEFAULT_REGION, "default")


def resolve_endpoint(explicit: str, region: str, environ: Mapping[str, str]) -> Resolved:
    """The URL of the store: explicit, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else the regional endpoint of AWS."""
    if explicit:
        return Resolved(explicit, "the location's settings")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if environ.get(name):
            return Resolved(environ[name], name)
    return Resolved(aws_endpoint(region), "default")


def aws_endpoint(region: str) -> str:
    """The regional endpoint (AWS General Reference, Amazon S3 endpoints and quotas)."""
    return f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def is_aws(host: str) -> bool:
    """Whether AWS itself answers there: conditions and checksums are known to be honoured."""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def parse_endpoint(url: str) -> Endpoint:
    """The endpoint of a URL.

    Raises:
        ConfigError: not an http or https URL without a path.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"the endpoint {url!r} is not a URL: {error}", hint="Write https://HOST[:PORT].") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(
            f"the endpoint {url!r} is not of the form https://HOST[:PORT]", hint="Leave the bucket out of it."
        )
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname, port or (443 if tls else 80), tls)


def profile_value(key: str, profile: str, environ: Mapping[str, str]) -> Resolved | None:
    """A setting of the profile in the shared configuration file; None where there is none.

    Raises:
        ConfigError: the file cannot be read.
    """
    name = profile or environ.get("AWS_PROFILE") or "default"
    path = Path(environ.get("AWS_CONFIG_FILE") or Path.home() / ".aws" / "config")
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    section = name if name == "default" else f"profile {name}"
    value = parser.get(section, key, fallback="")
    return Resolved(value, f"[{section}] in {path}") if value else None
