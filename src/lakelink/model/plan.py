"""What a link decided, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from lakelink.model.entry import Entry


class Verb(Enum):
    """What is to be done about a path."""

    EXPORT = "export"  # the lake becomes what the files side is
    EXPORT_METADATA = "export-metadata"
    EXPORT_DELETE = "export-delete"
    IMPORT = "import"  # the files side becomes what the lake is
    IMPORT_METADATA = "import-metadata"
    IMPORT_DELETE = "import-delete"
    ADOPT = "adopt"  # both sides are equal: remember it
    FORGET = "forget"  # both sides are empty: forget the base
    COMPARE = "compare"  # both changed, and only the bytes can tell whether to the same
    HOLD = "hold"  # the policy does not carry this change: the base stays
    KEEP_BOTH = "keep-both"  # conflict: files' bytes under a conflict name, then the lake's at the path
    TAKE_FILES = "take-files"  # conflict: the lake's version to the trash, then export
    TAKE_LAKE = "take-lake"  # conflict: files' version to the trash, then import
    MAKE_WAY = "make-way"  # conflict: the lake's file becomes a conflict copy there, since a directory of the files side has its name
    STAND = "stand"  # conflict that the policies do not let us settle: both stay as they are, and it is listed
    WAIT = "wait"  # a side is unknown


CONFLICTS = frozenset({Verb.KEEP_BOTH, Verb.TAKE_FILES, Verb.TAKE_LAKE, Verb.MAKE_WAY, Verb.STAND})


@dataclass(frozen=True, slots=True)
class Decision:
    """One path: what to do, and the observations it rests on. Each effect names the version it replaces out of these."""

    path: str
    verb: Verb
    files: Entry | None
    lake: Entry | None
    reason: str = ""


@dataclass(slots=True)
class Plan:
    """Decisions in the order in which they can be carried out."""

    steps: list[Decision] = field(default_factory=list)
    conflicts: list[Decision] = field(default_factory=list)  # also in steps, unless they stand
    held: list[Decision] = field(default_factory=list)
    compare: list[Decision] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
