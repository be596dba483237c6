"""A guarded lazy tree doing one piece of work, in a process of its own: `python -m tests.bench.lazy WORK URL DIRECTORY RESULT`. RESULT gets a JSON document."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from lakelink.links.hsm.base import Candidate, GuardSpec, NewStub
from lakelink.links.hsm.guard import KernelGuard, prepare_backing
from lakelink.links.hsm.marking import Marking
from lakelink.links.hsm.stub import Origin
from lakelink.locations.base import LocationSpec
from lakelink.locations.resolve import OpenOptions, open_location
from lakelink.model.entry import Kind, Posix, Version
from lakelink.ports import permission

Figures = dict[str, float]
MANY = 100_000
MILLION = 1_000_000
REST_S = 60
CACHES = ("ext4_inode_cache", "dentry")  # the kernel keeps marks in a cache that has no name of its own
CROWD = 16

# What a program that reads files does: open, read to the end, close. Times in seconds, one a line.
READER = """
import os, sys, time
clock = time.perf_counter
for name in sys.stdin.read().split("\\n"):
    began = clock()
    fd = os.open(name, os.O_RDONLY)
    while os.read(fd, 1 << 20):
        pass
    os.close(fd)
    print(clock() - began)
"""
LOADED = """
import mmap, os, random, sys, time
def took(work):
    best = 1e9
    for _ in range(7):
        began = time.perf_counter(); work(); best = min(best, time.perf_counter() - began)
    return best
def sequential():
    os.lseek(fd, 0, 0)
    while os.read(fd, 1 << 20): pass
def at_random():
    for at in places: os.pread(fd, 4096, at)
def mapped():
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        for at in places: view[at]
def opened():
    for _ in range(20000): os.close(os.open(sys.argv[1], os.O_RDONLY))
