"""Whether both sides agree, as a user would look: paths, kinds, bytes, and metadata where both sides have it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lakelink.locations.s3.markers import marker_entry
from lakelink.locations.s3.metadata import entry_of_headers
from lakelink.model.entry import Kind, Posix, kind_of_mode
from lakelink.model.path import file_problem, is_own, is_utf8
from lakelink.testing.sim.answers import object_headers
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.objects import StoredObject

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Thing:
    """What is at a path."""

    kind: Kind
    data: bytes = b""
    posix: Posix | None = None


def files_view(
    files: Mapping[str, Inode], bytes_of: Callable[[Inode], bytes | bytearray] = lambda inode: inode.data
) -> dict[str, Thing]:
    """What a directory holds; `bytes_of`: what whoever opens a file reads."""
    return {
        path: Thing(
            kind_of_mode(inode.mode),
            b"" if inode.is_directory else bytes(bytes_of(inode)),
            Posix(stat.S_IMODE(inode.mode), inode.uid, inode.gid, inode.mtime_ns, inode.atime_ns),
        )
        for path, inode in files.items()
    }


def lake_view(objects: Mapping[str, StoredObject], prefix: str) -> tuple[dict[str, Thing], set[str]]:
    """What a prefix holds, with the directories that it implies; and the paths at which nothing can be said: keys that are no file, and keys that
    are an object and a prefix of others.
    """
    view: dict[str, Thing] = {}
    unclear: set[str] = set()
    for key, stored in sorted(objects.items()):
        if not key.startswith(prefix):
            continue
        path = key[len(prefix) :]
        marker = path.endswith("/") or not path
        path = path.removesuffix("/")
        if not path or is_own(path):
            continue
        if file_problem(path) is not None:
            unclear.add(path)
            continue
        headers = object_headers(stored, checksum=False) | {"content-length": str(len(stored.body))}
        entry = marker_entry(headers) if marker else entry_of_headers(headers, marker=False)
        if not marker and any(other.startswith(key + "/") for other in objects):
            unclear.add(path)
            continue
        view[path] = Thing(entry.kind, b"" if marker else stored.body, entry.posix)
        for above in _above(path):
            view.setdefault(above, Thing(Kind.DIR))
    return view, unclear


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def differences(files: Mapping[str, Thing], lake: Mapping[str, Thing], unclear: set[str], *, posix: bool) -> list[str]:
    """Where the two sides do not agree, in words; at and below `unclear` nothing is compared, nor are names that no key can be."""

    def compared(path: str) -> bool:
        return is_utf8(path) and not any(path == one or path.startswith(one + "/") for one in unclear)

    found = []
    for path in sorted(set(files) | set(lake), key=os.fsencode):
        here, there = files.get(path), lake.get(path)
        if not compared(path) or _agree(here, there, posix=posix):
            continue
        found.append(f"{path!r}: files {_shown(here)}, lake {_shown(there)}")
    return found[:_SHOWN]


def _agree(here: Thing | None, there: Thing | None, *, posix: bool) -> bool:
    if here is None or there is None:
        return here is there
    if here.kind is not there.kind or here.data != there.data:
        return False
    if not posix or here.kind is not Kind.FILE or here.posix is None or there.posix is None:
        return True
    mine, theirs = here.posix, there.posix
    return (mine.mode, mine.uid, mine.gid, mine.mtime_ns) == (theirs.mode, theirs.uid, theirs.gid, theirs.mtime_ns)


def _shown(thing: Thing | None) -> str:
    if thing is None:
        return "nothing"
    metadata = f" {thing.posix.mode:o} {thing.posix.mtime_ns}" if thing.posix else ""
    return f"{thing.kind.name.lower()} {thing.data[:40]!r}{metadata}"
