"""`[serve]`: what the daemon does besides its links."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lakelink.config.document import Document
from lakelink.config.private import read_secret
from lakelink.config.secret import Secret
from lakelink.config.settings import Section, Setting
from lakelink.errors import ConfigError

LOOPBACK = "127.0.0.1"
STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where stores push their events. The token is read when the daemon starts, from a variable or a file of its own."""

    address: Address
    token: Secret
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`metrics`, `webhook` None: nothing listens."""

    metrics: Address | None = None
    webhook: Webhook | None = None
    stop_within_s: float = STOP_WITHIN_S


def parse_address(text: str) -> Address:
    """`PORT`, `HOST:PORT` or `[v6]:PORT`. A bare port is on loopback.

    Raises:
        ValueError: it is none; one clear sentence.
    """
    host, colon, port = text.strip().rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535 or (colon and not host):
        raise ValueError(f"{text!r} is no port and no HOST:PORT")
    return Address(host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port))


def read_serve(document: Document, environ: Mapping[str, str] = os.environ) -> ServeSettings:
    """The section.

    Raises:
        ConfigError: it is wrong; the message names the setting, the file and the line.
    """
    section = Section(document, ("serve",), document.section("serve"), environ)
    metrics = _address(section.listen("metrics", variable="LAKELINK_METRICS"), "metrics")
    webhook = _address(section.listen("webhook"), "webhook")
    token = read_secret(section, "webhook_token", "the token", environ)
    cert, key = section.text("webhook_cert").value, section.text("webhook_key").value
    stop_within_s = section.duration_s("stop_within", STOP_WITHIN_S).value
    section.finish()
    if webhook is None and (token.reveal() or cert or key):
        raise ConfigError(
            f"{document.where('serve')}: a webhook is described, and it has no address",
            hint='webhook = "127.0.0.1:9777"',
        )
    return ServeSettings(metrics, Webhook(webhook, token, cert, key) if webhook else None, stop_within_s)


def _address(setting: Setting[str], key: str) -> Address | None:
    try:
        return parse_address(setting.value) if setting.value else None
    except ValueError as error:
        raise ConfigError(f"{setting.origin}: {error}", hint=f'For example {key} = "127.0.0.1:9464".') from error
