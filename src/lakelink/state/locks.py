"""One run per target: advisory locks in the state directory, which the kernel drops when the process ends, however it ends.

A run holds its target alone, and shares the places above it with runs beside it. So a run on `s3://lake` and one on `s3://lake/raw` exclude
each other: with --delete the one would remove what the other is just writing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lakelink.errors import Busy
from lakelink.model.path import display


@contextmanager
def target_lock(directory: Path, target_url: str) -> Iterator[None]:
    """Hold the lock of a target while the body runs.

    Raises:
        Busy: another run holds it; nothing was touched. The message names its process.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        for url in _above(target_url):
            fd = _open(directory, url, held)
            if not _try(fd, fcntl.LOCK_SH):
                raise _busy(_holder(fd), url)
        fd = _open(directory, target_url, held)
        if not _try(fd, fcntl.LOCK_EX):
            # A lock that can be shared is held by runs below this place, and the process written in it has ended.
            shared = _try(fd, fcntl.LOCK_SH)
            raise _busy("another process" if shared else _holder(fd), f"{target_url}/…" if shared else target_url)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()}".encode(), 0)
        yield


def _above(url: str) -> Iterator[str]:
    """The places that hold this one, from the top."""
    scheme, colon, path = url.partition("://")
    for cut in (number for number, letter in enumerate(path) if letter == "/" and number):
        yield scheme + colon + path[:cut]


def _open(directory: Path, url: str, held: ExitStack) -> int:
    name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32] + ".lock"
    # The file stays: removing it would let two runs lock two different inodes of the same name.
    fd = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held.callback(os.close, fd)
    return fd


def _try(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "another process"


def _busy(holder: str, url: str) -> Busy:
    return Busy(
        f"another run ({holder}) is writing to {display(url)}",
        hint="Wait until it has ended; two runs on one target would undo each other.",
    )
