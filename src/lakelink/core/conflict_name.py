"""The name of a conflict copy: the same version of the same file on the same host always gets the same one, so that a repetition finds its own copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import xxhash

from lakelink.model.path import MAX_COMPONENT_BYTES, join, split

DIGEST_DIGITS: Final = 8
_NAMES: Final = 8
_MAX_HOST = 32
_MARK: Final = ".lakelink-conflict-"
_COPY: Final = re.compile(r"(?P<stem>.+)\.lakelink-conflict-[A-Za-z0-9_-]+-[0-9a-f]{8,32}(?P<ext>\.[^.]*)?", re.DOTALL)
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]+")


def conflict_name(path: str, host: str, digest: str, digits: int = DIGEST_DIGITS) -> str:
    """Where the version whose content has this hexadecimal digest is kept, with so many digits of it: `stem.lakelink-conflict-HOST-DIGEST.ext` beside the path.

    A conflict copy that is in conflict itself takes the stem of its original: names are never nested.
    """
    parent, name = split(path)
    copy = _COPY.fullmatch(name)
    if copy:
        stem, ext = copy["stem"], copy["ext"] or ""
    else:
        stem, dot, last = name.rpartition(".")
        stem, ext = (stem, dot + last) if stem else (name, "")
    mark = f"{_MARK}{_FOREIGN.sub('-', host)[:_MAX_HOST].strip('-') or 'host'}-{digest[:digits]}"
    room = MAX_COMPONENT_BYTES - len(mark) - len(ext.encode("utf-8", "surrogateescape"))
    if room < 1:
        stem, ext, room = name, "", MAX_COMPONENT_BYTES - len(mark)
    stem = stem.encode("utf-8", "surrogateescape")[:room].decode("utf-8", "ignore")
    return join(parent, f"{stem}{mark}{ext}")


def conflict_names(path: str, host: str, digest: str) -> Iterator[str]:
    """The name of the copy, and others to be tried in order where something else has it: a copy that somebody edited."""
    for number in range(_NAMES):
        yield conflict_name(path, host, xxhash.xxh3_128_hexdigest(f"{digest} {number}".encode()) if number else digest)


def is_conflict_copy(path: str) -> bool:
    """Whether the name is one that `conflict_name` gives."""
    return _COPY.fullmatch(split(path)[1]) is not None
