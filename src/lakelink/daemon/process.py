"""What this process uses of the machine (proc(5))."""

from __future__ import annotations

import os
import resource
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """At this moment; CPU since the process began."""

    open_files: int
    max_open_files: int
    threads: int
    rss_bytes: int
    cpu_s: float


def usage() -> Usage:
    """Look. Where there is no /proc, what only it knows is 0."""
    times = os.times()
    return Usage(
        open_files=_entries("/proc/self/fd"),
        max_open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        threads=_entries("/proc/self/task") or threading.active_count(),
        rss_bytes=_rss_bytes(),
        cpu_s=times.user + times.system,
    )


def raise_file_limit() -> None:
    """Take all the open files that this user may have: a link holds a few, and there may be any number of links."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _entries(directory: str) -> int:
    try:
        return len(os.listdir(directory))  # noqa: PTH208  # only their number counts
    except OSError:
        return 0


def _rss_bytes() -> int:
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")
