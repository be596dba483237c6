"""Stubs straight from a listing, thousands at a time: what a lazy link does with objects of which nothing is known on either side.

No intent is needed: a stub that a crash left behind names its object's version, and is adopted without being read. Whatever is not plain (a path that is
there already, or on its way, a directory that cannot be made) is left to be looked at like any other change. What a listing does not tell is asked for
later, beside the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lakelink.errors import LakelinkError
from lakelink.links.crew import Crew
from lakelink.links.hsm.base import NewStub
from lakelink.links.hsm.lazy import Laziness
from lakelink.locations.base import Write
from lakelink.model.entry import Entry, Expect, Kind, Posix, Row, Version
from lakelink.model.link import Agreed, Event
from lakelink.model.path import split
from lakelink.state.findings import Result
from lakelink.state.holdings import Holdings

LEAST = 32
"""Fewer are carried one by one, with all that a question to the store tells of each."""

NO_NEWS_S = 30.0
"""For so long after a stub was made it is no news that its name appeared."""


class Bulk:
    """Takes new objects of a survey."""

    def __init__(self, crew: Crew, lazy: Laziness) -> None:
        self._crew = crew
        self._lazy = lazy
        self._holdings = Holdings(crew.journal)

    async def take(self, rows: list[Row]) -> tuple[list[Row], list[Row]]:
        """Make stubs of what is new, as far as that is plain: the rows that are left, and what a scan of the files side would show of those made.

        Raises:
            RootMissing, StorageError: the tree or the journal cannot be used; nothing that was not made is remembered.
        """
        if len(rows) < LEAST or Event.NEW not in self._crew.rule.imports:
            return rows, []
        known = self._crew.journal.base([row.path for row in rows])
        plain = [row for row in rows if row.path not in known and self._is_plain(row)]
        if len(plain) < LEAST:
            return rows, []
        await self._make_directories(plain)
        made = await self._make(plain)
        taken = {row.path for row in made}
        return [row for row in rows if row.path not in taken], made

    def _is_plain(self, row: Row) -> bool:
        return (
            row.kind is Kind.FILE
            and row.size_bytes > 0
            and bool(row.ident)
            and row.path not in self._crew.dirty
            and self._crew.files.name_problem(row.path, Kind.FILE) is None
        )

    async def _make_directories(self, rows: Sequence[Row]) -> None:
        """The directories in which they are. Each is noted, so that both sides are looked at and agree on it; what is there already stays as it is."""
        crew, wanted = self._crew, set()
        for row in rows:
            parent = split(row.path)[0]
            while parent and parent not in wanted:
                wanted.add(parent)
                parent = split(parent)[0]
        missing = sorted(wanted - crew.journal.base(sorted(wanted)).keys())
        if not missing:
            return
        writes = [Write(path, Kind.DIR, None, None, Expect(None)) for path in missing]
        await crew.files.write(writes)
        for path in missing:
            crew.note_both(path, crew.clock.monotonic())

    async def _make(self, rows: Sequence[Row]) -> list[Row]:
        """Those that were made, as the files side shows them. They are on stable storage before the journal says so."""
        lazy, crew = self._lazy, self._crew
        stubs: list[NewStub] = []
        objects: list[Entry] = []
        for row in rows:
            lake = Entry(kind=Kind.FILE, size_bytes=row.size_bytes, version=row.version)
            origin = lazy.origin_of(row.path, lake)
            if origin is not None:
                stubs.append(NewStub(row.path, lazy.posix_of(lake), origin))
                objects.append(lake)
        now_s = crew.clock.monotonic()
        lazy.made.add([stub.path for stub in stubs], now_s + NO_NEWS_S, now_s)
        answers = await asyncio.to_thread(lazy.guard.make, stubs)
        results: list[Result] = []
        made: list[Row] = []
        for stub, lake, answer in zip(stubs, objects, answers, strict=True):
            if not isinstance(answer, LakelinkError):
                results.append(Result(stub.path, keep_base=False, base=Agreed(_files(stub.posix, answer), lake)))
                made.append(_row(stub, answer))
        if not results:
            return []
        await crew.files.flush()
        now_ns = crew.clock.time_ns()
        paths = [result.path for result in results]
        self._holdings.note_undescribed(paths)  # first: of what is agreed on and not in this list nobody would ask
        crew.journal.settle(results, now_ns)
        crew.tally.made(len(paths))
        return made


def _files(posix: Posix, version: Version) -> Entry:
    return Entry(kind=Kind.FILE, size_bytes=version.size_bytes, posix=posix, version=version, resident=False)


def _row(stub: NewStub, version: Version) -> Row:
    posix = stub.posix
    return Row(
        stub.path,
        Kind.FILE,
        version.size_bytes,
        posix.mtime_ns,
        posix.mode,
        posix.uid,
        posix.gid,
        version.time_ns,
        version.ino,
    )
