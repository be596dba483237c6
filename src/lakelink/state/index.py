"""The index of a one-way pair: how each path looked on both sides when they were last equal.

A cache: deleting it costs time, never correctness. It may lag behind (a run was killed before it was written), and never runs ahead: a row is
written only after the target is on stable storage.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lakelink.core.diff import settled
from lakelink.errors import StorageError
from lakelink.model.path import is_utf8, split, to_bytes
from lakelink.state.database import connect, transaction

_LOOKUP = 512
_SMALL_DIRECTORY = 5_000
_WHOLE = "SELECT name, source, target FROM seen WHERE dir=? LIMIT ?"


class SyncIndex:
    """One SQLite file per pair of locations. Used from one thread.

    `settled_ns`: a source version of the lake that is younger is remembered without its time, so that the next run looks at it once more: a change of
    metadata within the second of its Last-Modified could not be told from it.
    """

    def __init__(self, path: Path, settled_ns: int | None = None) -> None:
        self._db = connect(path, "seen")
        self._settled_ns = settled_ns
        self.path = path
        self._large: set[str | bytes] = set()

    def recall(self, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, tuple[str, str, str]]]:
        """Directory -> name -> (name, source seal, target seal) for those of `names` (by directory) that are remembered. Other names of the same
        directories may come with them.

        Raises:
            StorageError: the file is damaged.
        """
        found: dict[str, dict[str, tuple[str, str, str]]] = {}
        try:
            for parent, below in names.items():
                rows = self._directory(_stored(parent), below)
                found[parent] = {row[0]: row for row in rows}
                for row in rows:
                    if row[0].__class__ is bytes:
                        found[parent][row[0].decode("utf-8", "surrogateescape")] = row
        except sqlite3.Error as error:
            hint = "It may be deleted: the next run is right without it, only slower."
            raise StorageError(f"the index {self.path} cannot be read: {error}", hint=hint) from error
        return found

    def _directory(self, key: str | bytes, names: Sequence[str]) -> list[tuple[Any, str, str]]:
        """A small directory comes whole, in one pass over the table; of a large one only what is asked for."""
        if key not in self._large:
            rows = self._db.execute(_WHOLE, (key, _SMALL_DIRECTORY)).fetchall()
            if len(rows) < _SMALL_DIRECTORY:
                return rows
            self._large.add(key)
        found: list[tuple[Any, str, str]] = []
        for start in range(0, len(names), _LOOKUP):
            found.extend(self._rows(key, names[start : start + _LOOKUP]))
        return found

    def _rows(self, parent: str | bytes, names: Sequence[str]) -> list[tuple[Any, str, str]]:
        # Padded to a power of two, so that few statements exist and SQLite's statement cache serves them all.
        width = 1 << max(0, len(names) - 1).bit_length()
        values: list[str | bytes | None] = [_stored(name) for name in names]
        values.extend([None] * (width - len(values)))
        marks = ",".join("?" * width)
        statement = f"SELECT name, source, target FROM seen WHERE dir=? AND name IN ({marks})"  # noqa: S608  # only question marks
        return self._db.execute(statement, [parent, *values]).fetchall()

    def remember(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Write (path, source seal, target seal) for each, in one transaction."""
        bound = self._settled_ns
        self._transact(
            "INSERT INTO seen (dir, name, source, target) VALUES (?,?,?,?) "
            "ON CONFLICT (dir, name) DO UPDATE SET source=excluded.source, target=excluded.target",
            (
                (*map(_stored, split(path)), source if bound is None else settled(source, bound), target)
                for path, source, target in rows
            ),
        )

    def forget(self, paths: Iterable[str]) -> None:
        """Drop what is remembered of these paths."""
        self._transact("DELETE FROM seen WHERE dir=? AND name=?", (tuple(map(_stored, split(path))) for path in paths))

    def _transact(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            with transaction(self._db):
                self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            raise StorageError(f"the index {self.path} cannot be written: {error}", hint="Is the disk full?") from error

    def close(self) -> None:
        self._db.close()


def _stored(name: str) -> str | bytes:
    """A name as SQLite holds it: text where it is UTF-8, which comes back without decoding in Python, else its bytes."""
    return name if name.isascii() or is_utf8(name) else to_bytes(name)


def index_name(source_url: str, target_url: str, scope: str) -> str:
    """The file name of a pair's index; `scope` names the options that change what "equal" means."""
    text = f"{source_url}\0{target_url}\0{scope}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32] + ".sqlite"
