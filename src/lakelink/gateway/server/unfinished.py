"""Uploads to stores that are under way, written down: a store keeps the parts of an upload whose process was killed, until somebody takes them away.

`STATE/gateway/uploads/NAME`, one file for each process, locked (flock) as long as it lives. A line is `["+", LOCATION, PATH]`, or with "-" when the upload
is over. Nothing rests on it but what is left behind: it is not brought to stable storage, and a power failure may cost the last lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from lakelink.errors import LakelinkError, Retry
from lakelink.locations.base import Location, Uploader

DIRECTORY = "uploads"
LONGEST_BYTES = 1 << 20  # of a file; then it is written anew
SWEPT_WITHIN_S = 5.0  # clients wait meanwhile; what is not swept then is left to the next start

Opener = Callable[[str], Awaitable[Location]]
Key = tuple[str, str]
_Line = tuple[str, str, str]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class Unfinished:
    """The record of this process. Belongs to one event loop; `close` it at the end."""

    def __init__(self, directory: Path, name: str) -> None:
        """Make the file, 0600, which has to be new. Raises OSError."""
        self._directory = directory / DIRECTORY
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._path, hidden = self._directory / name, self._directory / f".{name}"
        self._fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(self._path)  # nobody finds it before it is locked
        self._open: Counter[Key] = Counter()
        self._size_bytes = 0

    def note(self, location: str, path: str, is_open: bool) -> None:
        """An upload has begun, or is over. What the disk does not take is not written down."""
        self._open[location, path] += 1 if is_open else -1
        if self._open[location, path] <= 0:
            del self._open[location, path]
        with contextlib.suppress(OSError, UnicodeEncodeError):
            if self._size_bytes > LONGEST_BYTES:
                os.ftruncate(self._fd, 0)
                self._size_bytes = 0
                self._write(*(("+", *key) for key in self._open))
            else:
                self._write(("+" if is_open else "-", location, path))

    async def sweep(self, opener: Opener) -> int:
        """Take away what processes that are gone have left, but for what somebody here is uploading now; returns how many uploads that were.

        What cannot be reached, or takes too long, is left to the next start. Call it before this process takes clients: one that comes back sends
        the same file again at once.
        """
        try:
            async with asyncio.timeout(SWEPT_WITHIN_S):
                return await self._sweep(opener)
        except TimeoutError:
            return 0

    def close(self) -> None:
        """Everything is over. Idempotent."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1

    async def _sweep(self, opener: Opener) -> int:
        living, dead, found = set[Key](self._open), dict[int, Path](), set[Key]()
        try:
            for path in sorted(self._directory.iterdir()):
                if path == self._path or path.name.startswith(".") or (fd := _opened(path)) < 0:
                    continue
                if _locked(fd):
                    dead[fd] = path
                    found |= _read(fd)
                else:
                    living |= _read(fd)
                    os.close(fd)
            swept, is_all = await _abort(found - living, opener)
            for path in dead.values() if is_all else ():
                path.unlink(missing_ok=True)
        except OSError:
            return 0
        finally:
            for fd in dead:
                os.close(fd)
        return swept

    def _write(self, *lines: _Line) -> None:
        data = b"".join(_encode(line) + b"\n" for line in lines)
        self._size_bytes += os.write(self._fd, data)


async def _abort(keys: set[Key], opener: Opener) -> tuple[int, bool]:
    """How many uploads were given up, and whether another start would find nothing more to do."""
    aborted, is_all = 0, True
    for text in sorted({location for location, _ in keys}):
        try:
            location = await opener(text)
            if isinstance(location, Uploader):
                aborted += await location.abort_uploads(sorted(path for of, path in keys if of == text))
        except LakelinkError as error:  # a location that is gone from the settings never comes back by waiting
            is_all = is_all and error.retry is not Retry.LATER
    return aborted, is_all


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(fd: int) -> set[Key]:
    """What was open when the last whole line was written."""
    found: Counter[Key] = Counter()
    with open(fd, "rb", closefd=False) as file:  # of a descriptor
        for line in file:
            with contextlib.suppress(msgspec.MsgspecError):
                sign, location, path = _decode(line)
                found[location, path] += 1 if sign == "+" else -1
    return {key for key, count in found.items() if count > 0}
