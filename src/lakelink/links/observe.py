"""Looking at paths: what the base says, what is there now. What a change of one side does not concern is assumed to be as the base says, and
the condition of the effect proves or refutes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from lakelink.core.delta import Delta, delta
from lakelink.core.filters import Filter
from lakelink.errors import LakelinkError, Unsupported
from lakelink.links.dirty import Mark
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Kind, Row
from lakelink.model.link import UNKNOWN, Agreed, Unknown
from lakelink.model.path import display
from lakelink.state.journal import Journal

Side = Entry | Unknown | None


@dataclass(slots=True)
class Look:
    """One path as it was seen."""

    mark: Mark
    base: Agreed | None
    files: Side = UNKNOWN
    lake: Side = UNKNOWN
    lake_seen: bool = False  # the store was asked for this path; else a listing showed it, or it is assumed
    error: LakelinkError | None = None  # why a side is unknown
    same_bytes: bool | None = None  # the answer of a comparison
    excluded: bool = False
    being_written: bool = False  # nobody was seen to close the file, and somebody has it open

    @property
    def path(self) -> str:
        return self.mark.path

    @property
    def listed(self) -> bool:
        """What is known of the lake is one row of a listing: neither metadata nor whether it is a symlink."""
        return not self.lake_seen and self.mark.row is not None and isinstance(self.lake, Entry)


@dataclass(slots=True)
class Observer:
    """Looks at both sides of paths."""

    files: Location
    lake: Location
    journal: Journal
    filters: Filter = field(default_factory=lambda: Filter(()))

    async def look(self, marks: Sequence[Mark]) -> list[Look]:
        """One look per mark. A side that cannot be seen is UNKNOWN, with the reason.

        Raises:
            RootMissing, Unreachable, NotPermitted: nothing can be seen on that side at all.
        """
        base = self.journal.base([mark.path for mark in marks])
        looks = [Look(mark, base.get(mark.path)) for mark in marks]
        for look, seen in zip(looks, await _stat(self.files, looks), strict=True):
            look.files = self._known(look, seen)
            look.excluded = self._is_excluded(look)
        far: list[Look] = []
        for look in looks:
            mark, then = look.mark, look.base.lake if look.base else None
            if look.excluded:
                continue
            if not mark.lake:
                look.lake = then
            elif mark.row is not None and _row_tells(mark.row, look):
                look.lake = _entry_of(mark.row)
            else:
                far.append(look)
        await self.ask_lake(far)
        return looks

    async def ask_lake(self, looks: Sequence[Look]) -> None:
        """Ask the store itself about these paths."""
        if not looks:
            return
        for look, seen in zip(looks, await _stat(self.lake, looks), strict=True):
            look.lake = self._known(look, seen)
            look.lake_seen = True

    async def look_again(self, looks: Sequence[Look]) -> None:
        """Both sides anew, without assuming anything."""
        answers = await asyncio.gather(_stat(self.files, looks), self.ask_lake(looks))
        for look, seen in zip(looks, answers[0], strict=True):
            look.files = self._known(look, seen)

    def _known(self, look: Look, seen: Entry | LakelinkError | None) -> Side:
        if isinstance(seen, LakelinkError):
            look.error = seen
            return UNKNOWN
        if seen is not None and seen.kind in (Kind.OTHER, Kind.PROBLEM):
            look.error = Unsupported(
                f"{display(look.path)} is a device, a FIFO or a socket",
                hint="It is left alone; an exclude keeps it quiet.",
            )
            return UNKNOWN
        return seen

    def _is_excluded(self, look: Look) -> bool:
        if not self.filters:
            return False
        kinds = {entry.kind for entry in (look.files, look.base and look.base.files) if isinstance(entry, Entry)}
        if look.mark.row is not None:
            kinds.add(look.mark.row.kind)
        return left_out(self.filters, look.path, directory=Kind.DIR in kinds)


async def _stat(side: Location, looks: Sequence[Look]) -> list[Entry | LakelinkError | None]:
    """What is at these paths; surely nothing where the side cannot even have the name."""
    paths = [look.path for look in looks]
    possible = [path for path in paths if side.name_problem(path, Kind.FILE) is None]
    if len(possible) == len(paths):
        return await side.stat(paths)
    found = dict(zip(possible, await side.stat(possible), strict=True))
    return [found.get(path) for path in paths]


def left_out(filters: Filter, path: str, *, directory: bool) -> bool:
    """Whether the filters leave out the path, itself or with a directory above it."""
    if filters.excludes(path, directory):
        return True
    cut = path.rfind("/")
    while cut > 0:
        if filters.prunes(path[:cut], True):
            return True
        cut = path.rfind("/", 0, cut)
    return False


def _row_tells(row: Row, look: Look) -> bool:
    """Whether one row of a listing is enough to decide by: for a file or a directory without a marker that is plainly new or changed, as long as
    the other side did not move. The GET names the row's version, and its answer tells the rest.
    """
    then = look.base
    if delta(then.files if then else None, look.files) is not Delta.SAME:
        return False
    if row.kind is Kind.DIR:
        return then is None and row.ident == ""
    return row.kind is Kind.FILE and (then is None or (then.lake.kind is Kind.FILE and _other_etag(then.lake, row)))


def _other_etag(then: Entry, row: Row) -> bool:
    return then.version is not None and then.version.etag != row.ident


def _entry_of(row: Row) -> Entry:
    if row.kind is Kind.DIR:
        return Entry(kind=Kind.DIR)
    return Entry(kind=Kind.FILE, size_bytes=row.size_bytes, version=row.version)
