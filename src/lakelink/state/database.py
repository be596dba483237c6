"""Opening a state database: numbered schema files, write-ahead log, private files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from lakelink.errors import StorageError

BUSY_TIMEOUT_S = 10.0


def connect(path: Path, schema: str, *, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """The database at `path`, brought up to the newest schema `NNNN_{schema}*.sql`; the file is 0600 and made when missing.

    `synchronous` as SQLite means it: with NORMAL a power failure may take back the last commits, with FULL a commit is on stable storage.

    Raises:
        StorageError: the file cannot be opened, is damaged, or was written by a newer lakelink.
    """
    try:
        # Only a file that is not there yet: closing any descriptor of a database drops the locks that other connections of this process hold on it,
        # and another process then takes itself for the last and removes the log under them (sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        _migrate(connection, schema)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"the state database {path} cannot be used: {error}",
            hint="Check the rights of the state directory. A damaged index may be deleted: the next run is right, only slower.",
        ) from error
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that the block changes is committed at its end, or nothing of it where the block or the commit fails. Not for two at once.

    Raises:
        sqlite3.Error: as SQLite says; no transaction is open then, and another may begin.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll back by themselves; a commit that failed may not
            connection.execute("ROLLBACK")
        raise


def _migrate(connection: sqlite3.Connection, schema: str) -> None:
    scripts = _scripts(schema)
    if _version(connection) < scripts[-1][0]:
        with transaction(connection):
            done = _version(connection)  # another process may have been first
            for number, script in scripts:
                if number > done:
                    for statement in _statements(script):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version={number}")
    version, newest = _version(connection), scripts[-1][0]
    if version > newest:
        raise sqlite3.DatabaseError(f"it was written by a newer version (schema {version}, known {newest})")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would commit what is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _scripts(schema: str) -> list[tuple[int, str]]:
    found = []
    for item in (resources.files("lakelink.state") / "schema").iterdir():
        number, _, rest = item.name.partition("_")
        if rest.startswith(schema) and item.name.endswith(".sql"):
            found.append((int(number), item.read_text("utf-8")))
    return sorted(found)
