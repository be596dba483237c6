"""Killed at any moment: old or new at the path, the rest is cleaned up by the next run, and what it cannot judge goes to the trash."""

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_scene import POSIX, Scene

from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Entry, Expect, Kind

AT_EACH_CALL = """
import asyncio, os, signal, sys
from pathlib import Path
from lakelink.locations.base import Delete, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.model.entry import Expect, Kind, Posix, Version
from lakelink.ports.linux import LinuxKernel

class Dying(LinuxKernel):
    def __init__(self, calls, edit):
        super().__init__()
        self.calls, self.edit = calls, edit
    def tick(self, name):
        if self.calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls -= 1
        if name == "rename" and self.edit:
            Path(self.edit).write_bytes(b"edited"); self.edit = None
def dying(name):
    real = getattr(LinuxKernel, name)
    def call(self, *args, **kwargs):
        self.tick(name)
        return real(self, *args, **kwargs) if name in ("rename", "link_fd", "symlink", "link") else real(*args, **kwargs)
    return call
for name in ("open", "mkdir", "rmdir", "unlink", "rename", "link_fd", "symlink", "fchmod", "pwrite", "close"):
    setattr(Dying, name, dying(name))

async def work(root, kernel, verb, trash):
    location = LocalLocation(root, kernel=kernel, options=LocalOptions(trash=trash))
    st = os.stat(root + "/file")
    seen = Expect(Version(st.st_size, st.st_mtime_ns, st.st_ino))
    if verb == "write":
        await location.write([Write("file", Kind.FILE, BytesContent(b"new" * 100), Posix(0o640, os.geteuid(), os.getegid(), 1, 1), seen)])
    else:
        await location.delete([Delete("file", Kind.FILE, seen)])
    await location.aclose()

folder, verb, trash, edited = sys.argv[1:5]
calls = 0
while True:
    root = f"{folder}/{calls}"
    os.mkdir(root)
    with open(root + "/file", "wb") as file:
        file.write(b"old" * 100)
    pid = os.fork()
    if not pid:
        kernel = Dying(calls, root + "/file" if edited == "yes" else None)
        asyncio.run(work(root, kernel, verb, trash == "yes"))
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
    calls += 1
"""


@pytest.mark.parametrize("edited", [False, True], ids=["quiet", "edited"])
@pytest.mark.parametrize("trash", [False, True], ids=["drop", "trash"])
@pytest.mark.parametrize("verb", ["write", "delete"])
def test_killed_before_each_of_its_calls_it_loses_nothing(tmp_path, verb, trash, edited):
    yes = {True: "yes", False: "no"}
    subprocess.run([sys.executable, "-c", AT_EACH_CALL, str(tmp_path), verb, yes[trash], yes[edited]], check=True)
    roots = sorted(tmp_path.iterdir(), key=lambda p: int(p.name))
    assert len(roots) > 8
    old, new = b"old" * 100, b"new" * 100
    met = set()
    for root in roots:
        path = root / "file"
        at_path = path.read_bytes() if path.exists() else None
        assert at_path in {old, new, b"edited"} or (at_path is None and verb == "delete")
        scene = Scene(root, LocalOptions(trash=trash))
        assert isinstance(scene.write("another", b"x"), Entry)  # the next run, which cleans up
        assert not (root / ".lakelink/tmp").exists()
        at_path = path.read_bytes() if path.exists() else None
        everywhere = [at_path, *(data for _, data in scene.kept())]
        if edited and b"edited" not in everywhere:
            assert old in everywhere  # killed before the rival came
        if trash and not edited:
            assert old in everywhere
        met.add(at_path)
    assert len(met) > 1


WRITING = """
import asyncio, itertools, os, sys
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.model.entry import Entry, Expect, Kind
async def main():
    location = LocalLocation(sys.argv[1])
    versions = {}
    print("ready", flush=True)
    for n in itertools.count():
        size = 1 + n * 7919 % 200_000
        writes = [Write(f"d{i % 3}/f{i}", Kind.FILE, BytesContent(bytes([n % 251]) * size), None, Expect(versions.get(i))) for i in range(20)]
        for i, answer in enumerate(await location.write(writes)):
            assert isinstance(answer, Entry), answer
            versions[i] = answer.version
asyncio.run(main())
"""


