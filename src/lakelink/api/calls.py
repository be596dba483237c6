"""What can be asked of the daemon: version 1. Each call is a value that knows the type of its answer.

On the wire a call is `POST /v1/NAME` with the value as JSON; the answer is JSON as well, or `{"failure": …}` with a status that is not 200.
Calls that may take long (`long`) and `Watch` answer with JSON lines instead, so that a silent daemon can be told from a busy one:
`{"beat": …}` at least every few seconds, at the end `{"answer": …}` or `{"failure": …}`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

import msgspec

from lakelink.api.answers import (
    Checked,
    Daemon,
    HeldPath,
    HsmReport,
    LinkDetail,
    LogEntry,
    PathConflict,
    PathProblem,
    Reloaded,
    Removed,
    Settled,
    StatusReport,
    TaskInfo,
    WirePath,
)
from lakelink.model.gateway import GatewayStatus, LiveSession
from lakelink.model.linkspec import Direction, LinkSpec, LinkStatus

VERSION = 1
A = TypeVar("A")


class Call(msgspec.Struct, Generic[A], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request whose answer is an `A`."""

    name: ClassVar[str] = ""
    long: ClassVar[bool] = False


def answer_type(call: type[Call[Any]]) -> Any:
    """The type that the call is answered with."""
    (base,) = call.__orig_bases__  # type: ignore[attr-defined]  # set by typing.Generic
    return get_args(base)[0]


class DescribeDaemon(Call[Daemon], frozen=True, kw_only=True):
    name = "daemon"


class Reload(Call[Reloaded], frozen=True, kw_only=True):
    """Read the settings again. Settings that are wrong change nothing."""

    name = "reload"


class GetStatus(Call[StatusReport], frozen=True, kw_only=True):
    name = "status"


class Watch(Call[StatusReport], frozen=True, kw_only=True):
    """The status again and again, as beats, until the asker leaves."""

    name = "watch"
    long = True
    interval_s: float = 1.0


class AddLink(Call[LinkDetail], frozen=True, kw_only=True):
    """Make a link. It is checked on both sides first; a `spec` without `ident` gets one."""

    name = "link-add"
    spec: LinkSpec


class ListLinks(Call[list[LinkSpec]], frozen=True, kw_only=True):
    """All links as they were asked for."""

    name = "link-list"


class ShowLink(Call[LinkDetail], frozen=True, kw_only=True):
    name = "link-show"
    link: str


class UpdateLink(Call[LinkDetail], frozen=True, kw_only=True):
    """Replace all of a link but its ident, files and lake. Refused where it is not what it `was` any more."""

    name = "link-update"
    spec: LinkSpec
    was: LinkSpec


class RemoveLink(Call[Removed], frozen=True, kw_only=True):
    """Remove a link. Refused while changes are queued, unless they are to be discarded."""

    name = "link-remove"
    long = True
    link: str
    discard: bool = False
    delete_files: bool = False


class PauseLink(Call[LinkStatus], frozen=True, kw_only=True):
    name = "link-pause"
    link: str


class ResumeLink(Call[LinkStatus], frozen=True, kw_only=True):
    """Go on after a pause or a halt.

    `allow_deletes` lets the deletes pass, once, that the brake has stopped. `accept_root` takes the directory that is there now for the link's
    root: both sides are merged anew, and nothing is deleted.
    """

    name = "link-resume"
    link: str
    allow_deletes: bool = False
    accept_root: bool = False


class ReconcileLink(Call[LinkStatus], frozen=True, kw_only=True):
    """Compare both sides now, all of them or these paths; answered when what was found has been carried or refused."""

    name = "link-reconcile"
    long = True
    link: str
    paths: list[WirePath] = []


class SettleLink(Call[Settled], frozen=True, kw_only=True):
    """Wait until nothing is pending."""

    name = "link-settle"
    long = True
    link: str
    timeout_s: float


class CheckLink(Call[Checked], frozen=True, kw_only=True):
    """Compare the journal with both sides, and with `repair` make it right."""

    name = "link-check"
    long = True
    link: str
    repair: bool = False


class ListHeld(Call[list[HeldPath]], frozen=True, kw_only=True):
    name = "link-held"
    link: str
    most: int = 1000


class ListProblems(Call[list[PathProblem]], frozen=True, kw_only=True):
    name = "link-problems"
    link: str
    most: int = 1000


class ListConflicts(Call[list[PathConflict]], frozen=True, kw_only=True):
    name = "link-conflicts"
    link: str
    resolved: bool = False  # those too
    most: int = 1000


class ResolveConflict(Call[LinkStatus], frozen=True, kw_only=True):
    name = "link-resolve"
    long = True
    link: str
    conflict: int
    keep: Literal["files", "lake", "both"]


class ReadLog(Call[list[LogEntry]], frozen=True, kw_only=True):
    """The newest entries of a link's event log, oldest first."""

    name = "link-log"
    link: str
    most: int = 100


class StartTask(Call[TaskInfo], frozen=True, kw_only=True):
    """Import or export paths, all where none is named; the task queues behind others of its link."""

    name = "link-task"
    link: str
    kind: Direction
    paths: list[WirePath] = []
    report: str = ""


class ListTasks(Call[list[TaskInfo]], frozen=True, kw_only=True):
    """The newest tasks, or the one that is named."""

    name = "link-tasks"
    link: str
    task: str = ""
    most: int = 100


class CancelTask(Call[TaskInfo], frozen=True, kw_only=True):
    name = "link-cancel"
    link: str
    task: str


class HsmCommand(Call[HsmReport], frozen=True, kw_only=True):
    """Do something about the files of a lazy link, at and below these paths (of the link; "" is all of it).

    "accept" is for single files that are holes: their zeros are meant.
    "release" with `older_than_s` or `until_free_bytes` goes by last use, the oldest first. `flags` are for "set" and "clear".
    """

    name = "link-hsm"
    long = True
    link: str
    action: Literal["state", "restore", "release", "archive", "accept", "set", "clear"]
    paths: list[WirePath] = []
    include: list[str] = []
    flags: list[str] = []
    older_than_s: float | None = None
    until_free_bytes: int | None = None


class GetGateway(Call[GatewayStatus], frozen=True, kw_only=True):
    """How the gateway stands."""

    name = "gateway-status"


class ListSessions(Call[list[LiveSession]], frozen=True, kw_only=True):
    """Who is logged in to the gateway, who came first in front."""

    name = "gateway-sessions"


class KickSessions(Call[list[str]], frozen=True, kw_only=True):
    """End sessions of the gateway, by their ids or all of a user; the ids of those that were there."""

    name = "gateway-kick"
    sessions: list[str] = []
    user: str = ""


class LiftBan(Call[bool], frozen=True, kw_only=True):
    """Let an address in again that failed too often; whether anything was known about it."""

    name = "gateway-unban"
    address: str


GATEWAY = (GetGateway, ListSessions, KickSessions, LiftBan)
"""What the gateway of a state directory answers, by itself or through the daemon that runs it."""


CALLS: dict[str, type[Call[Any]]] = {cls.name: cls for cls in Call.__subclasses__()}
