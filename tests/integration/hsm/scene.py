"""A lazy tree on a real file system, guarded by real processes, with a directory as its lake. Readers are always other processes, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

from lakelink.links.hsm.base import Candidate, GuardSpec, NewStub, Outcome, Result, Sight
from lakelink.links.hsm.guard import KernelGuard, prepare_backing
from lakelink.links.hsm.holding import find_holder
from lakelink.links.hsm.stub import Origin
from lakelink.model.entry import Posix, Version

WITHIN_S = 60.0
MTIME_NS = 1_600_000_000_123_456_789
_T = TypeVar("_T")


class Loop:
    """An event loop in a thread: guards live there, as in the daemon."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, _T], within_s: float = WITHIN_S) -> _T:
        return self.start(work).result(within_s)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Scene:
    """`lake` holds the bytes, `view` is what users see, `tree` is behind it."""

    def __init__(self, top: Path, **spec: Any) -> None:
        self.top = top
        self.lake = top / "lake"
        self.lake.mkdir(parents=True, exist_ok=True)
        self.backing = top / ".lakelink-view"
        prepare_backing(str(self.backing))
        self.tree = self.backing / "tree"
        self.view = top / "view"
        locations = {"lake": (f"file://{self.lake}", "", {}), **spec.pop("locations", {})}
        self.spec = GuardSpec(
            tree=str(self.tree), view=str(self.view), state=str(self.backing), locations=locations, **spec
        )
        self.loop = Loop()
        self.guard = KernelGuard(self.spec)
        self.contents: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self.loop.run(self.guard.start())
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever still waits is freed: the view goes, then the processes, then the group.
        with contextlib.suppress(Exception):
            self.loop.run(self.guard.stop(), 30)
        self.clear()
        self.loop.close()

    def clear(self) -> None:
        """End what a test left: holder and worker by their numbers, the view."""
        held = find_holder(str(self.backing))
        if held is not None:
            if held.worker:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(held.worker, signal.SIGKILL)
            held.quit()
            os.close(held.group_fd)
            held.connection.close()
        subprocess.run(["umount", "-l", self.view], check=False, capture_output=True)

    def again(self) -> None:
        """Another daemon: a new guard in the place of this one, which was not stopped."""
        self.guard = KernelGuard(self.spec)
        self.loop.run(self.guard.start())

    # What is in the lake and in the tree
    def put(self, path: str, data: bytes) -> None:
        """Put a file into the lake."""
        self.contents[path] = data
        place = self.lake / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, ns=(MTIME_NS, MTIME_NS))

    def origin(self, path: str) -> Origin:
        found = (self.lake / path).stat()
        return Origin("lake", path, Version(found.st_size, found.st_mtime_ns, ino=found.st_ino))

    def stub(self, path: str) -> NewStub:
        return NewStub(path, Posix(0o644, 0, 0, MTIME_NS, MTIME_NS), self.origin(path))

    def make(self, files: dict[str, bytes]) -> None:
        """Put files into the lake and their stubs into the tree."""
        for path, data in files.items():
            self.put(path, data)
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        made = self.guard.make([self.stub(path) for path in files])
        assert all(isinstance(one, Version) for one in made), made

    def sight(self, path: str) -> Sight:
        (sight,) = self.guard.state([path])
        assert sight is not None
        return sight

    def is_stub(self, path: str) -> bool:
        return self.sight(path).flags.is_stub

    def candidate(self, path: str) -> Candidate:
        sight = self.sight(path)
        version = Version(len(self.contents[path]), MTIME_NS, ino=sight.version.ino)
        return Candidate(path, version, self.origin(path))

    def release(self, *paths: str) -> list[Outcome]:
        return [one.outcome for one in self.releasing(*paths)]

    def releasing(self, *paths: str) -> list[Result]:
        return self.loop.run(self.guard.release([self.candidate(path) for path in paths]))

    # Readers
    def cat(self, path: str) -> bytes:
        return run("cat", self.view / path)

    def reader(self, path: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["cat", self.view / path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*command: Any, check: bool = True, within_s: float = WITHIN_S, **options: Any) -> bytes:
    """Run to the end; what it printed. A reader that waits for ever is killed and fails the test."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, timeout=within_s, check=False, **options
    )
    assert not check or done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def python(program: str, *arguments: Any, **options: Any) -> bytes:
    """Run a small program with nothing of this process in it."""
    return run(sys.executable, "-I", "-S", "-c", program, *arguments, **options)


def finish(reader: subprocess.Popen[bytes], within_s: float = WITHIN_S) -> tuple[bytes, bytes]:
    """What it read and what it complained of."""
    try:
        return reader.communicate(timeout=within_s)
    finally:
        reader.kill()


def waits(reader: subprocess.Popen[bytes]) -> bool:
    """Whether the kernel holds it: in state D, within the time."""
    poll = select.poll()
    for _ in range(int(WITHIN_S * 100)):
        state = Path(f"/proc/{reader.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        if state == "D":
            return True
        if state == "Z":
            return False
        poll.poll(10)
    return False


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without zeros in a row, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def remove(top: Path) -> None:
    shutil.rmtree(top, ignore_errors=True)


def eventually(check: Any, within_s: float = WITHIN_S) -> None:
    """Wait for what other processes bring about."""
    poll = select.poll()
    for _ in range(int(within_s * 50)):
        if check():
            return
        poll.poll(20)
    raise AssertionError("it did not come about")


def files_of(sizes: Sequence[int]) -> dict[str, bytes]:
    return {f"d/f{number}": noise(size, number) for number, size in enumerate(sizes)}
