"""What is found out about single paths of a link, as the journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakelink.model.change import Problem
from lakelink.model.link import Agreed, Event


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be done at a path. `detail` is what is needed to settle it after a crash."""

    path: str
    verb: str
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A change that the policy does not carry."""

    path: str
    side: str
    event: Event
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A path that could not be carried, and when it is tried again."""

    problem: Problem
    attempts: int
    again_ns: int
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Clash:
    """A conflict as it is listed. `copy` is the path of a conflict copy, "" where the other version is in the trash or both stand."""

    path: str
    reason: str
    files: str
    lake: str
    copy: str
    rule: str
    id: int = 0
    since_ns: int = 0
    resolved_ns: int = 0
    resolution: str = ""


@dataclass(slots=True)
class Result:
    """What a path came to. Its intent, its note in `dirty`, what was held of it and its trouble go, unless given anew here."""

    path: str
    keep_base: bool = True
    base: Agreed | None = None  # with keep_base False: the new base, None = there is none any more
    held: Held | None = None
    trouble: Trouble | None = None
    clash: Clash | None = None
    keep_intent: bool = False  # what was begun still has to be settled
