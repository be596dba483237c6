"""Release: never what is dirty, open, mapped or running; no reader ever sees a hole; a disk smaller than the tree."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time

import pytest

from lakelink.links.hsm.base import Candidate, Outcome
from lakelink.links.hsm.stub import Flags
from tests.integration.hsm.conftest import scene_at
from tests.integration.hsm.scene import MTIME_NS, Scene, eventually, finish, noise, run

DATA = noise(300_000, 1)
STRESS_S = float(os.environ.get("LAKELINK_HSM_STRESS_S", "3"))

HOLD = """
import mmap, os, sys
fd = os.open(sys.argv[2], os.O_RDWR if sys.argv[1] == "write" else os.O_RDONLY)
if sys.argv[1] == "map":
    kept = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    os.close(fd)
print("ready", flush=True)
sys.stdin.read()
"""


class Holding:
    """Another process that has the file open."""

    def __init__(self, scene: Scene, how: str, path: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLD, how, scene.view / path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)


def test_a_released_file_is_a_stub_that_looks_as_before_and_loads_again(any_file_system):
    with scene_at(any_file_system, "release") as scene:
        scene.make({"f": DATA})
        assert scene.cat("f") == DATA
        before = (scene.tree / "f").stat()
        (result,) = scene.releasing("f")
        assert result.outcome is Outcome.DONE
        assert result.freed_bytes >= len(DATA)
        after = (scene.tree / "f").stat()
        kept = ("st_ino", "st_size", "st_mtime_ns", "st_mode", "st_uid", "st_atime_ns")
        assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
        assert after.st_blocks * 512 <= 4096
        assert scene.release("f") == [Outcome.ALREADY]
        assert scene.cat("f") == DATA


@pytest.mark.parametrize("how", ["read", "write", "map"])
def test_what_is_open_or_mapped_is_not_released(scene, how):
    scene.make({"f": DATA})
    assert scene.cat("f") == DATA
    with Holding(scene, how, "f"):
        assert scene.release("f") == [Outcome.IN_USE]
    assert scene.cat("f") == DATA
    assert scene.release("f") == [Outcome.DONE]


def test_what_changed_or_must_stay_is_not_released(scene):
    scene.make({"dirty": DATA, "kept": DATA, "other": DATA})
    for path in ("dirty", "kept", "other"):
        scene.cat(path)
    run("sh", "-c", f"printf x >> {scene.view}/dirty")
    scene.loop.run(scene.guard.flag(["kept"], add=Flags.NORELEASE))
    candidate = scene.candidate("other")
    (scene.tree / "new").write_bytes(DATA)
    os.utime(scene.tree / "new", ns=(MTIME_NS, MTIME_NS))
    (scene.tree / "new").rename(scene.tree / "other")
    assert scene.release("dirty", "kept") == [Outcome.DIRTY, Outcome.NORELEASE]
    assert [one.outcome for one in scene.loop.run(scene.guard.release([candidate]))] == [Outcome.DIRTY]
    assert scene.sight("dirty").flags & Flags.DIRTY
    scene.loop.run(scene.guard.flag(["kept"], remove=Flags.NORELEASE))
    assert scene.release("kept") == [Outcome.DONE]


def test_a_file_that_never_was_a_stub_is_released_to_what_it_was_exported_as(scene):
    scene.put("mine", DATA)
    (scene.tree / "mine").write_bytes(DATA)
    os.utime(scene.tree / "mine", ns=(MTIME_NS, MTIME_NS))
    scene.loop.run(scene.guard.settle())
    assert scene.release("mine") == [Outcome.DONE]
    assert scene.is_stub("mine")
    assert scene.cat("mine") == DATA


def test_truncation_by_path_and_by_open_leave_what_they_should(scene):
    scene.make({"some": DATA, "none": DATA, "open": DATA, "grown": DATA})
    run("truncate", "-s", "1000", scene.view / "some")
    run("truncate", "-s", "0", scene.view / "none")
    run("sh", "-c", f": > {scene.view}/open")
    run("truncate", "-s", "400000", scene.view / "grown")
    assert scene.cat("some") == DATA[:1000]
    assert scene.cat("none") == b""
    assert scene.cat("open") == b""
    assert scene.cat("grown") == DATA + bytes(100_000)
    assert not any(scene.is_stub(path) for path in ("some", "none", "open", "grown"))


def test_a_full_disk_is_enospc_and_a_load_makes_room_where_it_may(file_systems):
    place = file_systems("ext4", 64 << 20)
    big = noise(20 << 20, 3)
    with scene_at(place, "full") as scene:
        outside = scene.top.parent.parent / "lake-of-full"
        outside.mkdir(exist_ok=True)
        scene.lake.rmdir()
        scene.lake.symlink_to(outside)
        scene.make({"a": big, "b": big, "c": big})
        assert scene.cat("a") == big
        assert scene.cat("b") == big
        out, complaint = finish(scene.reader("c"))
        assert (out, b"No space left" in complaint) == (b"", True)
        assert scene.is_stub("c")
        assert (scene.tree / "c").stat().st_blocks * 512 <= 4096

        def make_room(_: int) -> list[Candidate]:
            return [scene.candidate(path) for path in ("a", "b") if not scene.is_stub(path)][:1]

        scene.guard.set_make_room(make_room)
        assert scene.cat("c") == big
        assert scene.is_stub("a")
        assert scene.cat("a") == big


def test_thousands_of_stubs_appear_whole_marked_and_never_over_something(scene):
    files = {f"d{number % 30}/f{number}": noise(100, number) for number in range(3000)}
    for path, data in files.items():
        scene.put(path, data)
        (scene.tree / path).parent.mkdir(exist_ok=True)
    (scene.tree / "d1/f1").write_bytes(b"mine")
    ordered = sorted(files)
    scene.put("missing/f", b"x")
    scene.put("out/f", b"x")
    (scene.tree / "out").symlink_to(scene.top)
    made = scene.guard.make([scene.stub(path) for path in [*ordered, "missing/f", "out/f"]])
    trouble = {
        path: one
        for path, one in zip([*ordered, "missing/f", "out/f"], made, strict=True)
        if isinstance(one, Exception)
    }
    assert {path: one.code for path, one in trouble.items()} == {
        "d1/f1": "LL400",
        "missing/f": "LL302",
        "out/f": "LL302",
    }
    assert (scene.tree / "d1/f1").read_bytes() == b"mine"
    for path in [path for path in ordered[::100] if path not in trouble]:
        sight = scene.sight(path)
        assert sight.flags.is_stub
        assert sight.version == made[ordered.index(path)]
        assert scene.cat(path) == files[path]


READER = """
import mmap, os, random, sys, time
top, seed, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
chance = random.Random(seed)
names = sorted(name for name in os.listdir(top) if name.startswith("f"))
reads = wrong = 0
while time.monotonic() < end:
    name = chance.choice(names)
    true = (int(name[1:]) % 255 + 1)
    fd = os.open(os.path.join(top, name), os.O_RDONLY)
    size = os.fstat(fd).st_size
    if chance.random() < 0.5:
        for _ in range(4):
            data = os.pread(fd, 4096, chance.randrange(size))
            reads += 1
            wrong += data.count(true) != len(data)
        os.close(fd)
    else:
        kept = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        os.close(fd)
        for _ in range(4):
            at = chance.randrange(size)
            reads += 1
            wrong += kept[at] != true
        kept.close()
