"""Looking at both sides as a user would, and saying what is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.realworld.ledger import Ledger, tokens_in
from tests.realworld.there import BUCKET

_OWN = ".lakelink"
_COPY = ".lakelink-conflict-"
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Thing:
    """What is at a path. `mode`, `mtime_ns` None: the side does not say."""

    kind: str
    data: bytes = b""
    mode: int | None = None
    mtime_ns: int | None = None

    def __str__(self) -> str:
        mode = "" if self.mode is None else f" {self.mode:o}"
        mtime = "" if self.mtime_ns is None else f" {self.mtime_ns}"
        return f"{self.kind} {len(self.data)} {self.data[:24]!r}…{self.data[-12:]!r}{mode}{mtime}"


def files_view(root: Path) -> dict[str, Thing]:
    """What the directory holds; empty bytes for what is no file and no link."""
    return {path: thing for path, thing in _walk(root) if path.partition("/")[0] != _OWN}


def _walk(root: Path) -> Iterator[tuple[str, Thing]]:
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            place = Path(folder, name)
            path = os.path.relpath(place, root)
            st = place.lstat()
            mode = stat.S_IMODE(st.st_mode)
            if stat.S_ISDIR(st.st_mode):
                yield path, Thing("directory", b"", mode)
            elif stat.S_ISLNK(st.st_mode):
                yield path, Thing("link", os.fsencode(place.readlink()))
            else:
                yield path, Thing("file", place.read_bytes(), mode, st.st_mtime_ns)


def trash_of(root: Path) -> list[bytes]:
    """All that the trash holds."""
    folder = root / _OWN / "trash"
    return [thing.data for _, thing in _walk(folder)] if folder.is_dir() else []


def lake_view(client: Any, prefix: str) -> dict[str, Thing]:
    """What the prefix holds, by key below it: keys of directories end in a slash."""
    view: dict[str, Thing] = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        for row in page.get("Contents", ()):
            path = row["Key"][len(prefix) + 1 :]
            if path and path.partition("/")[0] != _OWN:
                view[path] = _thing(path, client.get_object(Bucket=BUCKET, Key=row["Key"]))
    return view


def _thing(path: str, found: dict[str, Any]) -> Thing:
    said = found["Metadata"]
    mode = int(said["file-permissions"], 8) if "file-permissions" in said else None
    mtime = int(said["file-mtime"].removesuffix("ns")) if "file-mtime" in said else None
    data = found["Body"].read()
    if path.endswith("/"):
        return Thing("directory", data, None if mode is None else stat.S_IMODE(mode))
    if mode is not None and stat.S_ISLNK(mode):
        return Thing("link", data)
    return Thing("file", data, None if mode is None else stat.S_IMODE(mode), mtime)


def differences(files: dict[str, Thing], lake: dict[str, Thing]) -> list[str]:
    """Where the two sides do not agree, in words. Nothing is said of names that no key can be, nor of keys that are an object and a prefix as well:
    no directory can hold both, and the link leaves them alone.
    """
    told = {key.removesuffix("/"): thing for key, thing in lake.items()}
    unclear = {path for path in lake if any(other.startswith(f"{path}/") for other in lake) and not path.endswith("/")}
    for path in list(told):
        for above in Path(path).parents[:-1]:
            told.setdefault(str(above), Thing("directory"))
    found = []
    for path in sorted(set(files) | set(told), key=os.fsencode):
        if _is_odd(path) or any(path == one or path.startswith(f"{one}/") for one in unclear):
            continue
        here, there = files.get(path), told.get(path)
        if here is None or there is None or not _agree(here, there):
            found.append(f"{path!r}: here {here}, there {there}")
    return found[:_SHOWN]


def _agree(here: Thing, there: Thing) -> bool:
    if (here.kind, here.data) != (there.kind, there.data):
        return False
    said = [(here.mode, there.mode), (here.mtime_ns, there.mtime_ns)] if here.kind == "file" else []
    return all(mine == theirs for mine, theirs in said if theirs is not None)


def _is_odd(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def unaccounted(ledger: Ledger, files: dict[str, Thing], lake: dict[str, Thing], trash: list[bytes]) -> list[str]:
    """Tokens that are nowhere, and contents that no writer ever meant."""
    tokens: set[int] = set()
    for data in [thing.data for side in (files, lake) for thing in side.values()] + trash:
        tokens |= tokens_in(data)
    found = ledger.lost(tokens)
    for side, view in (("here", files), ("there", lake)):
        found += [
            f"{side}, {path!r} is torn: {thing}" for path, thing in view.items() if not ledger.is_whole(thing.data)
        ]
        found += [f"{side}, {path!r}: a conflict copy of one" for path in view if path.count(_COPY) > 1]
    return found[:_SHOWN]
