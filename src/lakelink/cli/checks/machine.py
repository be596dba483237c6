"""What this machine offers: interpreter, kernel, limits, the state directory. Each feature is tried, not guessed from a version."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lakelink.cli.checks.finding import Finding, fail, note, ok

OLDEST_PYTHON = (3, 11)
SYS_OPENAT2 = (
    437  # the same on every architecture: numbers from 424 on are shared (Linux, include/uapi/asm-generic/unistd.h)
)
AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
FAN_CLASS_NOTIF = 0
FAN_CLOEXEC = 1
COMFORTABLE_FDS = 1024


def machine(state_dir: Path) -> Iterator[Finding]:
    """All findings about this machine. Leaves nothing behind in the state directory."""
    yield _python()
    yield _openat2()
    yield from _state(state_dir)
    yield _fanotify()
    yield _fuse()
    yield _limits()


def _python() -> Finding:
    found = f"Python {platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return fail("python", found, "Install Python 3.11 or newer.")
    return ok("python", found)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2() -> Finding:
    """Opens that cannot leave a root, in one system call (Linux 5.6)."""
    kernel = f"Linux {platform.release()}"
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, 0)  # struct open_how: flags, mode, resolve
    fd = _libc().syscall(SYS_OPENAT2, AT_FDCWD, b".", ctypes.byref(how), ctypes.sizeof(how))
    if fd >= 0:
        os.close(fd)
        return ok("kernel", f"{kernel}, openat2")
    reason = errno.errorcode.get(ctypes.get_errno(), "?")
    return note(
        "kernel",
        f"{kernel}, no openat2 ({reason})",
        "Paths are opened component by component: as safe, a little slower.",
    )


def _state(state_dir: Path) -> Iterator[Finding]:
    """The state directory can be written, and what its file system can do."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="doctor-", dir=state_dir) as scratch:
            yield ok("state", f"{state_dir} can be written ({_free(state_dir)} free)")
            yield _exchange(Path(scratch))
            yield _reflink(Path(scratch))
    except OSError as error:
        yield fail(
            "state",
            f"{state_dir} cannot be written: {error.strerror}",
            "Set LAKELINK_STATE_DIR to a directory of yours; without state every sync starts from nothing.",
        )


def _free(path: Path) -> str:
    from lakelink.model.units import format_bytes

    room = os.statvfs(path)
    return format_bytes(room.f_bavail * room.f_frsize)


def _exchange(scratch: Path) -> Finding:
    """renameat2(RENAME_EXCHANGE): replace a file and see what was displaced, with no moment in between."""
    one, other = scratch / "one", scratch / "other"
    one.touch()
    other.touch()
    if _libc().renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0:
        return ok("exchange", "files can be exchanged atomically (renameat2)")
    reason = errno.errorcode.get(ctypes.get_errno(), "?")
    return note(
        "exchange", f"no atomic exchange on this file system ({reason})", "Replacing is checked right before instead."
    )


def _reflink(scratch: Path) -> Finding:
    one, other = scratch / "origin", scratch / "clone"
    one.write_bytes(b"x" * 4096)
    with one.open("rb") as origin, other.open("wb") as clone:
        try:
            fcntl.ioctl(clone.fileno(), FICLONE, origin.fileno())
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "?")
            return note("reflink", f"no reflinks on the state's file system ({reason}); local copies move their bytes")
    return ok("reflink", "local copies can share their blocks (FICLONE)")


def _fanotify() -> Finding:
    fd = _libc().fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, os.O_RDONLY)
    if fd >= 0:
        os.close(fd)
        return ok("fanotify", "whole file systems can be watched")
    reason = errno.errorcode.get(ctypes.get_errno(), "?")
    return note(
        "fanotify",
        f"file systems cannot be watched as a whole ({reason})",
        "It needs root; links watch each directory by inotify then. One-way sync does not use it.",
    )


def _fuse() -> Finding:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return note(
            "fuse", f"/dev/fuse cannot be opened: {error.strerror}", "Only mounts need it: load the fuse module."
        )
    return ok("fuse", "/dev/fuse can be opened")


def _limits() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft:,} open files, {hard:,} at most"
    if soft < COMFORTABLE_FDS:
        return note(
            "limits", found, f"Raise it with `ulimit -n {min(hard, 4 * COMFORTABLE_FDS)}` (LimitNOFILE= in a unit)."
        )
    return ok("limits", found)
