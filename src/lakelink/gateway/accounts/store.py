"""The users that commands make, in `STATE/gateway/accounts.sqlite` (0600). Several processes may hold one store each: commands write, workers read.

What was stored is durable when a call returns (synchronous=FULL). Workers see a change with the next login.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lakelink.config.document import Document, nearest
from lakelink.errors import NotFound, Refused, StorageError
from lakelink.gateway.accounts.check import check_account
from lakelink.model.account import Account
from lakelink.ports.clock import Clock, SystemClock
from lakelink.state.database import connect, transaction

DIRECTORY = "gateway"
FILE = "accounts.sqlite"


def gateway_dir(state_dir: Path) -> Path:
    """Where the gateway keeps its own; made for this user alone when missing.

    Raises:
        StorageError: it cannot be made.
    """
    path = state_dir / DIRECTORY
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made: {error.strerror}", hint="Check the rights of the state directory."
        ) from error
    return path


class AccountStore:
    """Implements `Accounts`. May be used from several threads. Close it with `close`."""

    def __init__(self, state_dir: Path, document: Document | None = None, clock: Clock | None = None) -> None:
        """`document`: the settings, for the named locations that folders use; without it they are not checked.

        Raises:
            StorageError: the file cannot be opened, is damaged, or was written by a newer lakelink.
        """
        self._path = gateway_dir(state_dir) / FILE
        self._document = document
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._db = connect(self._path, "accounts", synchronous="FULL")

    async def find(self, name: str) -> Account | None:
        """The account of that name as it is now; None = there is none. Read off the event loop.

        Raises:
            StorageError: the database cannot be read.
        """
        return await asyncio.to_thread(self._find, name)

    def list(self) -> Sequence[Account]:
        """Every account by name."""
        with self._reading():
            rows = self._db.execute("SELECT account FROM account ORDER BY name").fetchall()
            return [_decoded(row[0]) for row in rows]

    def get(self, name: str) -> Account:
        """The account of that name.

        Raises:
            NotFound: there is none; the hint names the nearest.
        """
        account = self._find(name)
        if account is None:
            raise self._missing(name)
        return account

    def add(self, accounts: Sequence[Account]) -> None:
        """Store new accounts, all or none.

        Raises:
            UsageError: one of them makes no sense.
            Refused: a name is taken. Nothing was stored.
        """
        for account in accounts:
            check_account(account, self._document)
        with self._changing():
            for account in accounts:
                if self._row(account.name) is not None:
                    raise Refused(
                        f"there is a user {account.name} already",
                        hint="Take another name, or change that user; lakelink gateway user show says what it is.",
                    )
                self._insert(account)

    def put(self, accounts: Sequence[Account]) -> None:
        """Store accounts, all or none, whether or not their names are taken. May be repeated.

        Raises:
            UsageError: one of them makes no sense; nothing was stored.
        """
        for account in accounts:
            check_account(account, self._document)
        with self._changing():
            for account in accounts:
                self._insert(account)

    def change(self, name: str, change: Callable[[Account], Account]) -> Account:
        """Store what `change` makes of the account, with nobody else changing it meanwhile; returns it.

        Raises:
            NotFound: there is no such account. UsageError: what comes out makes no sense. What `change` raises; then nothing was stored.
        """
        with self._changing():
            row = self._row(name)
            if row is None:
                raise self._missing(name)
            account = change(row)
            check_account(account, self._document)
            self._insert(account)
        return account

    def remove(self, names: Sequence[str]) -> Sequence[Account]:
        """Forget accounts, all or none; returns what they were. Sessions that are open go on until they are kicked.

        Raises:
            NotFound: one of them is not there; nothing was removed.
        """
        removed = []
        with self._changing():
            for name in names:
                account = self._row(name)
                if account is None:
                    raise self._missing(name)
                self._db.execute("DELETE FROM account WHERE name=?", (name,))
                removed.append(account)
        return removed

    def close(self) -> None:
        with self._lock:  # a look-up whose login was given up may be under way in its thread
            self._db.close()

    def _find(self, name: str) -> Account | None:
        with self._reading():
            return self._row(name)

    def _row(self, name: str) -> Account | None:
        try:
            row = self._db.execute("SELECT account FROM account WHERE name=?", (name,)).fetchone()
        except UnicodeEncodeError:  # a name that is not UTF-8 is nobody's
            return None
        return _decoded(row[0]) if row else None

    def _insert(self, account: Account) -> None:
        self._db.execute(
            "INSERT INTO account (name, account, changed_ns) VALUES (?,?,?)"
            " ON CONFLICT (name) DO UPDATE SET account=excluded.account, changed_ns=excluded.changed_ns, changes=changes+1",
            (account.name, msgspec.json.encode(account), self._clock.time_ns()),
        )

    def _missing(self, name: str) -> NotFound:
        names = [str(row[0]) for row in self._db.execute("SELECT name FROM account ORDER BY name")]
        near = nearest(name, names)
        known = "lakelink gateway user list names them." if names else "lakelink gateway user add makes one."
        return NotFound(f"there is no user {name!r}", hint=f"Did you mean {near}?" if near else known)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise self._unusable(error) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                with transaction(self._db):
                    yield
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StorageError:
        return StorageError(
            f"the users in {self._path} cannot be used: {error}",
            hint="Is the disk full, or is the file of a newer lakelink?",
        )


def _decoded(blob: bytes) -> Account:
    return msgspec.json.decode(blob, type=Account)
