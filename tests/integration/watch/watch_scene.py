"""What the tests of the feeds share: opening one, gathering what it says, and knowing that it has said everything."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lakelink.ports.notify import FAN_RENAME, LinuxNotify
from lakelink.watch.choose import Machine, Prefer, open_local_feed, this_machine
from lakelink.watch.feed import MAX_HINTS, Feed, Hint

DEADLINE_S = 60.0
_libc = ctypes.CDLL(None, use_errno=True)


def mount_ext4(top: Path) -> None:
    make = shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if make is None:
        pytest.skip("mkfs.ext4 is not installed")
    image = top.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run([make, "-q", "-N", "20000", str(image)], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(top)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop mount of ext4 here: {done.stderr.strip()}")
    with contextlib.suppress(FileNotFoundError):
        (top / "lost+found").rmdir()


def mount_tmpfs(top: Path) -> None:
    top.mkdir(exist_ok=True)
    if _libc.mount(b"none", os.fsencode(top), b"tmpfs", 0, b""):
        pytest.skip(f"mounting is not allowed here: {os.strerror(ctypes.get_errno())}")


def unmount(top: Path, *, lazy: bool = True) -> None:
    if _libc.umount2(os.fsencode(top), 2 if lazy else 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class WithoutRename(LinuxNotify):
    """A kernel before 5.17."""

    def fanotify_mark(self, fd: int, flags: int, mask: int, directory_fd: int) -> None:
        if mask & FAN_RENAME:
            raise OSError(errno.EINVAL, "Invalid argument")
        super().fanotify_mark(fd, flags, mask, directory_fd)


@dataclass
class Place:
    root: Path
    kind: str
    outside: Path
    machine: Machine = field(default_factory=this_machine)

    def __post_init__(self) -> None:
        if self.kind == "fanotify-halves":
            self.machine = replace(self.machine, notify=WithoutRename())

    @contextlib.asynccontextmanager
    async def watched(self, *, scan_interval_s: float = 600.0) -> AsyncIterator[Seen]:
        kind = self.kind.partition("-")[0]
        chosen = await open_local_feed(
            str(self.root), scan_interval_s=scan_interval_s, prefer=Prefer(kind), machine=self.machine
        )
        if kind != chosen.feed.kind:
            await chosen.feed.aclose()
            pytest.skip(f"no {kind} here: {chosen.why}")
        assert ("one fanotify mark" in chosen.why) == (self.kind == "fanotify-whole")
        seen = Seen(chosen.feed, self.root)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(seen.listen())
            try:
                yield seen
            finally:
                await chosen.feed.aclose()
                listening.cancel()

    @property
    def pairs(self) -> bool:
        """Whether this kind of feed says where a file came from."""
        return self.kind != "fanotify-halves"


_numbers = itertools.count()


class Seen:
    """All that a feed has said."""

    def __init__(self, feed: Feed, root: Path) -> None:
        self.feed = feed
        self.root = root
        self.hints: list[Hint] = []
        self.largest = 0
        self.error: BaseException | None = None

    async def listen(self) -> None:
        try:
            async for delivery in self.feed.deliveries():
                self.largest = max(self.largest, len(delivery.hints))
                assert len(delivery.hints) <= MAX_HINTS
                self.hints += delivery.hints
                await delivery.taken()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.error is None, repr(self.error)
            assert time.monotonic() < end, f"{what or 'it'} did not happen; the last hints: {self.hints[-20:]}"
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        """Until the feed has failed."""
        end = time.monotonic() + DEADLINE_S
        while self.error is None:
            assert time.monotonic() < end, "the feed goes on"
            await asyncio.sleep(0.005)

    async def all(self) -> None:
        """Until every event so far has been delivered, and every directory that they told of is under watch."""
        source = self.feed._source
        for _ in range(2):
            mark = f"zz-mark-{next(_numbers)}"
            (self.root / mark).touch()
            await self.until(lambda mark=mark: self.covers(mark, exactly=True), f"the hint for {mark}")
            await self.until(lambda: not source.survey._walks and not self.feed._gathering, "the end of the survey")
            (self.root / mark).unlink()

    def of(self, path: str) -> list[Hint]:
        return [hint for hint in self.hints if hint.path == path]

    def last(self, path: str) -> Hint:
        return self.of(path)[-1]

    def covers(self, path: str, *, exactly: bool = False) -> bool:
        return covered(path, {h.path for h in self.hints}, {h.path for h in self.hints if h.subtree and not exactly})


def covered(path: str, paths: set[str], subtrees: set[str]) -> bool:
    """Whether `path` is one of `paths`, or at or below one of `subtrees`."""
    if path in paths or "" in subtrees:
        return True
    parts = path.split("/")
    return any("/".join(parts[:count]) in subtrees for count in range(1, len(parts) + 1))
