"""What a check found, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a finding stands. Only FAIL makes `lakelink doctor` end with exit code 1."""

    OK = "ok"
    NOTE = "note"  # lakelink works without it, perhaps slower
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found and where it came from, and what to do about it (empty: nothing)."""

    check: str
    status: Status
    found: str
    todo: str = ""

    def as_json(self) -> dict[str, str]:
        """An element of `checks` in `lakelink doctor --json`."""
        return {"check": self.check, "status": self.status.value, "found": self.found, "todo": self.todo}


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, found)


def note(check: str, found: str, todo: str = "") -> Finding:
    """Worth knowing; lakelink works all the same."""
    return Finding(check, Status.NOTE, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    """Something will not work until somebody does what `todo` says."""
    return Finding(check, Status.FAIL, found, todo)
