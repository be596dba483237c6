"""SQLite databases of a simulated machine: real ones, whose last transactions a power failure takes away unless they were synced.

In WAL mode a commit is on the disk when it returns if `synchronous` is FULL or EXTRA; with NORMAL the log is synced at checkpoints only, with OFF
never (https://sqlite.org/pragma.html#pragma_synchronous). A frame that did not reach the disk ends the log there.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_FULL = 2
_WAL_HEADER_BYTES = 32


class _Connection(sqlite3.Connection):
    """Passes the border of its process with every statement."""

    between: Callable[[str, str], None] = staticmethod(lambda _call, _about: None)

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self.between("sqlite", statement[:40])
        return super().execute(statement, *parameters)

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
        self.between("sqlite", statement[:40])
        return super().executemany(statement, rows)


class Databases:
    """The databases below one directory of this machine; `home` moves with each crash."""

    def __init__(self, place: Path, name: str) -> None:
        self._place = place
        self._name = name
        self._lives = 0
        self._open: list[tuple[_Connection, Path]] = []
        self.home = self._new_home()
        self.between: Callable[[str, str], None] = lambda _call, _about: None

    def _new_home(self) -> Path:
        self._lives += 1
        return self._place / f"{self._name}-{self._lives}"

    def opened(self, connection: _Connection, path: Path) -> None:
        connection.between = self.between
        self._open.append((connection, path))

    def crash(self, choice: random.Random, *, power: bool) -> None:
        """What is on the disk moves to a new home; whoever has a database open is cut off."""
        before, self.home = self.home, self._new_home()
        cuts: dict[Path, float] = {}
        for connection, path in self._open:
            connection.between = lambda _call, _about: None
            try:
                (level,) = connection.execute("PRAGMA synchronous").fetchone()
            except sqlite3.Error:  # closed in good time
                continue
            if power and level < _FULL:
                cuts[path] = choice.choice([0.0, choice.random(), 1.0])
        if before.exists():
            shutil.copytree(before, self.home, ignore=shutil.ignore_patterns("*-shm"))
        for path, share in cuts.items():
            log = self.home / path.relative_to(before).with_name(path.name + "-wal")
            if log.exists():
                size = log.stat().st_size
                with log.open("r+b") as file:
                    file.truncate(int(share * size) if size > _WAL_HEADER_BYTES else 0)
        for connection, _ in self._open:
            connection.close()
        self._open.clear()
        shutil.rmtree(before, ignore_errors=True)

    def lose(self) -> None:
        """All of it is deleted, as an operator might; nobody has it open."""
        shutil.rmtree(self.home, ignore_errors=True)

    def close(self) -> None:
        """The story is over."""
        for connection, _ in self._open:
            connection.between = lambda _call, _about: None
            connection.close()
        self._open.clear()


@contextmanager
def watched(all_databases: list[Databases]) -> Iterator[None]:
    """While this lasts, databases opened below a machine's home belong to it."""
    real: Callable[..., Any] = sqlite3.connect

    def connect(path: str | Path, *arguments: Any, **options: Any) -> sqlite3.Connection:
        for databases in all_databases:
            if Path(path).is_relative_to(databases.home):
                connection: _Connection = real(path, *arguments, factory=_Connection, **options)
                databases.opened(connection, Path(path))
                return connection
        plain: sqlite3.Connection = real(path, *arguments, **options)
        return plain

    with mock.patch.object(sqlite3, "connect", connect):
        yield
