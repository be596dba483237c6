"""The directory of a take-over: facts, secrets, plan and journal. 0700, and each file 0600 and written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from lakelink.errors import Corrupt, NotFound, StorageError, UsageError
from lakelink.gateway.takeover.facts import FORMAT, Facts, Secrets
from lakelink.gateway.takeover.plan import Plan

T = TypeVar("T", Facts, Secrets, Plan)
FACTS, SECRETS, PLAN, TEXT, JOURNAL = "facts.json", "secrets.json", "plan.json", "plan.md", "journal.jsonl"


class PlanFolder:
    """One take-over on disk. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """It exists, for this user alone.

        Raises:
            UsageError: it is there and others may look into it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                raise UsageError(
                    f"{self.path} can be read by others", hint=f"It will hold password hashes: chmod 700 {self.path}"
                )
        except OSError as error:
            raise _refused(self.path, error) from error

    def write(self, name: str, value: Facts | Secrets | Plan | str) -> None:
        """Whole or not at all, and on stable storage."""
        raw = value.encode() if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2)
        target, temporary = self.path / name, self.path / f".{name}.new"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)
                file.write(raw)
                file.flush()
                os.fsync(handle)
            temporary.rename(target)
            sync_directory(self.path)
        except OSError as error:
            raise _refused(target, error) from error

    def read(self, name: str, kind: type[T]) -> T:
        """What was written.

        Raises:
            NotFound: that step was not done yet. Corrupt: it is no such file. UsageError: another lakelink wrote it.
        """
        path = self.path / name
        try:
            value = msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError as error:
            step = "plan" if name == PLAN else "scan"
            raise NotFound(f"{path} is not there", hint=f"Run `lakelink gateway import {step}` first.") from error
        except OSError as error:
            raise _refused(path, error) from error
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{path} cannot be read: {error}", hint="Scan and plan again.") from error
        if value.format != FORMAT:
            raise UsageError(f"{path} has format {value.format}, not {FORMAT}", hint="Scan and plan again.")
        return value


def sync_directory(path: Path) -> None:
    """The names in a directory are on stable storage."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: {error.strerror}", hint="Is there room, and may this user write there?")
