"""Which feed a root gets, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lakelink.errors import LakelinkError, Unsupported, WatchLimit, problem_of
from lakelink.model.path import ROOT
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.kernel import Kernel
from lakelink.ports.linux import LinuxKernel
from lakelink.ports.notify import LinuxNotify, Notify
from lakelink.watch.fanotify import FanotifySource
from lakelink.watch.feed import Feed
from lakelink.watch.gathering import Gathering
from lakelink.watch.inotify import InotifySource
from lakelink.watch.local import LocalFeed, Source
from lakelink.watch.mounts import FileSystem, file_system, mounts_below, parse_mounts
from lakelink.watch.poll import PollFeed
from lakelink.watch.root import WatchedRoot


class Prefer(StrEnum):
    """What an operator may ask for; what is not to be had falls back to the next."""

    FANOTIFY = "fanotify"
    INOTIFY = "inotify"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A feed that is open, with what an operator should know about it."""

    feed: Feed
    why: str  # one sentence or more
    file_system: FileSystem
    caveat: str  # which changes raise no event, and when they are found; "" where there are none


@dataclass(frozen=True, slots=True)
class Machine:
    """The ports that a local feed stands on."""

    kernel: Kernel
    notify: Notify
    clock: Clock


def this_machine() -> Machine:
    """The real ones."""
    return Machine(LinuxKernel(), LinuxNotify(), SystemClock())


async def open_local_feed(
    path: str, *, scan_interval_s: float, prefer: Prefer = Prefer.FANOTIFY, machine: Machine | None = None
) -> Chosen:
    """Watch the directory `path`: everything below it is under watch when this returns, so a scan that begins then misses nothing.

    What cannot be watched is announced every `scan_interval_s`, and named by `Feed.problems`. Cancelled, it leaves nothing open.

    Raises:
        RootMissing: the directory is not there.
        NotPermitted: it cannot be read.
    """
    machine = machine or this_machine()
    found = file_system(machine.kernel, machine.notify, path)
    caveat = found.caveat(scan_interval_s)
    reasons: list[str] = []
    last: LakelinkError | None = None
    for kind, why in _candidates(machine, path, found, prefer, reasons):
        root = WatchedRoot(machine.kernel, path)
        gathering = Gathering()
        source = _SOURCES[kind](machine, root, gathering, found)
        feed = LocalFeed(
            source, root, gathering, notify=machine.notify, clock=machine.clock, scan_interval_s=scan_interval_s
        )
        try:
            await feed.start()
        except (Unsupported, WatchLimit) as error:
            last = error
            reasons.append(f"{error.message[:1].upper()}{error.message[1:]}.")
        else:
            return Chosen(feed, " ".join([*reasons, why]), found, caveat)
    problems = [problem_of(ROOT, last)] if last is not None else []
    why = f"Changes are found by scan only, every {scan_interval_s:g} s."
    return Chosen(PollFeed(machine.clock, scan_interval_s, problems), " ".join([*reasons, why]), found, caveat)


_SOURCES: dict[Prefer, Callable[[Machine, WatchedRoot, Gathering, FileSystem], Source]] = {
    Prefer.FANOTIFY: lambda machine, root, gathering, found: FanotifySource(
        machine.kernel, machine.notify, root, gathering, whole_mount=found.whole_mount
    ),
    Prefer.INOTIFY: lambda machine, root, gathering, _: InotifySource(machine.kernel, machine.notify, root, gathering),
}


def _candidates(
    machine: Machine, path: str, found: FileSystem, prefer: Prefer, reasons: list[str]
) -> list[tuple[Prefer, str]]:
    """What to try, in order, each with the sentence for the case that it works."""
    if prefer is Prefer.POLL:
        return []
    inotify = (Prefer.INOTIFY, "inotify watches each directory.")
    if prefer is Prefer.INOTIFY or found.remote:
        return [inotify]
    if machine.kernel.geteuid():
        reasons.append("fanotify needs root.")
        return [inotify]
    with WatchedRoot(machine.kernel, path).open() as fd:
        place = machine.notify.place_of(fd).decode("utf-8", "surrogateescape")
    if mounts_below(parse_mounts(machine.notify.mount_table()), place):
        reasons.append("Other file systems are mounted below the root, and fanotify sees one.")
        return [inotify]
    if found.whole_mount:
        return [(Prefer.FANOTIFY, "The root is a mount of its own: one fanotify mark covers the file system."), inotify]
    return [(Prefer.FANOTIFY, "fanotify marks each directory."), inotify]
