"""Opening files: what an OPEN means for what is there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lakelink.errors import ChangedWhileRead, Declined, NotFound, PreconditionFailed
from lakelink.gateway.folders.places import Place, Places
from lakelink.gateway.folders.quota import Quota
from lakelink.handles.open import open_writer
from lakelink.handles.reader import Reader, open_reader
from lakelink.handles.writer import Target, Writer
from lakelink.model.entry import Entry, Kind, Posix
from lakelink.model.path import display

ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a client wants to do with a file."""

    read: bool = False
    write: bool = False
    append: bool = False
    create: bool = False
    truncate: bool = False
    exclusive: bool = False
    mode: int | None = None  # of a new file


@dataclass(slots=True)
class Upload:
    """A file that is being written: nobody else sees it before it is closed."""

    place: Place
    writer: Writer
    before: Entry | None
    quota: Quota

    @property
    def entry(self) -> Entry:
        """What its own session is shown of it."""
        return Entry(kind=Kind.FILE, size_bytes=self.writer.size_bytes, posix=self.writer.posix)


async def read_file(places: Places, place: Place, entry: Entry | None) -> Reader:
    """The file, open for reading; `entry` was seen there a moment ago, and is looked at again if it is another by now.

    Raises:
        NotFound: nothing is there. Declined: it is a directory.
    """
    for attempt in range(ATTEMPTS):
        if entry is None:
            raise NotFound(f"there is no {display(place.path)}")
        if attempt:
            entry = await places.existing(place)
        if entry.kind is not Kind.FILE:
            raise Declined("It is not a file")
        try:
            fetched = None if attempt else await places.shared.ahead.take((place.text, place.relative), entry)
            if fetched is not None:
                return fetched
            return await open_reader(place.location, place.relative, entry, places.shared.memory.room)
        except (ChangedWhileRead, NotFound, PreconditionFailed):
            # What was remembered is not there any more, or it changes right now.
            places.shared.known.forget(place.text, place.relative)
            if attempt + 1 == ATTEMPTS:
                raise
    raise NotFound(f"there is no {display(place.path)}")


async def write_file(
    places: Places, place: Place, before: Entry | None, wanted: Opening, *, assumed: bool = False
) -> Upload:
    """The file, open for writing; `before`, which is there, stays until it is closed. `assumed`: that nothing is there is not looked at before
    something is stored.

    Raises:
        NotFound: it is not there and was not to be made, or its directory is not. Declined: it is there and should not be, or is a directory.
        NotPermitted, NoSpace: the folder does not take it.
    """
    if before is None:
        await places.require_name(place, Kind.FILE)
    if before is None and not wanted.create:
        raise NotFound(f"there is no {display(place.path)}")
    if before is not None and wanted.create and wanted.exclusive:
        raise Declined("It exists already")
    if before is not None and before.kind is not Kind.FILE:
        raise Declined("It is a directory" if before.kind is Kind.DIR else "It is not a file")
    quota = await Quota.of(places, place, before)
    target = Target(place.location, place.relative, before, places.shared.clock)
    if assumed and not place.location.traits.local:
        target = replace(target, look=lambda: places.look(place), opened_ns=places.shared.clock.time_ns())
    keep = before is not None and not wanted.truncate
    writer = await open_writer(target, _posix(places, before, wanted), places.shared.memory, keep=keep)
    return Upload(place, writer, before, quota)


def _posix(places: Places, before: Entry | None, wanted: Opening) -> Posix:
    """A file that is replaced keeps its owner and mode."""
    fresh = places.new_posix(Kind.FILE, wanted.mode)
    if before is None or before.posix is None:
        return fresh
    return replace(before.posix, mtime_ns=fresh.mtime_ns, atime_ns=fresh.atime_ns)
