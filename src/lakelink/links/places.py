"""Where a link lives on both sides, told apart whatever it is called: through symlinks, bind mounts and named locations."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from lakelink.config.document import Document
from lakelink.errors import UsageError
from lakelink.locations.base import LocationSpec
from lakelink.locations.resolve import canonical_url, local_path, parse_location
from lakelink.model.path import is_utf8

Relation: TypeAlias = Literal["is the same place as", "lies inside", "lies around"]
_MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Place:
    """Both ends of a link, canonical: equal text is the same place."""

    files: str  # file:// URL of the real path
    lake: str

    @property
    def path(self) -> str:
        """The real path of the directory."""
        return local_path(LocationSpec(self.files))

    def device(self) -> str:
        """The directory by its device, as it is mounted now: the same through any bind mount. The directory itself is not touched."""
        try:
            return device_path(os.fsencode(self.path), _MOUNTINFO.read_bytes())
        except OSError:
            return ""


def place_of(files: str, lake: str, document: Document) -> Place:
    """Where these two locations lead now. Nothing is opened; a directory that is not there yet has a place as well.

    Raises:
        UsageError, ConfigError: one of them is no location, `files` is no directory of this machine, or `lake` is one.
    """
    spec = parse_location(files, document)
    if not spec.url.startswith("file://"):
        raise UsageError(f"{files} is no directory of this machine", hint="First the directory, then the store.")
    return Place(canonical_url(spec), lake_of(lake, document))


def lake_of(lake: str, document: Document) -> str:
    """Where the location of a lake leads with these settings and this environment, as a canonical URL.

    Raises:
        UsageError, ConfigError: it is no location, or a directory.
    """
    spec = parse_location(lake, document)
    if spec.url.startswith("file://"):
        raise UsageError(f"{lake} is a directory, not an S3 prefix", hint="Write s3://BUCKET/PREFIX, or NAME:PREFIX.")
    return canonical_url(spec)


def absolute(files: str, document: Document) -> str:
    """The directory as it is remembered: a path that means the same wherever a process is started. A named location stays named."""
    spec = parse_location(files, document)
    if spec.name or not spec.url.startswith("file://"):
        return files
    path = local_path(spec)
    return path if is_utf8(path) else spec.url


def relation(one: str, other: str) -> Relation | None:
    """How a place, as a URL or path, stands to another; None = apart. Components count, not letters: `a/b` and `a/bc` are apart."""
    here, there = one.rstrip("/") + "/", other.rstrip("/") + "/"
    if here == there:
        return "is the same place as"
    if here.startswith(there):
        return "lies inside"
    if there.startswith(here):
        return "lies around"
    return None


def device_path(real: bytes, mountinfo: bytes) -> str:
    """A real path as device and path inside its file system (proc(5), /proc/pid/mountinfo: fields 3, 4 and 5); "" where no mount fits.

    Two mounts of one file system, or a bind mount, lead to the same text. The last mount of a path hides those before it.
    """
    best: tuple[int, bytes, bytes, bytes] | None = None
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if len(fields) < 5:
            continue
        device, inside, top = fields[2], _unescaped(fields[3]), _unescaped(fields[4])
        below = top.rstrip(b"/") + b"/"
        if (real.rstrip(b"/") + b"/").startswith(below) and (best is None or len(below) >= best[0]):
            best = (len(below), device, inside, real[len(below) :])
    if best is None:
        return ""
    _, device, inside, rest = best
    path = inside.rstrip(b"/") + (b"/" + rest if rest else b"")
    return f"{device.decode('ascii', 'replace')}:{quote(path or b'/')}"


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
