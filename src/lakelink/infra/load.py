"""The specification from the settings file, and the links beside it whose prefixes must not be synced twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakelink.config.document import Document, load_document
from lakelink.errors import ConfigError
from lakelink.infra.decode import decode
from lakelink.infra.spec import LakeSpec

SECTION = "infra"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A specification, where it was read, and the lakes (name to `s3://` URL) of the links in the same file."""

    spec: LakeSpec
    path: Path
    lakes: Mapping[str, str]


def load(config: str | None = None) -> Loaded:
    """The specification of the settings file that holds: the one named, else as everywhere in lakelink.

    Raises:
        ConfigError: no file, not TOML, no [infra] in it, or keys and types that are wrong; all of them are named.
    """
    document = load_document(config)
    if document.path is None or SECTION not in document.data:
        what = "there is no lakelink.toml" if document.path is None else f"{document.path} has no [infra]"
        raise ConfigError(
            what, hint="Write [infra] with name and region into lakelink.toml, or name a file with --config."
        )
    spec = decode(document.section(SECTION), where=f"{document.where(SECTION)} [infra]")
    return Loaded(spec, document.path, _lakes(document))


def _lakes(document: Document) -> dict[str, str]:
    """The lake of each link as a URL; names of locations are resolved."""
    locations = {name: str(table.get("url", "")) for name, table in document.section("locations").items()}
    found = {}
    for name, link in document.section("links").items():
        lake = str(link.get("lake", ""))
        location, colon, below = lake.partition(":")
        if colon and not lake.startswith("s3://") and location in locations:
            lake = f"{locations[location].rstrip('/')}/{below}"
        if lake.startswith("s3://"):
            found[name] = lake
    return found