fd = os.open(sys.argv[1], os.O_RDONLY); size = os.fstat(fd).st_size
chance = random.Random(1); places = [chance.randrange(size // 4096) * 4096 for _ in range(100000)]
sequential()
print(took(sequential), took(at_random), took(mapped), took(opened))
"""


class Lazy:
    """A guard over a prefix, and the stubs of what is in it."""

    def __init__(self, url: str, directory: Path) -> None:
        backing = directory / ".lakelink-view"
        prepare_backing(str(backing))
        self.url = url
        self.options = {"endpoint": os.environ["AWS_ENDPOINT_URL_S3"], "region": "us-east-1", "addressing": "path"}
        self.tree, self.view = backing / "tree", directory / "view"
        spec = GuardSpec(
            tree=str(self.tree), view=str(self.view), state=str(backing), locations={"s3": (url, "", self.options)}
        )
        self.guard = KernelGuard(spec)
        self.stubs: list[NewStub] = []

    async def make(self) -> None:
        """Stubs of all that is in the prefix."""
        location = await open_location(LocationSpec(self.url, "", self.options), OpenOptions(writable=False))
        rows = [row async for batch in location.scan() for row in batch.rows if row.kind is Kind.FILE]
        await location.aclose()
        for row in rows:
            (self.tree / row.path).parent.mkdir(parents=True, exist_ok=True)
            posix = Posix(0o644, 0, 0, row.time_ns, row.time_ns)
            self.stubs.append(NewStub(row.path, posix, Origin("s3", row.path, row.version)))
        self.stubs.sort(key=lambda one: one.path)
        made = self.guard.make(self.stubs)
        assert all(isinstance(one, Version) for one in made)

    async def release(self) -> None:
        sights = self.guard.state([one.path for one in self.stubs])
        pairs = zip(sights, self.stubs, strict=True)
        await self.guard.release([Candidate(new.path, s.version, new.origin) for s, new in pairs if s is not None])

    def worker(self) -> tuple[float, float]:
        """CPU seconds and peak RSS in MiB of the worker."""
        pid = self.guard.crew.worker_pid
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return _cpu_s(pid), int(peak.split()[1]) / 1024

    async def read(self, paths: list[str], readers: int) -> tuple[float, list[float]]:
        """Read all, spread over so many processes; wall time, and the time of each file."""
        jobs = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", READER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(readers)
        ]
        names = [["/".join((str(self.view), path)) for path in paths[number::readers]] for number in range(readers)]
        began_s = time.perf_counter()
        asked = zip(jobs, names, strict=True)
        outs = await asyncio.gather(*(job.communicate("\n".join(mine).encode()) for job, mine in asked))
        wall_s = time.perf_counter() - began_s
        return wall_s, [float(line) for out, _ in outs for line in out.split()]


async def first(lazy: Lazy) -> Figures:
    """One reader, one stub after the other."""
    await lazy.make()
    paths = [one.path for one in lazy.stubs]
    _, times = await lazy.read(paths[:200], 1)
    return {"p50 ms": statistics.median(times) * 1e3, "p95 ms": sorted(times)[int(len(times) * 0.95)] * 1e3}


async def crowd(lazy: Lazy) -> Figures:
    """Sixteen readers on a thousand stubs; a first round warms the connections up."""
    await lazy.make()
    paths = [one.path for one in lazy.stubs]
    await lazy.read(paths[1000:], CROWD)
    before_s, _ = lazy.worker()
    wall_s, times = await lazy.read(paths[:1000], CROWD)
    cpu_s, _ = lazy.worker()
    ranked = sorted(times)
    return {
        "stubs/s": len(times) / wall_s,
        "p50 ms": ranked[len(ranked) // 2] * 1e3,
        "p99 ms": ranked[int(len(ranked) * 0.99)] * 1e3,
        "worker CPU us/stub": (cpu_s - before_s) * 1e6 / len(times),
    }


async def cat(lazy: Lazy) -> Figures:
    """The only stub of the prefix, a large one."""
    await lazy.make()
    began_s = time.perf_counter()
    job = await asyncio.create_subprocess_exec("cat", lazy.view / lazy.stubs[0].path, stdout=subprocess.DEVNULL)
    await job.wait()
    wall_s = time.perf_counter() - began_s
    cpu_s, rss_mib = lazy.worker()
    return {"cat s": wall_s, "worker CPU s": cpu_s, "worker RSS MiB": rss_mib}


async def loaded(lazy: Lazy) -> Figures:
    """A file that was a stub, beside the same file in a plain directory: seconds, and ratios."""
    await lazy.make()
    path = lazy.view / lazy.stubs[0].path
    plain = lazy.view.parent / "plain"
    await _output("cp", path, plain)
    await lazy.guard.settle()
    figures: dict[str, list[float]] = {}
    for place in (plain, path, plain, path):
        out = await _output(sys.executable, "-c", LOADED, place)
        was = figures.get(str(place))
        now = [float(word) for word in out.split()]
        figures[str(place)] = now if was is None else [min(one, two) for one, two in zip(was, now, strict=True)]
    words = ("read", "random read", "mmap", "open")
    ratios = [mine / theirs for mine, theirs in zip(figures[str(path)], figures[str(plain)], strict=True)]
    return dict(zip((f"{word} x" for word in words), ratios, strict=True))


async def _output(*command: str | Path) -> bytes:
    job = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out, _ = await job.communicate()
    assert job.returncode == 0
    return out


def _rows(first: int, count: int) -> list[NewStub]:
    """What a listing would tell of so many objects, a hundred in a directory."""
    version = Version(4096, 1_700_000_000_000_000_000, etag="9e107d9d372bb6826bd81d3542a419d6")
    posix = Posix(0o644, 1000, 1000, version.time_ns, version.time_ns)
    paths = (f"d{number // 100:05}/part-{number:07}.parquet" for number in range(first, first + count))
    return [NewStub(path, posix, Origin("s3", path, version)) for path in paths]


def _make(lazy: Lazy, count: int) -> tuple[float, float]:
    """Make so many in an empty tree, as a link does, some thousands in a call; wall and CPU seconds of that, with the maker's."""
    for number in range(count // 100):
        (lazy.tree / f"d{number:05}").mkdir()
    wall_s = cpu_s = 0.0
    for first in range(0, count, MANY):
        stubs = _rows(first, min(MANY, count - first))
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        made = lazy.guard.make(stubs)
        wall_s, cpu_s = wall_s + time.perf_counter() - began_s, cpu_s + time.process_time() - began_cpu_s
        assert all(isinstance(one, Version) for one in made)
    maker = lazy.guard.maker_pid
    return wall_s, cpu_s + (_cpu_s(maker) if maker else 0.0)


async def create(lazy: Lazy) -> Figures:
    """A hundred thousand stubs from rows, in a thousand directories."""
    slab = _slab_bytes()
    wall_s, cpu_s = _make(lazy, MANY)
    last = _rows(MANY - 1, 1)[0].path
    return {
        "stubs/s": MANY / wall_s,
        "CPU us/stub of both processes": cpu_s * 1e6 / MANY,
        "kernel bytes/stub": (_slab_bytes() - slab) / MANY,
        "disk bytes/stub": lazy.guard.state([last])[0].allocated_bytes,
    }


async def idle(lazy: Lazy) -> Figures:
    """A million stubs: what they take while nothing happens, and what it takes to mark them anew, as after a boot."""
    before, slab = _kernel_bytes(), _slab_bytes()
    wall_s, cpu_s = _make(lazy, MILLION)
    after, slab = _kernel_bytes(), _slab_bytes() - slab
    worker, holder = lazy.guard.crew.worker_pid, lazy.guard.crew.holder_pid
    rest_cpu_s = [_cpu_s(pid) for pid in (worker, holder, os.getpid())]
    await asyncio.sleep(REST_S)
    rest_cpu_s = [_cpu_s(pid) - was for pid, was in zip((worker, holder, os.getpid()), rest_cpu_s, strict=True)]
    permission.flush_marks(lazy.guard.tree.group_fd)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    found = await asyncio.to_thread(Marking(lazy.guard.tree, None).run)
    assert found.stubs == MILLION
    return {
        "stubs/s": MILLION / wall_s,
        "CPU us/stub": cpu_s * 1e6 / MILLION,
        "slab bytes/stub": slab / MILLION,
        **{f"{name} bytes/stub": (after[name] - before.get(name, 0)) / MILLION for name in after},
        "worker RSS MiB": _rss_mib(worker),
        "holder RSS MiB": _rss_mib(holder),
        f"CPU s of worker in {REST_S} s": rest_cpu_s[0],
        "of holder": rest_cpu_s[1],
        "of daemon": rest_cpu_s[2],
        "marking anew s": time.perf_counter() - began_s,
        "marking anew CPU s": time.process_time() - began_cpu_s,
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _kernel_bytes() -> dict[str, int]:
    """Of the kernel's caches that a marked inode is in."""
    lines = (line.split() for line in Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()[2:])
    return {name: int(active) * int(size) for name, active, _, size, *_ in lines if name in CACHES}


def _slab_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Slab:")) * 1024


WORKS: dict[str, Callable[[Lazy], Awaitable[Figures]]] = {
    "first": first, "crowd": crowd, "cat": cat, "loaded": loaded, "create": create, "idle": idle,
}  # fmt: skip


async def main(work: str, url: str, directory: str) -> Figures:
    lazy = Lazy(url, Path(directory))
    await lazy.guard.start()
    try:
        await asyncio.sleep(1)  # the worker opens its locations
        figures = await WORKS[work](lazy)
    finally:
        await lazy.guard.stop()
    return figures


if __name__ == "__main__":
    Path(sys.argv[4]).write_text(json.dumps(asyncio.run(main(*sys.argv[1:4]))), encoding="utf-8")
