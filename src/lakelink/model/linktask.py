"""A data repository task of a link as a value: what was asked for, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakelink.model.linkspec import Direction


class TaskState(StrEnum):
    """By the names of FSx for Lustre (API_DataRepositoryTask, Lifecycle)."""

    PENDING = "PENDING"
    EXECUTING = "EXECUTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # it could not be carried out, or a path of it could not
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTask:
    """One task. Times in nanoseconds since the epoch, 0 = not yet."""

    id: str  # task- and 17 hexadecimal digits, as FSx has them
    kind: Direction
    paths: tuple[str, ...] = ()  # each with all below it; empty = everything
    report: str = ""  # the file for the completion report, "" = none
    state: TaskState = TaskState.PENDING
    created_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    total: int = 0  # paths that had something to be carried in this direction
    succeeded: int = 0
    failed: int = 0
    message: str = ""  # why it failed, or what else is worth knowing
