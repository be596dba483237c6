"""`[gateway]`: where the SFTP gateway listens, what it offers, and its limits. Users and services below it are read by the parts that know them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakelink.config.document import Document
from lakelink.config.serve import Address, parse_address
from lakelink.config.settings import Section, Setting
from lakelink.errors import ConfigError

PORT = 2222
LISTEN = "LAKELINK_GATEWAY_LISTEN"
POLICIES = ("modern", "compatible")
SUBTABLES = ("users", "identity", "workflows")
"""Tables below [gateway] that other readers know."""
MOST_WORKERS = 64
LONGEST_BANNER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """Bounds. Those of half-open connections are of all workers together."""

    login_timeout_s: float = 60.0
    max_attempts: int = 6
    half_open_start: int = 25
    half_open_full: int = 100
    half_open_per_address: int = 20
    max_sessions: int = 1000
    max_sessions_per_user: int = 50
    max_channels: int = 10
    max_handles: int = 200
    idle_timeout_s: float = 1800.0
    spool_max_bytes: int = 10 << 30
    bans_after: int = 10
    bans_within_s: float = 600.0
    ban_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The section, checked."""

    listen: tuple[Address, ...]
    workers: int
    policy: str
    banner: str
    host_keys: tuple[str, ...]  # files; () = those in the state directory
    allow: tuple[str, ...]
    never_ban: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    audit_log: str  # a file; "" = audit.log in the state directory
    spool: str  # a directory; "" = in the state directory
    drain_s: float
    rename_replaces: bool  # a plain RENAME replaces what is there
    symlinks: bool  # clients may make symbolic links
    limits: GatewayLimits


def has_gateway(document: Document) -> bool:
    """Whether the daemon is to run one: the section is there, and does not say `enabled = false`."""
    return "gateway" in document.data and document.section("gateway").get("enabled", True) is not False


def read_gateway(document: Document, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
    """The section; without one, the defaults.

    Raises:
        ConfigError: it is wrong; the message names the setting, the file and the line.
    """
    table = {name: value for name, value in document.section("gateway").items() if name not in SUBTABLES}
    section = Section(document, ("gateway",), table, environ)
    section.flag("enabled", default=True)
    settings = GatewaySettings(
        listen=_listen(section, table, environ),
        workers=_workers(section),
        policy=section.choice("policy", POLICIES, POLICIES[0]).value,
        banner=_banner(section),
        host_keys=_absolute(section, "host_keys"),
        allow=_networks(section, "allow"),
        never_ban=_networks(section, "never_ban"),
        trusted_proxies=_networks(section, "trusted_proxies"),
        audit_log=_path(section, "audit_log"),
        spool=_path(section, "spool"),
        drain_s=section.duration_s("drain", 60.0).value,
        rename_replaces=section.flag("rename_replaces").value,
        symlinks=section.flag("symlinks").value,
        limits=_limits(section),
    )
    section.finish()
    return settings


def _listen(section: Section, table: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Address, ...]:
    if isinstance(table.get("listen"), list) and LISTEN not in environ:
        words: Setting[tuple[str, ...]] = section.texts("listen")
    else:
        one = section.text("listen", str(PORT), variable=LISTEN)
        words = Setting((one.value,), one.origin)
    try:
        found = tuple(parse_address(word) for word in words.value)
    except ValueError as error:
        raise ConfigError(f"{words.origin}: {error}", hint='For example listen = "0.0.0.0:2222".') from error
    if not found:
        raise ConfigError(f"{words.origin}: the list is empty", hint="Leave it out for 127.0.0.1:2222.")
    return found


def _workers(section: Section) -> int:
    workers = section.integer("workers", 1, minimum=1)
    if workers.value > MOST_WORKERS:
        raise ConfigError(f"{workers.origin}: at most {MOST_WORKERS}", hint="One for each core is as many as help.")
    return workers.value


def _limits(section: Section) -> GatewayLimits:
    default = GatewayLimits()

    def count(key: str, value: int) -> int:
        return section.integer(key, value, minimum=1).value

    full = count("max_half_open", default.half_open_full)
    return GatewayLimits(
        login_timeout_s=_at_least(section, "login_timeout", default.login_timeout_s, 1.0),
        max_attempts=count("max_attempts", default.max_attempts),
        half_open_start=max(1, full // 4),
        half_open_full=full,
        half_open_per_address=count("max_half_open_per_address", default.half_open_per_address),
        max_sessions=count("max_sessions", default.max_sessions),
        max_sessions_per_user=count("max_sessions_per_user", default.max_sessions_per_user),
        max_channels=count("max_channels", default.max_channels),
        max_handles=count("max_handles", default.max_handles),
        idle_timeout_s=section.duration_s("idle_timeout", default.idle_timeout_s).value,
        spool_max_bytes=section.size_bytes("spool_max", default.spool_max_bytes).value,
        bans_after=count("ban_after", default.bans_after),
        bans_within_s=_at_least(section, "ban_within", default.bans_within_s, 1.0),
        ban_s=_at_least(section, "ban_for", default.ban_s, 1.0),
    )


def _at_least(section: Section, key: str, default_s: float, least_s: float) -> float:
    seconds = section.duration_s(key, default_s)
    if seconds.value < least_s:
        raise ConfigError(f"{seconds.origin}: has to be at least {least_s:g} s")
    return seconds.value


def _networks(section: Section, key: str) -> tuple[str, ...]:
    setting = section.texts(key)
    for text in setting.value:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError(f"{setting.origin}: {error}", hint='For example "203.0.113.0/24".') from error
    return setting.value


def _path(section: Section, key: str) -> str:
    setting = section.text(key)
    if setting.value and not setting.value.startswith("/"):
        raise ConfigError(f"{setting.origin}: has to be an absolute path", hint="A daemon is started from anywhere.")
    return setting.value


def _absolute(section: Section, key: str) -> tuple[str, ...]:
    setting = section.texts(key)
    for text in setting.value:
        if not text.startswith("/"):
            raise ConfigError(
                f"{setting.origin}: {text} has to be an absolute path", hint="A daemon is started from anywhere."
            )
    return setting.value


def _banner(section: Section) -> str:
    """Shown to everybody before they log in: `banner` is the text itself, `banner_file` a file with it."""
    text, file = section.text("banner"), section.text("banner_file")
    if text.value and file.value:
        raise ConfigError(f"{file.origin}: there is a banner beside it", hint="Keep one of them.")
    if not file.value:
        return text.value
    try:
        return Path(file.value).read_bytes()[:LONGEST_BANNER_BYTES].decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"{file.origin}: {file.value} cannot be read: {error.strerror}") from error
