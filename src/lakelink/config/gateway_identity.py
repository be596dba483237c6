"""`[gateway.identity]`: a service outside that knows users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lakelink.config.document import Document
from lakelink.config.private import read_secret
from lakelink.config.secret import Secret
from lakelink.config.settings import Section
from lakelink.errors import ConfigError

LONGEST_TIMEOUT_S = 60.0
LONGEST_CACHE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The section, checked. `locations`: what homes have to lie in; () = anywhere."""

    url: str
    token: Secret
    ca_bundle: str = ""
    timeout_s: float = 5.0
    cache_s: float = 10.0
    locations: tuple[str, ...] = ()


def read_identity(document: Document, environ: Mapping[str, str] = os.environ) -> Identity | None:
    """The section; None = there is none.

    Raises:
        ConfigError: it is wrong; the message names the setting.
    """
    table = document.section("gateway").get("identity")
    if table is None:
        return None
    section = Section(document, ("gateway", "identity"), table, environ)
    url = section.text("url").value
    if not url:
        raise ConfigError(f"{section.where('url')} is missing", hint='For example url = "https://id.example.com/sftp".')
    identity = Identity(
        url=url,
        token=read_secret(section, "token", "the token", environ),
        ca_bundle=section.text("ca_bundle").value,
        timeout_s=_between(section, "timeout", 5.0, LONGEST_TIMEOUT_S),
        cache_s=_between(section, "cache", 10.0, LONGEST_CACHE_S),
        locations=section.texts("locations").value,
    )
    section.finish()
    return identity


def _between(section: Section, key: str, default_s: float, most_s: float) -> float:
    setting = section.duration_s(key, default_s)
    if not 0 <= setting.value <= most_s or (key == "timeout" and not setting.value):
        raise ConfigError(f"{setting.origin} has to be above zero and at most {most_s:g} s")
    return setting.value
