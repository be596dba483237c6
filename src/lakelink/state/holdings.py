"""Which files of a lazy link hold their bytes here: an index for release, least recently used first. The attributes of the files are the truth."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lakelink.errors import StorageError
from lakelink.model.entry import Kind
from lakelink.state.database import transaction
from lakelink.state.journal import Journal
from lakelink.state.journal_rows import loaded, stored


@dataclass(frozen=True, slots=True)
class Held:
    """One file with bytes."""

    path: str
    size_bytes: int
    accessed_ns: int


class Holdings:
    """Tables of the journal's file, used from the same thread as the journal. Every method raises StorageError when the file cannot be used."""

    def __init__(self, journal: Journal) -> None:
        self._db = journal.db

    def put(self, rows: Iterable[Held], gone: Iterable[str] = ()) -> None:
        """These hold bytes, and those do not any more; in one transaction."""
        kept = [(stored(row.path), row.size_bytes, row.accessed_ns) for row in rows]
        with _writing(self._db) as db:
            db.executemany("INSERT OR REPLACE INTO holding VALUES (?,?,?)", kept)
            db.executemany("DELETE FROM holding WHERE path=?", [(stored(path),) for path in gone])

    def oldest(self, limit: int, before_ns: int = 1 << 62, after: tuple[int, str] = (-1, "")) -> list[Held]:
        """Those used least recently, from `after` (accessed_ns, path) on, that were not used since `before_ns`."""
        rows = self._rows(
            "SELECT path, size, accessed_ns FROM holding WHERE accessed_ns<? AND (accessed_ns, path)>(?,?) "
            "ORDER BY accessed_ns, path LIMIT ?",
            (before_ns, after[0], stored(after[1]), limit),
        )
        return [Held(loaded(path), size, accessed) for path, size, accessed in rows]

    def totals(self) -> tuple[int, int]:
        """Files that hold bytes, and how many."""
        ((files, size),) = self._rows("SELECT count(*), coalesce(sum(size),0) FROM holding", ())
        return files, size

    def all_files(self) -> tuple[int, int]:
        """Files that both sides agree on, with or without bytes here, and how many bytes they have."""
        query = "SELECT count(*), coalesce(sum(f_size),0) FROM base WHERE kind=? AND f_size>0"
        ((files, size),) = self._rows(query, (int(Kind.FILE),))
        return files, size

    def agreed_files(self, after: str, limit: int) -> list[str]:
        """Paths of agreed files with content, in order, from `after` on."""
        query = "SELECT path FROM base WHERE kind=? AND f_size>0 AND path>? ORDER BY path LIMIT ?"
        return [loaded(path) for (path,) in self._rows(query, (int(Kind.FILE), stored(after), limit))]

    def note_undescribed(self, paths: Sequence[str]) -> None:
        """The objects of these have not been asked for their metadata."""
        with _writing(self._db) as db:
            db.executemany("INSERT OR IGNORE INTO undescribed VALUES (?)", [(stored(path),) for path in paths])

    def undescribed(self, limit: int) -> list[str]:
        """Some of them."""
        return [loaded(path) for (path,) in self._rows("SELECT path FROM undescribed LIMIT ?", (limit,))]

    def described(self, paths: Iterable[str]) -> None:
        """These have been asked."""
        with _writing(self._db) as db:
            db.executemany("DELETE FROM undescribed WHERE path=?", [(stored(path),) for path in paths])

    def count_undescribed(self) -> int:
        ((count,),) = self._rows("SELECT count(*) FROM undescribed", ())
        return int(count)

    def _rows(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(error) from error


@contextmanager
def _writing(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        with transaction(db):
            yield db
    except sqlite3.Error as error:
        raise _failed(error) from error


def _failed(error: Exception) -> StorageError:
    return StorageError(f"the index of what a lazy link holds cannot be used: {error}", hint="Is the disk full?")
