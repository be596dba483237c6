"""Deletions that wait for their turn, and renames that no brake counts: in a temporary database, so that memory does not grow with their number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from lakelink.errors import StorageError
from lakelink.model.path import to_bytes

MOST_RENAMED = 1_000_000
"""Renames remembered at once; beyond that the oldest counts as a deletion."""
_CACHE_KIB = 4096
_TABLES = (
    "CREATE TABLE waiting (path BLOB PRIMARY KEY, side, directory, number, attempts) WITHOUT ROWID",
    "CREATE INDEX by_number ON waiting (number)",
    "CREATE TABLE renamed (path BLOB UNIQUE)",
)
_INSIDE = "SELECT 1 FROM waiting i WHERE i.path > CAST(w.path||'/' AS BLOB) AND i.path < CAST(w.path||'0' AS BLOB)"


class Deletion(NamedTuple):
    """One of them: which side deleted it, the number of the mark that it came from, and how often it was tried."""

    path: str
    side: str
    number: int
    attempts: int


class Deletions:
    """Opened by the first of them; `close` forgets all. Every method raises StorageError when there is no room for them."""

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """May be repeated."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def put(self, deletion: Deletion, *, directory: bool) -> None:
        """It waits. One that waits already keeps its number."""
        path, side, number, attempts = deletion
        self._run(
            "INSERT INTO waiting VALUES (?,?,?,?,?) ON CONFLICT (path) DO UPDATE SET side=excluded.side, directory=excluded.directory, "
            "number=min(number, excluded.number), attempts=max(attempts, excluded.attempts)",
            (to_bytes(path), side, directory, number, attempts),
        )

    def has(self, path: str) -> bool:
        return bool(self._run("SELECT 1 FROM waiting WHERE path=?", (to_bytes(path),)))

    def has_below(self, path: str) -> bool:
        """Whether one waits inside that directory."""
        raw = to_bytes(path)
        return bool(self._run("SELECT 1 FROM waiting WHERE path>? AND path<? LIMIT 1", (raw + b"/", raw + b"0")))

    def oldest(self) -> int:
        """The lowest number; 0 when nothing waits."""
        return self._run("SELECT min(number) FROM waiting")[0][0] or 0

    def take(self, most: int) -> list[Deletion]:
        """Up to so many in the order of their numbers, no directory before what is inside it; they do not wait any more."""
        rows = self._run(
            f"SELECT path, side, number, attempts FROM waiting w WHERE NOT directory OR NOT EXISTS ({_INSIDE}) ORDER BY number LIMIT ?",  # noqa: S608
            (most,),
        )
        with self._opened() as db:
            db.executemany("DELETE FROM waiting WHERE path=?", [row[:1] for row in rows])
        return [Deletion(row[0].decode("utf-8", "surrogateescape"), *row[1:]) for row in rows]

    def put_renamed(self, path: str) -> None:
        """What was there is at another path."""
        self._run("INSERT OR IGNORE INTO renamed VALUES (?)", (to_bytes(path),))

    def drop_renamed(self, path: str) -> None:
        self._run("DELETE FROM renamed WHERE path=?", (to_bytes(path),))

    def is_renamed(self, path: str) -> bool:
        return bool(self._run("SELECT 1 FROM renamed WHERE path=?", (to_bytes(path),)))

    def oldest_renamed(self) -> str:
        """The path that was renamed first."""
        ((raw,),) = self._run("SELECT path FROM renamed ORDER BY rowid LIMIT 1")
        return str(raw.decode("utf-8", "surrogateescape"))

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._opened() as db:
            return db.execute(statement, values).fetchall()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is None:
                # Without a name: it is in memory up to the size of its cache, then in a file that nobody else can open.
                self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
                for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
                    self._db.execute(f"PRAGMA {setting}")
                for table in _TABLES:
                    self._db.execute(table)
            yield self._db
        except sqlite3.Error as error:
            raise StorageError(
                f"deletions that wait cannot be remembered: {error}",
                hint="Is the directory for temporary files full (SQLITE_TMPDIR, /var/tmp)? Nothing was deleted.",
            ) from error
