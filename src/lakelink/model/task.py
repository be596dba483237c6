"""A one-way run as values: what is asked for, and what came of it. A task or an agent can carry these over a wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from lakelink.model.change import Problem, Skipped
from lakelink.model.path import json_fields


class Symlinks(StrEnum):
    """What becomes of symbolic links in the source."""

    KEEP = "keep"
    FOLLOW = "follow"
    SKIP = "skip"


class Verify(StrEnum):
    """How much is compared after a run; checksums in flight are always on."""

    TRANSFERRED = "transferred"
    ALL = "all"
    NONE = "none"


class Action(StrEnum):
    """What a step does to one path of the target."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"  # something of another kind is in the way
    METADATA = "metadata"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class MaxDelete:
    """The brake: how much of the target a run may remove. Neither set: half of the target, or 10, whichever is more."""

    count: int | None = None
    percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """How a one-way run behaves. The defaults are those of `lakelink sync`."""

    delete: bool = False
    dry_run: bool = False
    checksum: bool = False
    filters: tuple[str, ...] = ()  # gitignore-style lines in order; the last match wins; "!" takes back in
    bandwidth_bytes_per_s: int | None = None
    concurrency: int | None = None  # None = found out while running
    max_delete: MaxDelete = MaxDelete()
    posix: bool = True
    symlinks: Symlinks = Symlinks.KEEP
    verify: Verify = Verify.TRANSFERRED
    allow_empty_source: bool = False
    trash: bool = False
    storage_class: str | None = None
    sse: str | None = None  # "AES256", "aws:kms", "aws:kms:KEY"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One line of a plan, as `--dry-run` prints it."""

    path: str
    action: Action
    size_bytes: int
    reason: str


@dataclass(slots=True)
class Progress:
    """Where a run stands; one object, updated in place, read by whoever draws it."""

    phase: str = "starting"  # scanning, planning, transferring, deleting, verifying, done
    listed_source: int = 0
    listed_target: int = 0
    planned_files: int = 0
    planned_bytes: int = 0
    done_files: int = 0
    done_bytes: int = 0
    deleted: int = 0
    problems: int = 0
    last_problem: str = ""
    notes: list[str] = field(default_factory=list)  # sentences to show once


@dataclass(slots=True)
class PathResult:
    """One line of the report: what happened to a path. `action` is an Action, "unchanged", "skipped" or "failed"."""

    path: str
    action: str
    size_bytes: int = 0
    problem: Problem | None = None
    reason: str = ""


Report: TypeAlias = Callable[[PathResult], None]


@dataclass(slots=True, kw_only=True)
class SyncResult:
    """What a run did. `as_json` is the documented contract of `lakelink sync --json`."""

    source: str
    target: str
    dry_run: bool = False
    interrupted: bool = False
    transferred_files: int = 0
    transferred_bytes: int = 0
    updated_metadata: int = 0
    created_directories: int = 0
    deleted: int = 0
    unchanged: int = 0
    hard_links: int = 0
    verified: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    plan: list[PlannedStep] = field(default_factory=list)
    requests: Mapping[str, int] = field(default_factory=dict)  # by S3 operation, both sides
    duration_s: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 done, 1 some paths failed, 130 interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.failed else 0

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return {name: list(value) if isinstance(value, Iterator) else value for name, value in self.fields().items()}

    def fields(self) -> dict[str, Any]:
        """The same, its lists of paths as iterators: for a writer that goes through them once, in little memory."""
        document: dict[str, Any] = {
            "source": self.source,
            "target": self.target,
            "dry_run": self.dry_run,
            "interrupted": self.interrupted,
            "transferred_files": self.transferred_files,
            "transferred_bytes": self.transferred_bytes,
            "updated_metadata": self.updated_metadata,
            "created_directories": self.created_directories,
            "deleted": self.deleted,
            "unchanged": self.unchanged,
            "hard_links": self.hard_links,
            "verified": self.verified,
            "skipped": (json_fields(s.path) | {"reason": s.reason.value} for s in self.skipped),
            "failed": (
                json_fields(p.path) | {"code": p.code, "message": p.message, "hint": p.hint} for p in self.failed
            ),
            "requests": dict(self.requests),
            "duration_s": round(self.duration_s, 3),
        }
        if self.dry_run:
            document["plan"] = (
                json_fields(s.path) | {"action": s.action.value, "size_bytes": s.size_bytes, "reason": s.reason}
                for s in self.plan
            )
        return document
