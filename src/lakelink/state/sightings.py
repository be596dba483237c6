"""What one pass over a side saw, beside the base: which paths have to be looked at. In a temporary table, so that memory does not grow with the tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from lakelink.core.diff import LAKE_TIME_SLACK_NS
from lakelink.errors import StorageError
from lakelink.model.entry import Kind, Row
from lakelink.state.journal import Journal
from lakelink.state.journal_rows import SECOND_NS, bounds_below, loaded, stored

PAGE_ROWS = 2000
NEVER_NS = 1 << 62
"""A problem of a listing is not tried again: each listing tells anew."""

_COLUMNS = "path, kind, size, mtime, mode, uid, gid, time, ident"
# A directory's own times and size move with what happens inside it, and a symlink has no mode of its own.
_SAME_FILES = (
    f"b.kind=s.kind AND b.f_uid=s.uid AND b.f_gid=s.gid AND (b.f_mode=s.mode OR s.kind={int(Kind.SYMLINK)}) AND "
    f"(s.kind={int(Kind.DIR)} OR b.f_size=s.size AND b.f_ino=s.ident AND b.f_mtime=s.mtime)"
)
# A listing cannot tell a symlink from a file. The time of a write's own answer may be a moment later than the Last-Modified.
_SAME_LAKE = (
    f"(b.kind=s.kind OR b.kind={int(Kind.SYMLINK)} AND s.kind={int(Kind.FILE)}) AND b.l_etag=s.ident AND "
    f"(s.kind={int(Kind.DIR)} OR b.l_size=s.size) AND b.l_time-s.time BETWEEN 0 AND {LAKE_TIME_SLACK_NS} "
    f"AND b.l_time%{SECOND_NS}=0"  # not young, see `journal_rows`
)


class Sightings:
    """One pass over a side ("files" or "lake"). Add every row, then ask; close in the end. One at a time per side."""

    def __init__(self, journal: Journal, side: str, tag: str = "") -> None:
        """`tag` lets passes of other purposes run beside it."""
        self._db = journal.db
        self._table = f"temp.seen_{tag}{side}"
        self._same = _SAME_FILES if side == "files" else _SAME_LAKE
        self._run(f"DROP TABLE IF EXISTS {self._table}")
        self._run(
            f"CREATE TEMP TABLE {self._table.removeprefix('temp.')} (path PRIMARY KEY, kind, size, mtime, mode, uid, gid, time, ident) WITHOUT ROWID"
        )

    def add(self, rows: Sequence[Row]) -> None:
        """Rows of a scan; of a path that comes twice the later one counts."""
        plain = [row if row[0].isascii() else (stored(row[0]), *row[1:]) for row in rows]
        try:
            self._db.execute("BEGIN")  # else each row is a transaction of its own
            try:
                self._db.executemany(f"INSERT OR REPLACE INTO {self._table} VALUES (?,?,?,?,?,?,?,?,?)", plain)  # noqa: S608
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # else the journal, on the same connection, could never write again
                    self._db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OverflowError) as error:
            raise _failed(error) from error

    def differing(self) -> Iterator[list[Row]]:
        """Rows that are not as the base says, or have none; in pages. The base may move meanwhile."""
        after: str | bytes = ""
        while True:
            page = self._run(
                f"SELECT {_select('s')} FROM {self._table} s LEFT JOIN base b ON b.path=s.path "  # noqa: S608  # names of ours
                f"WHERE s.path>? AND (b.path IS NULL OR NOT ({self._same})) ORDER BY s.path LIMIT {PAGE_ROWS}",
                (after,),
            )
            if page:
                after = page[-1][0]
                yield [Row(loaded(row[0]), Kind(row[1]), *row[2:]) for row in page]
            if len(page) < PAGE_ROWS:
                return

    def missing(self, below: str = "") -> Iterator[list[str]]:
        """Agreed paths (at or below `below`) that were not seen; in pages."""
        if below:
            found = self._run(
                f"SELECT b.path FROM base b WHERE (b.path=? OR b.path>? AND b.path<? OR b.path>? AND b.path<?) "  # noqa: S608
                f"AND NOT EXISTS (SELECT 1 FROM {self._table} s WHERE s.path=b.path)",
                (stored(below), *bounds_below(below)),
            )
            yield [loaded(row[0]) for row in found]
            return
        after: str | bytes = ""
        while True:
            page = self._run(
                f"SELECT b.path FROM base b WHERE b.path>? AND NOT EXISTS "  # noqa: S608  # names of ours
                f"(SELECT 1 FROM {self._table} s WHERE s.path=b.path) ORDER BY b.path LIMIT {PAGE_ROWS}",
                (after,),
            )
            if page:
                after = page[-1][0]
                yield [loaded(row[0]) for row in page]
            if len(page) < PAGE_ROWS:
                return

    def orphans(self, below: str = "") -> list[str]:
        """Paths without a base that are listed as held, in trouble or in conflict, and were not seen: what they were listed for may be gone."""
        found = self._run(
            f"SELECT t.path FROM (SELECT path FROM held UNION SELECT path FROM problem WHERE again_ns<{NEVER_NS} "  # noqa: S608
            f"UNION SELECT path FROM conflict WHERE resolved_ns=0 AND copy='') t "
            f"WHERE NOT EXISTS (SELECT 1 FROM base b WHERE b.path=t.path) "
            f"AND NOT EXISTS (SELECT 1 FROM {self._table} s WHERE s.path=t.path)"
        )
        paths = [loaded(row[0]) for row in found]
        return [p for p in paths if p == below or p.startswith(f"{below}/")] if below else paths

    def close(self) -> None:
        """Give the room back. May be repeated."""
        self._run(f"DROP TABLE IF EXISTS {self._table}")

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(error) from error


def _select(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _COLUMNS.split(", "))


def _failed(error: Exception) -> StorageError:
    return StorageError(f"what was seen cannot be held: {error}", hint="Is the disk of the temporary files full?")
