"""What a check has to say, as values; one error stops everything before anything is created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakelink.errors import Refused


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"  # AWS refuses it, or it would lose data
    WARNING = "warning"  # it works, but a human should know
    NOTE = "note"  # what the choice gives


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule and what it says about one field; the message says what is allowed instead."""

    rule: str
    level: Level
    field: str
    message: str


def error(rule: str, field: str, message: str) -> Finding:
    """A finding that stops."""
    return Finding(rule, Level.ERROR, field, message)


def warning(rule: str, field: str, message: str) -> Finding:
    """A finding that does not stop."""
    return Finding(rule, Level.WARNING, field, message)


def listed(values: tuple[object, ...]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    words = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that stop."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def refuse_errors(findings: Sequence[Finding]) -> None:
    """Nothing happens if no finding is an error.

    Raises:
        Refused: the first rule and all messages; nothing was created.
    """
    found = errors(findings)
    if found:
        raise Refused(
            "; ".join(f"{finding.field}: {finding.message} [{finding.rule}]" for finding in found),
            hint="Change the specification; `lakelink infra check` repeats this without touching anything.",
        )
