"""Which settings file is used, and whether it can be read as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.cli.checks.finding import Finding, fail, ok
from lakelink.config.document import VARIABLE, Document, find_document, load_document
from lakelink.config.locations import read_locations
from lakelink.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings say, as far as they can be read. `document` is None where they cannot."""

    finding: Finding
    document: Document | None = None
    locations: tuple[str, ...] = ()


def read_settings(config: str | None) -> Settings:
    """Read everything that is interpreted; a mistake is a finding."""
    try:
        path = find_document(config)
        document = load_document(config)
        locations = read_locations(document)
    except ConfigError as error:
        return Settings(fail("settings", error.message, error.hint))
    named = f"{len(locations)} named location{'' if len(locations) == 1 else 's'}"
    found = (
        f"{path}, {named}"
        if path
        else f"no file (looked for --config, ${VARIABLE}, ./lakelink.toml, /etc/lakelink/lakelink.toml)"
    )
    return Settings(ok("settings", found), document, tuple(locations))