def test_kill_9_leaves_whole_files_and_staging_that_the_next_run_removes(tmp_path):
    moments = random.Random(7)
    for round_ in range(8):
        root = tmp_path / str(round_)
        root.mkdir()
        with subprocess.Popen([sys.executable, "-c", WRITING, str(root)], stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0.01, 0.15))
            child.send_signal(signal.SIGKILL)
        for path in root.glob("d*/f*"):
            data = path.read_bytes()
            assert data == data[:1] * len(data)
            assert len(data) > 0
        assert isinstance(Scene(root).write("next", b"x"), Entry)
        assert not (root / ".lakelink").exists()


def test_what_a_killed_run_left_is_judged_by_its_names(tmp_path):
    tmp = tmp_path / ".lakelink/tmp"
    tmp.mkdir(parents=True)
    token = "0123456789abcdef"

    def leave(name_of, data):
        (tmp / "made").write_bytes(data)
        st = (tmp / "made").stat()
        (tmp / "made").rename(tmp / name_of(st))

    leave(lambda st: f"new-{token}", b"staged")
    leave(lambda st: f"old-{st.st_ino:x}-1-2-3-d-{token}", b"ours")
    leave(lambda st: f"old-0-{st.st_ino:x}-{st.st_size:x}-{st.st_mtime_ns:x}-d-{token}", b"was to go")
    leave(lambda st: f"old-0-{st.st_ino:x}-{st.st_size:x}-{st.st_mtime_ns:x}-k-{token}", b"was to be kept")
    leave(lambda st: f"old-0-{st.st_ino:x}-{st.st_size:x}-{st.st_mtime_ns - 1:x}-d-{token}", b"an edit")
    leave(lambda st: "somebody's", b"not ours to judge")
    (tmp / f"old-0-1-2-3-d-{token}").mkdir()
    scene = Scene(tmp_path)
    scene.write("file", b"x")
    assert sorted(data for _, data in scene.kept()) == [b"an edit", b"was to be kept"]
    assert [p.name for p in tmp.iterdir()] == ["somebody's"]
    assert [p for p in (tmp_path / ".lakelink/trash").rglob(f"old-0-1-2-3-d-{token}") if p.is_dir()]


def test_the_staging_of_a_run_that_is_alive_is_left_alone(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    one, two = Scene(tmp_path), Scene(tmp_path)
    staged = tmp_path / ".lakelink/tmp/new-0123456789abcdef"

    async def main():
        await one.location.write([Write("link", Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))])
        staged.write_bytes(b"of the first")
        await two.location.write([Write("link2", Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))])
        await two.location.aclose()
        assert staged.exists()
        await one.location.aclose()
        assert staged.exists()  # closing does not judge
        three = Scene(tmp_path)
        await three.location.write([Write("link3", Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))])
        await three.location.aclose()

    asyncio.run(main())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link", "link2", "link3"]


def test_a_run_that_ends_leaves_the_staging_directory_to_one_that_is_alive(tmp_path):
    one, two = Scene(tmp_path), Scene(tmp_path)

    async def link(scene, name):
        return await scene.location.write([Write(name, Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))])

    async def main():
        answers = await link(one, "a") + await link(two, "b")
        await two.location.aclose()
        answers += await link(one, "c")
        await one.location.aclose()
        return answers

    assert [type(a) for a in asyncio.run(main())] == [Entry] * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_two_runs_that_come_and_go_do_not_take_the_staging_directory_from_each_other(tmp_path):
    scenes = [Scene(tmp_path) for _ in range(2)]

    async def come_and_go(scene, name):
        for n in range(100):
            (answer,) = await scene.location.write(
                [Write(f"{name}{n}", Kind.SYMLINK, BytesContent(b"x"), POSIX, Expect(None))]
            )
            assert isinstance(answer, Entry), answer
            await scene.location.aclose()

    async def main():
        async with asyncio.TaskGroup() as tasks:
            for scene, name in zip(scenes, "ab", strict=True):
                tasks.create_task(come_and_go(scene, name))

    asyncio.run(main())
    assert len(list(tmp_path.iterdir())) == 200


def test_a_run_that_cleans_up_for_too_long_is_reported_as_busy(tmp_path, monkeypatch):
    from lakelink.errors import Busy
    from lakelink.locations.local import area

    monkeypatch.setattr(area, "LOCK_DEADLINE_S", 0.05)
    tmp = tmp_path / ".lakelink/tmp"
    tmp.mkdir(parents=True)
    fd = os.open(tmp, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert isinstance(Scene(tmp_path).write("link", b"x", kind=Kind.SYMLINK), Busy)
    finally:
        os.close(fd)
    assert isinstance(Scene(tmp_path).write("link", b"x", kind=Kind.SYMLINK), Entry)
    assert Path(tmp_path / "link").is_symlink()
