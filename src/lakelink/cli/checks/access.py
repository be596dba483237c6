"""Credentials, region and endpoint by the usual AWS chain: found or not, and where. A secret is never read further than to see that it is there."""

from __future__ import annotations

import configparser
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lakelink.cli.checks.finding import Finding, Status, note, ok
from lakelink.model.units import format_duration

ANSWER_WITHIN_S = 5.0
# S3 answers RequestTimeTooSkewed from 15 minutes on (Amazon S3 API Reference, error responses).
SKEW_REFUSED_S = 900.0
SKEW_NOTED_S = 30.0
DEFAULT_REGION = "us-east-1"


class Found(NamedTuple):
    """A value and where it came from."""

    value: str
    origin: str


def access(*, needed: bool) -> Iterator[Finding]:
    """Findings about the default S3 access. Where it is not `needed`, what is missing is only a note."""
    bad = Status.FAIL if needed else Status.NOTE
    yield _credentials(bad)
    region = _region()
    yield ok("region", f"{region.value}, from {region.origin}")
    endpoint = _endpoint(region.value)
    yield ok("endpoint", f"{endpoint.value}, from {endpoint.origin}")
    yield from _reachable(endpoint.value, bad)


def _credentials(bad: Status) -> Finding:
    env = os.environ
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        return ok("credentials", f"{_masked(env['AWS_ACCESS_KEY_ID'])}, from the environment (AWS_ACCESS_KEY_ID)")
    profile, origin = _profile()
    for path in _aws_files():
        section = _section(path, profile)
        for key in ("aws_access_key_id", "role_arn", "credential_process", "sso_session", "sso_start_url"):
            if key in section:
                return ok("credentials", f"profile {profile} ({origin}), {key} in {path}")
    if env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return ok("credentials", "a web identity, from AWS_WEB_IDENTITY_TOKEN_FILE")
    for name in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        if env.get(name):
            return ok("credentials", f"a container role, from {name}")
    return Finding(
        "credentials",
        bad,
        f"none in the environment, nor for profile {profile} ({origin}); an instance role, if there is one, is asked when needed",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or name a profile in [locations.NAME].",
    )


def _masked(key_id: str) -> str:
    """Enough of the key's name (it is no secret) to tell which one it is."""
    return f"{key_id[:4]}…{key_id[-2:]}" if len(key_id) > 8 else "…"


def _profile() -> Found:
    name = os.environ.get("AWS_PROFILE")
    return Found(name, "from AWS_PROFILE") if name else Found("default", "by default")


def _aws_files() -> list[Path]:
    home = Path.home() / ".aws"
    return [
        Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"),
        Path(os.environ.get("AWS_CONFIG_FILE") or home / "config"),
    ]


def _section(path: Path, profile: str) -> Mapping[str, str]:
    """The keys of a profile; the config file writes `[profile NAME]`, the credentials file `[NAME]`."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, configparser.Error, UnicodeDecodeError):
        return {}
    for name in (profile, f"profile {profile}"):
        if parser.has_section(name):
            return dict(parser.items(name))
    return {}


def _region() -> Found:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if value := os.environ.get(name):
            return Found(value, name)
    profile = _profile().value
    for path in _aws_files():
        if value := _section(path, profile).get("region"):
            return Found(value, f"profile {profile} in {path}")
    return Found(DEFAULT_REGION, "the default")


def _endpoint(region: str) -> Found:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if value := os.environ.get(name):
            return Found(value, name)
    return Found(f"https://s3.{region}.amazonaws.com", "the region")


def _reachable(endpoint: str, bad: Status) -> Iterator[Finding]:
    """One unsigned request: any answer at all shows that a server is there, and its Date header what time it thinks it is."""
    began_s = time.monotonic()
    try:
        status, date = _ask(endpoint)
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield Finding(
            "store", bad, f"{endpoint} does not answer: {error}", "Check the endpoint, the network, a proxy (https_proxy) and its firewall."
        )  # fmt: skip
        return
    yield ok("store", f"{endpoint} answers (status {status}) in {format_duration(time.monotonic() - began_s)}")
    if date is not None:
        yield _skew(date, bad)


def _ask(endpoint: str) -> tuple[int, str | None]:
    """Status and Date header of the answer; proxies as the environment names them."""
    if urlsplit(endpoint).scheme not in {"http", "https"}:
        raise ValueError("an endpoint begins with http:// or https://")
    context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310  # the scheme was checked above
    try:
        with opener.open(request, timeout=ANSWER_WITHIN_S) as response:
            return response.status, response.headers["Date"]
    except urllib.error.HTTPError as refusal:  # a refusal is an answer as well
        with refusal:
            return refusal.code, refusal.headers["Date"]


def _skew(date: str, bad: Status) -> Finding:
    try:
        skew_s = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return note("clock", f"the store's Date header is not a date: {date!r}")
    # The header has whole seconds, so less than one second means nothing.
    size_s = abs(skew_s)
    if size_s < 1.5:
        return ok("clock", "agrees with the store's")
    found = f"{format_duration(size_s)} {'ahead of' if skew_s > 0 else 'behind'} the store's"
    todo = "Start a time service (systemd-timesyncd, chrony)."
    if size_s >= SKEW_REFUSED_S:
        return Finding("clock", bad, found, f"{todo} S3 refuses requests from 15 minutes on.")
    return note("clock", found, todo) if size_s >= SKEW_NOTED_S else ok("clock", found)
