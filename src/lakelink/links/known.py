"""A link that is there already, and what it refuses others: its places, and other paths for itself."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from lakelink.config.document import Document
from lakelink.errors import ConfigError, LakelinkError, Refused
from lakelink.links.places import Place, lake_of, relation
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import display

IMMUTABLE = (
    "The paths of a link never change. Give the new one another name; `lakelink link remove` lets go of the old one."
)


@dataclasses.dataclass(frozen=True, slots=True)
class KnownLink:
    """One row of the registry: `files` and `lake` are canonical, as they were when the link was made."""

    spec: LinkSpec
    files: str
    lake: str
    withdrawn: bool

    @property
    def shown(self) -> LinkSpec:
        """A link whose section is gone rests, and is the commands' to change."""
        return dataclasses.replace(self.spec, paused=True, declared=False) if self.withdrawn else self.spec

    @property
    def declared(self) -> bool:
        return self.spec.declared and not self.withdrawn


def check_same_paths(row: KnownLink, spec: LinkSpec) -> None:
    """An update leaves ident and paths as they are.

    Raises:
        Refused: it does not.
    """
    old = row.spec
    if (spec.ident, spec.files, spec.lake) != (old.ident, old.files, old.lake):
        raise Refused(f"link {spec.name} keeps {old.files} and {old.lake} in step, and no others", hint=IMMUTABLE)


def check_unmoved(row: KnownLink, document: Document, where: str) -> None:
    """The lake is still the one that the link was made with. A directory that leads elsewhere is noticed by its marker.

    Raises:
        UsageError, ConfigError: it is another one, or none.
    """
    now = lake_of(row.spec.lake, document)
    if now != row.lake:
        raise ConfigError(
            f"{where}: the lake of link {row.spec.name} was {row.lake} and would now be {now}",
            hint=f"Is its location, endpoint or AWS_ENDPOINT_URL another one than when it was made? {IMMUTABLE}",
        )


def check_apart(spec: LinkSpec, place: Place, row: KnownLink, document: Document) -> None:
    """A new link shares no place with the one there is. The other's directory is not touched: it may be on a server that is away.

    Raises:
        Refused: it does; the message names that link.
    """
    old = Place(row.files, row.lake)
    lakes = [row.lake]
    with suppress(LakelinkError):  # a location that these settings do not know: where it led is known all the same
        lakes.append(lake_of(row.spec.lake, document))
    pairs = [
        (place.files, old.files, spec.files, row.spec.files),
        (place.device(), old.device(), spec.files, row.spec.files),
        *((place.lake, lake, spec.lake, row.spec.lake) for lake in lakes),
    ]
    for mine, theirs, what, whose in pairs:
        found = relation(mine, theirs) if mine and theirs else None
        if found:
            resting = f"Its section is gone; `lakelink link remove {row.spec.name}` lets go of it."
            raise Refused(
                f"{display(what)} {found} {display(whose)} of link {row.spec.name}: both would carry the same files",
                hint=resting if row.withdrawn else "Links share no directory and no prefix. Choose one beside it.",
            )
