"""Reading a directory: what the location has there, and the folders that are mounted in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from lakelink.errors import NotFound, NotPermitted
from lakelink.gateway.folders.known import MOST_NAMES
from lakelink.gateway.folders.paths import joined
from lakelink.gateway.folders.places import Place, Places
from lakelink.locations.base import Batch, Browsable
from lakelink.model.entry import Entry, Kind, Posix, Row
from lakelink.model.path import display

MOST_LOOKS = 10_000  # of one listing: what lies behind it is shown with the times of the store


async def list_names(places: Places, path: str) -> AsyncIterator[list[tuple[str, Entry]]]:
    """Names in the directory with what is there, in groups, each name once.

    Raises:
        NotFound: there is no such directory.
    """
    spot = places.spot(path)
    mounted = places.mapping.names_in(path)
    if mounted:
        yield [(name, await _mounted(places, joined(path, name))) for name in mounted]
    if spot.folder is None:
        return
    place = await places.place(path)
    taken = set(mounted)
    left = MOST_LOOKS
    seen = set(mounted)
    try:
        async for batch in _batches(place):
            rows = [row for row in batch.rows if _name(row.path) not in taken]
            group, looked = await _entries(places, place, rows, left)
            left -= looked
            if len(seen) <= MOST_NAMES:
                seen.update(name for name, _ in group)
                seen.update(_name(problem.path) for problem in batch.problems)
                seen.update(_name(skipped.path) for skipped in batch.skipped)
            yield group
    except NotFound:
        # The top of a folder is there for its user, whether anything has been stored in it or not.
        if place.relative and not mounted:
            raise
    places.shared.known.saw_directory(place.text, place.relative)
    places.shared.known.listed(place.text, place.relative, seen)


async def is_empty(places: Places, place: Place) -> bool:
    """Whether nothing is in the directory."""
    if places.mapping.names_in(place.path):
        return False
    async for batch in _batches(place):
        if batch.rows or batch.problems or batch.skipped:
            return False
    return True


async def _mounted(places: Places, path: str) -> Entry:
    """The top of a folder, or a directory that leads to one: there, whether it can be looked at or not."""
    try:
        place = await places.place(path)
    except (NotPermitted, NotFound):
        return Entry(kind=Kind.DIR)
    found = await places.look(place)
    return found if found is not None and found.kind is Kind.DIR else Entry(kind=Kind.DIR)


def _batches(place: Place) -> AsyncIterator[Batch]:
    location = place.location
    if isinstance(location, Browsable):
        return location.list_directory(place.relative)
    return _walked(place)


async def _walked(place: Place) -> AsyncIterator[Batch]:
    """For a location that can only list everything."""
    found = False
    async for batch in place.location.scan(lambda path, _: not _leads_to(place.relative, path)):
        found = found or any(row.path == place.relative for row in batch.rows)
        yield Batch([row for row in batch.rows if row.path and row.path.rpartition("/")[0] == place.relative])
    if not found:
        raise NotFound(f"there is no directory {display(place.path)}")


def _leads_to(directory: str, path: str) -> bool:
    parent = path.rpartition("/")[0]
    return directory in {parent, path} or directory.startswith(path + "/")


async def _entries(places: Places, place: Place, rows: list[Row], most: int) -> tuple[list[tuple[str, Entry]], int]:
    """What the rows are; where listings know no metadata, that of the same version is remembered, or looked up."""
    known = places.shared.known
    found: dict[str, Entry] = {}
    unknown: list[str] = []
    for row in rows:
        entry = _told(row) if place.location.traits.posix_in_list else known.of_row(place.text, row)
        if entry is not None:
            found[row.path] = entry
            known.shown(place.text, row.path)
        elif len(unknown) < most:
            unknown.append(row.path)
    for path, looked in zip(unknown, await place.location.stat(unknown) if unknown else [], strict=True):
        if isinstance(looked, Entry):
            found[path] = looked
            known.saw(place.text, path, looked)
    await asyncio.sleep(0)
    return [(_name(row.path), found.get(row.path) or _told(row)) for row in rows], len(unknown)


def _told(row: Row) -> Entry:
    posix = (
        Posix(row.mode, row.uid, row.gid, row.mtime_ns, row.mtime_ns) if row.mtime_ns >= 0 and row.mode >= 0 else None
    )
    version = row.version if row.ident else None
    return Entry(kind=row.kind, size_bytes=0 if row.kind is Kind.DIR else row.size_bytes, posix=posix, version=version)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
