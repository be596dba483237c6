"""`[serve]`: what the daemon does besides its links."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.config.document import Document
from lakelink.config.settings import Section
from lakelink.errors import ConfigError

LOOPBACK = "127.0.0.1"
KEYS = ("metrics", "stop_within")
STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`metrics` None: nobody can read them over a port."""

    metrics: Address | None = None
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


def read_serve(document: Document) -> ServeSettings:
    """The section.

    Raises:
        ConfigError: it is wrong; the message names the setting, the file and the line.
    """
    section = Section(document, ("serve",), document.section("serve"))
    metrics = section.text("metrics", variable="LAKELINK_METRICS")
    stop_within = section.duration_s("stop_within", STOP_WITHIN_S)
    section.finish()
    try:
        address = parse_address(metrics.value) if metrics.value else None
    except ValueError as error:
        raise ConfigError(f"{metrics.origin}: {error}", hint='For example metrics = "127.0.0.1:9464".') from error
    return ServeSettings(address, stop_within.value)
