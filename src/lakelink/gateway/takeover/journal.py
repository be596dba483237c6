"""What an apply changed, line by line, each on stable storage before its change is made: rollback reads it from the end.

It holds accounts as they were, hashes included, so it is 0600 as everything in the directory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lakelink.errors import Corrupt, StorageError
from lakelink.model.account import Account


class AccountChange(Struct, frozen=True, kw_only=True, tag="account", tag_field="did"):
    """An account was made (`before` null) or replaced."""

    name: str
    before: Account | None
    after: Account


class KeysChange(Struct, frozen=True, kw_only=True, tag="host-keys", tag_field="did"):
    """The host keys were set. `aside`: where those before were put, relative to the directory; `after` fingerprints in order."""

    aside: str
    before: list[str]
    after: list[str]


class RolledBack(Struct, frozen=True, kw_only=True, tag="rolled-back", tag_field="did"):
    """Everything above this line was taken back, or is no longer ours to take back."""

    at: str


Line = AccountChange | KeysChange | RolledBack


class Journal:
    """Lines in one file, appended and synced one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: Line) -> None:
        """The line is on stable storage.

        Raises:
            StorageError: it is not; do not make the change.
        """
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(handle, msgspec.json.encode(line) + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}", hint="Nothing was changed.") from error

    def open_lines(self) -> Sequence[Line]:
        """What was changed and not taken back, the oldest first. A last line that a crash cut short stands for a change that was not made.

        Raises:
            Corrupt: a line in the middle cannot be read.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        lines: list[Line] = []
        for number, text in enumerate(raw.split(b"\n")[:-1], 1):
            try:
                line = msgspec.json.decode(text, type=Line)
            except msgspec.MsgspecError as error:
                raise Corrupt(
                    f"{self._path}:{number} cannot be read: {error}", hint="Restore it from a backup."
                ) from error
            lines = [] if isinstance(line, RolledBack) else [*lines, line]
        return lines
