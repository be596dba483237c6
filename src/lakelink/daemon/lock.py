"""One daemon per state directory; commands that change the registry by themselves keep a daemon from starting meanwhile.

Advisory locks on `STATE/daemon.lock`, which the kernel drops when a process ends, however it ends. A daemon holds it alone; a command that
finds no daemon shares it while it works, so that no daemon reads a registry that is just being changed.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakelink.errors import Busy

LOCK = "daemon.lock"
COMMANDS_END_WITHIN_S = 10.0  # a command that holds the lock writes a row or two
POLL_S = 0.05


@contextmanager
def daemon_lock(state_dir: Path) -> Iterator[None]:
    """Be the daemon of this state directory while the body runs.

    Raises:
        Busy: there is one; the message names its process.
    """
    fd = _open(state_dir)
    try:
        deadline_s = time.monotonic() + COMMANDS_END_WITHIN_S
        while not _try(fd, fcntl.LOCK_EX):
            # Whoever shares it is a command, and about to end; a lock that cannot be shared is a daemon's.
            if not _try(fd, fcntl.LOCK_SH):
                raise Busy(
                    f"a daemon ({_holder(fd)}) serves {state_dir} already",
                    hint="Commands reach that one. For a second daemon set LAKELINK_STATE_DIR to another directory.",
                )
            fcntl.flock(fd, fcntl.LOCK_UN)
            if time.monotonic() > deadline_s:
                raise Busy(f"a command is changing {state_dir}", hint="Wait until it has ended, and start again.")
            time.sleep(POLL_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def no_daemon(state_dir: Path) -> Iterator[bool]:
    """Keep daemons from starting while the body runs; False where one runs (or is just starting) and has to be asked instead."""
    fd = _open(state_dir)
    try:
        yield _try(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def holder(state_dir: Path) -> str:
    """Who the daemon is: "process 4711"; "" where none runs. Nothing is made."""
    try:
        fd = os.open(state_dir / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return "" if _try(fd, fcntl.LOCK_SH) else _holder(fd)
    finally:
        os.close(fd)


def _open(state_dir: Path) -> int:
    # The file stays: removing it would let two daemons lock two different inodes of the same name.
    return os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "another process"
