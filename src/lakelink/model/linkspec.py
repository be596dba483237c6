"""A link as it is asked for: which directory, which prefix, what travels, and how it is kept. Values that a file, a command and a wire share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakelink.model.link import Rule

DAY_S = 86_400.0
GIB = 1 << 30
CARRY_ALL = Rule()
"""Everything travels in both directions, and conflicts are kept twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How bytes travel. None or empty = what the location or the machine says by itself."""

    bandwidth_bytes_per_s: int | None = None
    concurrency: int | None = None
    storage_class: str = ""
    sse: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a link looks, and when it acts."""

    quiet_s: float = 2.0  # a file whose closing cannot be seen is uploaded when it has not changed for so long
    scan_interval_s: float = 3600.0  # the directory is walked so often, whatever the events say
    list_interval_s: float = 300.0  # the prefix is listed so often, whatever the events say


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What stops a link before it does harm."""

    max_delete_percent: float = 50.0  # of the paths that both sides agreed on, net of renames
    max_delete_count: int = 10  # so many may always go
    trash_keep_s: float = 7 * DAY_S
    trash_max_bytes: int = 100 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """One link. `files` and `lake` are locations as the user writes them and never change; the rest may be updated.

    `ident` names the link for ever (its journal, its marker in the root); `name` is what people call it.
    """

    name: str
    ident: str
    files: str
    lake: str
    rule: Rule = CARRY_ALL
    filters: tuple[str, ...] = ()  # gitignore-style lines in order, as for `SyncOptions.filters`
    transport: Transport = Transport()
    pace: Pace = Pace()
    safety: Safety = Safety()
    events: str = ""  # the queue that pushes the lake's events (URL or ARN); "" = none, or the daemon's webhook
    accept_unconditional: bool = False  # the store may be one that checks no conditions on writes
    declared: bool = False  # it stands in the settings file: commands do not change it
    paused: bool = False


class LinkState(StrEnum):
    """The lifecycle, by the names of FSx for Lustre (API_DataRepositoryAssociation, Lifecycle)."""

    CREATING = "CREATING"  # the first survey has not ended
    AVAILABLE = "AVAILABLE"
    UPDATING = "UPDATING"  # its settings were changed and are being taken over
    MISCONFIGURED = "MISCONFIGURED"  # halted: a sentence says why; it goes on when the cause is gone, or by command
    DELETING = "DELETING"
    FAILED = "FAILED"  # it cannot go on by itself


class Direction(StrEnum):
    """Which way a change travels."""

    IMPORT = "import"  # lake to files
    EXPORT = "export"  # files to lake


LATENCY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the latency histograms, in seconds; what took longer counts behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One direction of a link, in figures, since the daemon began. Ages and latencies in seconds."""

    pending: int = 0  # paths known to have changed and not carried yet
    oldest_queued_s: float = 0.0  # AgeOfOldestQueued
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    metadata: int = 0
    latency_p50_s: float = 0.0  # from the change (as noticed) to its effect on the other side
    latency_p99_s: float = 0.0
    latency_counts: tuple[
        int, ...
    ] = ()  # per bound of LATENCY_BOUNDS_S, and one more for what took longer; not cumulative
    latency_sum_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """How a link stands, at a glance."""

    name: str
    ident: str
    files: str
    lake: str
    state: LinkState
    paused: bool
    declared: bool
    reason: str = ""  # why it is halted, one sentence
    hint: str = ""
    activity: str = ""  # "idle", "scanning", "listing", "carrying 12 changes", "waiting for the lake"
    agreed: int = 0  # paths that both sides agree on
    held: int = 0
    conflicts: int = 0  # open ones
    problems: int = 0  # paths that cannot be carried at the moment
    imports: Flow = Flow()
    exports: Flow = Flow()
    feeds: tuple[str, ...] = ()  # how changes are noticed, a sentence each
    guarantee: str = ""  # what holds when two writers meet, one sentence
    last_survey_ns: int = 0  # end of the last complete comparison of both sides
    errors: tuple[tuple[str, int], ...] = ()  # code, how often since the daemon began
