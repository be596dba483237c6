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


class Refresh(StrEnum):
    """What becomes of a file that is here when its object changes in the lake."""

    STUB = "stub"  # its next version is loaded when somebody opens it
    LOAD = "load"  # what was loaded is loaded again at once; what was not, is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A part of a file system: a share of it, or so many bytes. Both 0: none of it."""

    percent: float = 0.0
    size_bytes: int = 0

    def of(self, total_bytes: int) -> int:
        """So many bytes of a file system of this size."""
        return max(self.size_bytes, int(total_bytes * self.percent / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lazy:
    """How a lazy link holds its files: what is loaded stays until its room is needed, or until nobody has used it for long."""

    keep_free: Room = Room(percent=10.0)  # loading releases others rather than going below; releasing begins there
    free_up_to: Room = Room(percent=15.0)  # and ends there
    release_after_s: float | None = None  # without having been read or changed; None = never by age
    refresh: Refresh = Refresh.STUB


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
    lazy: Lazy | None = None  # files are stubs until somebody opens them; a link is made so, and stays so


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a lazy link holds here, in figures."""

    resident_files: int = 0
    resident_bytes: int = 0
    released_files: int = 0
    released_bytes: int = 0
    loaded_files: int = 0  # since the daemon began
    loaded_bytes: int = 0
    evicted_files: int = 0
    evicted_bytes: int = 0
    undescribed: int = 0  # stubs whose object was not asked for its metadata yet
    free_bytes: int = 0  # of the file system
    total_bytes: int = 0
    view: str = ""  # "guarded (pre-content)", or why there is none


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
    holding: Holding | None = None  # of a lazy link
