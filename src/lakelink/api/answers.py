"""What the daemon answers: version 1. Fields are added; none is removed or given another meaning within a version.

Sizes are bytes, durations seconds, times nanoseconds since the epoch.
"""

from __future__ import annotations

import base64
import os

import msgspec

from lakelink.model.linkspec import LinkSpec, LinkStatus
from lakelink.model.path import json_fields


class WirePath(msgspec.Struct, frozen=True, omit_defaults=True):
    """A path: percent-escaped where it is not UTF-8, with the exact bytes beside it."""

    path: str
    path_base64: str = ""

    @property
    def exact(self) -> str:
        """The path itself."""
        return os.fsdecode(base64.b64decode(self.path_base64)) if self.path_base64 else self.path


def wire_path(path: str) -> WirePath:
    """A path as it travels."""
    return WirePath(**json_fields(path))


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """The process that serves, and what it uses of the machine."""

    pid: int
    version: str
    uid: int
    started_ns: int
    state_dir: str
    settings: str  # the file, "" = none
    settings_error: str = ""  # the last reload was refused, and why; what was read before still holds
    metrics: str = ""  # the URL where metrics are read
    webhook: str = ""  # the URL that stores push their events to
    open_files: int = 0
    max_open_files: int = 0
    threads: int = 0
    rss_bytes: int = 0


class GatewayCondition(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway of a daemon stands: `starting`, `running`, or `failed`, which is tried again and again."""

    state: str
    since_ns: int = 0
    listening: list[str] = []  # HOST:PORT
    sessions: int = 0
    code: str = ""  # of what keeps it from starting
    reason: str = ""
    hint: str = ""


class StatusReport(msgspec.Struct, frozen=True):
    """How everything stands. `gateway` None: the daemon is to run none."""

    daemon: Daemon
    links: list[LinkStatus]
    gateway: GatewayCondition | None = None


class LinkDetail(msgspec.Struct, frozen=True):
    """A link: as it was asked for, and as it stands. `notes` are sentences worth showing once."""

    spec: LinkSpec
    status: LinkStatus
    notes: list[str] = []


class Reloaded(msgspec.Struct, frozen=True):
    """What another reading of the settings changed, a sentence each."""

    changes: list[str]


class Removed(msgspec.Struct, frozen=True):
    """A link is gone; `kept` says what of it is still there, a sentence each."""

    name: str
    deleted: int  # local paths
    kept: list[str]


class Settled(msgspec.Struct, frozen=True):
    """Whether nothing was pending any more when the wait ended."""

    settled: bool
    status: LinkStatus


class PathProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A path that cannot be carried at the moment, or a finding about it."""

    path: WirePath
    code: str
    message: str
    hint: str = ""
    since_ns: int = 0
    attempts: int = 0


class Difference(msgspec.Struct, frozen=True):
    """A path where a side is not as the journal says."""

    path: WirePath
    side: str  # files, lake
    what: str  # new, changed, missing


class Checked(msgspec.Struct, frozen=True):
    """The journal compared with both sides. What a link at work is about to carry differs as well."""

    agreed: int
    differences: int
    named: list[Difference]  # the first of them
    repaired: bool


class HeldPath(msgspec.Struct, frozen=True):
    """A change that no policy of the link carries."""

    path: WirePath
    side: str
    event: str
    since_ns: int


class PathConflict(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides changed a path. `copy` is where the other version is; empty: in the trash, or both stand as they are."""

    id: int
    path: WirePath
    reason: str
    files: str
    lake: str
    copy: WirePath
    rule: str
    since_ns: int
    resolved_ns: int = 0
    resolution: str = ""
    advice: str = ""  # what an operator can do, one sentence


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a link's event log."""

    seq: int
    time_ns: int
    code: str
    path: WirePath
    message: str


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A data repository task."""

    id: str
    link: str
    kind: str  # import, export
    state: str  # PENDING, EXECUTING, SUCCEEDED, FAILED, CANCELING, CANCELED
    paths: list[WirePath]
    report: str
    created_ns: int
    started_ns: int
    ended_ns: int
    total: int
    succeeded: int
    failed: int
    message: str


class HsmPath(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a lazy link: how it stands, or why nothing was done to it."""

    path: WirePath
    flags: list[str]
    size_bytes: int
    allocated_bytes: int
    message: str = ""


class HsmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a command on the files of a lazy link, or how far it is."""

    files: int = 0
    bytes: int = 0
    already: int = 0
    failed: int = 0
    paths: list[HsmPath] = []
