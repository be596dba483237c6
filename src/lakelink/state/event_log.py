"""The event log of a link, in its journal: the newest few thousand lines."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lakelink.errors import StorageError
from lakelink.model.path import is_utf8, to_bytes
from lakelink.state.database import transaction

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One line. `path` "" = the link as a whole; `seq` 0 = not written yet."""

    time_ns: int
    code: str
    path: str
    message: str
    seq: int = 0


class EventLog:
    """The table `event`. Used from the thread that the journal is used from; every method raises StorageError when it cannot be read or written."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def write(self, lines: Sequence[Logged]) -> None:
        """Add lines in one transaction, and drop the oldest beyond `KEPT`."""
        rows = [(line.time_ns, line.code, _stored(line.path), line.message) for line in lines]
        try:
            with transaction(self._db):
                self._db.executemany("INSERT INTO event (time_ns, code, path, message) VALUES (?,?,?,?)", rows)
                self._db.execute("DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?", (KEPT,))
        except sqlite3.Error as error:
            raise StorageError(f"the event log cannot be written: {error}", hint="Is the disk full?") from error

    def newest(self, limit: int, after: int = 0) -> list[Logged]:
        """The newest `limit` lines with a number above `after`, the oldest of them first."""
        try:
            rows = self._db.execute(
                "SELECT time_ns, code, path, message, seq FROM event WHERE seq > ? ORDER BY seq DESC LIMIT ?",
                (after, limit),
            ).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"the event log cannot be read: {error}", hint="Is the journal damaged?") from error
        return [Logged(row[0], row[1], _loaded(row[2]), row[3], row[4]) for row in reversed(rows)]


def _stored(path: str) -> str | bytes:
    return path if is_utf8(path) else to_bytes(path)


def _loaded(path: str | bytes) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
