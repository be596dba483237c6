"""The benchmarks: each gives its contenders, lakelink first."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench import peers
from tests.bench.measure import Contender
from tests.bench.peers import Store
from tests.bench.trees import fingerprint, large_file, small_files

MANY_FILES = 1000
Commands = Callable[[str, str], dict[str, list[str]]]


@dataclass
class Bench:
    """Where a benchmark works."""

    store: Store
    scratch: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def state(self) -> Path:
        return self.scratch / "state"

    def place(self, name: str) -> Path:
        return self.scratch / f"{name}-{next(self.numbers)}"


def _contender(bench: Bench, name: str, make: Callable[[], list[str]], check: Callable[[], str | None]) -> Contender:
    """A contender whose command is made anew for each run, on a fresh target."""
    contender = Contender(name, [], environment=bench.store.environment(bench.state), check=check)

    def prepare() -> None:
        contender.command = make()

    contender.prepare = prepare
    return contender


def upload(bench: Bench, source: Path, tools: Commands) -> list[Contender]:
    """A tree to an empty prefix."""
    wanted = len(fingerprint(source))

    def one(name: str) -> Contender:
        target = {"": ""}

        def make() -> list[str]:
            target[""] = bench.store.url(f"up/{name}-{next(bench.numbers)}")
            return tools(str(source), target[""])[name]

        def check() -> str | None:
            found = _count(bench, target[""])
            return None if found == wanted else f"{found} of {wanted} objects"

        return _contender(bench, name, make, check)

    return [one(name) for name in tools("", "")]


def download(bench: Bench, source: Path, tools: Commands) -> list[Contender]:
    """A prefix, put there by s5cmd or lakelink alike, to an empty directory."""
    origin = bench.store.url(f"down/{next(bench.numbers)}")
    must(bench, peers.lakelink(str(source), origin))
    wanted = fingerprint(source)

    def one(name: str) -> Contender:
        target: list[Path] = []

        def make() -> list[str]:
            _make_room(target)
            target.append(bench.place(f"down-{name}"))
            target[0].mkdir()
            return tools(origin, str(target[0]))[name]

        def check() -> str | None:
            found = fingerprint(target[0])
            return None if found == wanted else f"{len(found)} of {len(wanted)} files, or other sizes"

        return _contender(bench, name, make, check)

    return [one(name) for name in tools("", "")]


def unchanged(bench: Bench, source: Path, tools: Commands) -> list[Contender]:
    """A tree that is already there on the same disk: each tool made its own copy before."""

    def one(name: str) -> Contender:
        target = str(bench.place(f"same-{name}"))
        Path(target).mkdir()
        command = tools(str(source), target)[name]
        for _ in range(2):  # the second run is the first that finds nothing to do
            must(bench, command)
        return Contender(name, command, environment=bench.store.environment(bench.state))

    return [one(name) for name in tools("", "")]


def unchanged_lake(bench: Bench, source: Path, tools: Commands) -> list[Contender]:
    """A tree that is already in the lake. All look at the same objects, which lakelink put there, and none may write one."""
    target = bench.store.url(f"same-{next(bench.numbers)}")
    must(bench, peers.lakelink(str(source), target))
    made = _newest(bench, target)

    def check() -> str | None:
        return None if _newest(bench, target) == made else "objects were written"

    def one(name: str) -> Contender:
        command = tools(str(source), target)[name]
        must(bench, command)  # what it keeps for the next time is there
        return Contender(name, command, environment=bench.store.environment(bench.state), check=check)

    return [one(name) for name in tools("", "")]


def copy(bench: Bench, source: Path, tools: Commands) -> list[Contender]:
    """A tree to an empty directory on the same disk."""
    wanted = fingerprint(source)

    def one(name: str) -> Contender:
        target: list[Path] = []

        def make() -> list[str]:
            _make_room(target)
            target.append(bench.place(f"copy-{name}"))
            return tools(str(source), str(target[0]))[name]

        def check() -> str | None:
            return None if fingerprint(target[0]) == wanted else "files are missing"

        return _contender(bench, name, make, check)

    return [one(name) for name in tools("", "")]


@contextmanager
def slow_line(store: Store, rtt_ms: int, mbit_per_s: int) -> Iterator[Store]:
    """The same store behind a line of that round trip and rate."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    there = store.endpoint.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.bench.line", str(port), there, str(rtt_ms), str(mbit_per_s)]
    process = subprocess.Popen(command)
    try:
        yield replace(store, endpoint=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


def start_up(bench: Bench) -> list[Contender]:
    """`--version`, and a sync of an empty directory."""
    empty = bench.place("empty")
    empty.mkdir()
    target = bench.place("empty-target")
    environment = bench.store.environment(bench.state)
    return [
        Contender("lakelink --version", [str(peers.BIN / "lakelink"), "--version"], environment=environment),
        Contender(
            "lakelink sync of an empty directory", peers.lakelink(str(empty), str(target)), environment=environment
        ),
        Contender(
            "lakelink sync of an empty directory to S3",
            peers.lakelink(str(empty), bench.store.url("empty")),
            environment=environment,
        ),
        Contender("rclone version", [str(peers.BIN / "rclone"), "version"], environment=environment),
    ]


def small(bench: Bench, count: int, size_bytes: int = 4096) -> Path:
    return small_files(bench.place("small"), count, size_bytes)


def large(bench: Bench, mib: int) -> Path:
    return large_file(bench.place("large"), mib << 20)


def _make_room(target: list[Path]) -> None:
    """Forget the target of the round before. Large files go; many small ones stay to the end: ext4 keeps clear of inodes that were freed within
    the last minute, and stepping over thousands of them would be half of the next contender's CPU time.
    """
    if target and len(fingerprint(target[0])) < MANY_FILES:
        shutil.rmtree(target[0], ignore_errors=True)
    target.clear()


def must(bench: Bench, command: list[str]) -> None:
    import os

    environment = {**os.environ, **bench.store.environment(bench.state)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} … ended with {done.returncode}: {done.stderr[-500:]}")


def _count(bench: Bench, url: str) -> int:
    return sum(1 for line in _listed(bench, url) if line and not line.endswith("/"))


def _newest(bench: Bench, url: str) -> str:
    """When the last object was written, and how many there are."""
    times = _listed(bench, url, "--use-server-modtime", "--format", "t")
    return f"{max(times)} {len(times)}"


def _listed(bench: Bench, url: str, *options: str) -> list[str]:
    import os

    environment = {**os.environ, **bench.store.environment(bench.state)}
    there = url.replace("s3://", "s3:")
    command = [str(peers.BIN / "rclone"), "lsf", "-R", "--files-only", "--fast-list", *options, there]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
