"""What a link is asked to do, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakelink.model.entry import Entry


class Event(StrEnum):
    """What a policy can carry, by the names of FSx for Lustre."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"


ALL_EVENTS = frozenset(Event)


class ConflictRule(StrEnum):
    """Whose change stands where both sides changed. The other one is never lost: it is a conflict copy, or in the trash."""

    KEEP_BOTH = "keep-both"
    FILES = "files"
    LAKE = "lake"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a link carries in each direction, and what it does when both sides changed."""

    imports: frozenset[Event] = ALL_EVENTS
    exports: frozenset[Event] = ALL_EVENTS
    conflict: ConflictRule = ConflictRule.KEEP_BOTH


@dataclass(frozen=True, slots=True)
class Agreed:
    """The base of one path: what each side looked like when both were last equal."""

    files: Entry
    lake: Entry


class Unknown:
    """A side that could not be looked at. Nothing is ever concluded from it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
"""The only value of its class."""
