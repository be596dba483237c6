"""The daemon and its links, and what the kernel lets a user watch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lakelink.cli.checks.finding import Finding, fail, note, ok
from lakelink.errors import LakelinkError, NoDaemon
from lakelink.model.linkspec import LinkState, LinkStatus
from lakelink.model.path import display
from lakelink.model.units import format_bytes, format_duration

if TYPE_CHECKING:
    from lakelink.api.answers import Daemon

INOTIFY = Path("/proc/sys/fs/inotify")
FEW_WATCHES = 65_536  # one for each directory; large trees have more
FEW_INSTANCES = 128  # one for each link, beside those of other programs of the user
LOG = "Its log says more: `lakelink link log {name}`."


def links(state_dir: Path) -> Iterator[Finding]:
    """The daemon of this state directory and each of its links. Nothing is made."""
    from lakelink.api.calls import GetStatus
    from lakelink.daemon.client import Client

    try:
        report = Client(state_dir).ask(GetStatus())
    except NoDaemon:
        yield _resting(state_dir)
    except LakelinkError as error:
        yield fail("daemon", error.message, error.hint)
    else:
        yield from _daemon(report.daemon)
        yield from (_link(status) for status in report.links)
    if os.geteuid() != 0:
        yield _inotify()


def _resting(state_dir: Path) -> Finding:
    from lakelink.links.registry import FILE

    if not (state_dir / FILE).exists():
        return ok("daemon", "none runs, and there are no links")
    return note("daemon", f"none runs on {display(str(state_dir))}: links rest", "lakelink serve, or its systemd unit.")


def _daemon(daemon: Daemon) -> Iterator[Finding]:
    since = format_duration(max(0.0, time.time() - daemon.started_ns / 1e9))
    files = f"{daemon.open_files:,} of {daemon.max_open_files:,} files open"
    found = f"process {daemon.pid} of user {daemon.uid} for {since}, {format_bytes(daemon.rss_bytes)}, {files}"
    if daemon.open_files * 2 > daemon.max_open_files:
        yield note("daemon", found, "Raise LimitNOFILE= of its unit (ulimit -n).")
    else:
        yield ok("daemon", found)
    if daemon.settings_error:
        yield fail("settings", f"the daemon refused them: {daemon.settings_error}", "Mend them, and reload (SIGHUP).")


def _link(status: LinkStatus) -> Finding:
    check = f"link {status.name}"
    if status.state in {LinkState.MISCONFIGURED, LinkState.FAILED}:
        return fail(check, f"{status.state.value}: {status.reason}", status.hint or LOG.format(name=status.name))
    found = f"{status.state.value}{', paused' if status.paused else ''}, {status.agreed:,} paths agreed"
    if status.conflicts or status.problems:
        found += f", {status.conflicts:,} in conflict, {status.problems:,} in trouble"
        return note(check, found, f"lakelink link conflicts {status.name}; lakelink link problems {status.name}.")
    return ok(check, found)


def _inotify() -> Finding:
    """Root has fanotify, which has no such limits."""
    watches, instances = _limit("max_user_watches"), _limit("max_user_instances")
    if not watches:
        return note("inotify", "the kernel does not tell its limits", "Links find changes by scan where there is none.")
    found = f"{watches:,} directories can be watched, by {instances:,} programs"
    if watches < FEW_WATCHES or instances < FEW_INSTANCES:
        most = (max(watches, 8 * FEW_WATCHES), max(instances, 8 * FEW_INSTANCES))
        todo = f"sysctl fs.inotify.max_user_watches={most[0]} fs.inotify.max_user_instances={most[1]}; beyond them changes are found by scan."
        return note("inotify", found, todo)
    return ok("inotify", found)


def _limit(name: str) -> int:
    try:
        return int((INOTIFY / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
