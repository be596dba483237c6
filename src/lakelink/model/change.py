"""Differences and trouble, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lakelink.model.entry import Entry


@dataclass(frozen=True, slots=True)
class Change:
    """One path went from `old` to `new`; None = absent."""

    path: str
    old: Entry | None
    new: Entry | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Trouble with one path: a value, never an exception that stops the run."""

    path: str
    code: str
    message: str
    hint: str = ""


class SkipReason(Enum):
    """Why a path is left alone without being a failure."""

    SPECIAL = "special"  # device, FIFO, socket
    EXCLUDED = "excluded"
    SYMLINK = "symlink"  # with --symlinks skip


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that is left alone on purpose."""

    path: str
    reason: SkipReason