print(reads, wrong)
"""
WRITER = """
import os, random, sys, time
top, seed, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
chance = random.Random(seed)
names = sorted(name for name in os.listdir(top) if name.startswith("w"))
written = {}
while time.monotonic() < end:
    name = chance.choice(names)
    fd = os.open(os.path.join(top, name), os.O_RDWR)
    size = os.fstat(fd).st_size
    at = chance.randrange(0, size - 8, 8)
    word = chance.randbytes(8)
    os.pwrite(fd, word, at)
    written[name, at] = word
    os.close(fd)
wrong = 0
for (name, at), word in written.items():
    with open(os.path.join(top, name), "rb") as file:
        file.seek(at)
        wrong += file.read(8) != word
print(len(written), wrong)
"""


def test_readers_and_writers_under_constant_eviction_never_see_a_wrong_byte(any_file_system):
    with scene_at(any_file_system, "stress") as scene:
        readers = {f"f{number}": bytes([number % 255 + 1]) * 60_000 for number in range(40)}
        writers = {f"w{number}": noise(60_000, number) for number in range(10)}
        scene.make({**readers, **writers})
        stop = threading.Event()
        released = [0]
        evicting = threading.Thread(target=evict, args=(scene, list(readers), list(writers), stop, released))
        evicting.start()
        jobs = [
            subprocess.Popen(
                [sys.executable, "-c", program, scene.view, str(seed), str(STRESS_S)], stdout=subprocess.PIPE
            )
            for program, seed in ((READER, 1), (READER, 2), (READER, 3), (WRITER, 4))
        ]
        try:
            outs = [job.communicate(timeout=STRESS_S + 60)[0] for job in jobs]
        finally:
            stop.set()
            for job in jobs:
                job.kill()
            evicting.join(60)
        counts = [tuple(map(int, out.split())) for out in outs]
        print(f"{released[0]} released, {counts}")
        assert [wrong for _, wrong in counts] == [0] * 4
        assert released[0] > 20
        assert all(reads > 20 for reads, _ in counts)


def evict(scene: Scene, names: list[str], written: list[str], stop: threading.Event, released: list[int]) -> None:
    """Release whatever may be, all the time; a written file only as what it is in the lake, which it is not: DIRTY keeps it."""
    chance = random.Random(0)
    while not stop.is_set():
        paths = [*chance.sample(names, 8), chance.choice(written)]
        results = scene.releasing(*paths)
        released[0] += sum(one.outcome is Outcome.DONE for one in results)
        allowed = {Outcome.DONE, Outcome.ALREADY, Outcome.IN_USE, Outcome.DIRTY}
        assert {one.outcome for one in results} <= allowed, results
        time.sleep(0.001)


def test_a_tree_ten_times_the_disk_is_read_whole_while_the_worker_is_killed(file_systems):
    place = file_systems("ext4", 64 << 20)
    with scene_at(place, "ten", keep_free_bytes=8 << 20) as scene:
        outside = scene.top.parent.parent / "lake-of-ten"
        outside.mkdir(exist_ok=True)
        scene.lake.rmdir()
        scene.lake.symlink_to(outside)
        unit = noise(5 << 20, 1)
        files = {f"d{number % 7}/f{number}": number.to_bytes(4, "big") + unit[4:] for number in range(130)}
        scene.make(files)
        used: dict[str, None] = {}
        lock = threading.Lock()

        def make_room(size: int) -> list[Candidate]:
            with lock:
                oldest = [path for path in used if not scene.is_stub(path)][: 2 + size // (5 << 20)]
            return [scene.candidate(path) for path in oldest]

        scene.guard.set_make_room(make_room)
        order = list(files)
        random.Random(5).shuffle(order)
        killed, fullest = 0, 1.0
        for number, path in enumerate(order):
            if number % 26 == 13:
                os.kill(scene.guard.crew.worker_pid, 9)
                killed += 1
            assert scene.cat(path) == files[path]
            with lock:
                used[path] = None
            fullest = min(fullest, scene.guard.fill().available_bytes / (8 << 20))
        assert killed == 5
        assert fullest > 0.7
        eventually(scene.guard.crew.ready.is_set)
