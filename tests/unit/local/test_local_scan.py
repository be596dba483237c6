"""Scans: complete, or an error; what could not be looked at is said to be unknown."""

import asyncio
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from local_scene import Scene, descriptors

from lakelink.errors import RootMissing
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.local.scan import BATCH_ROWS
from lakelink.model.change import Skipped, SkipReason
from lakelink.model.entry import Kind
from lakelink.model.task import Symlinks
from lakelink.ports.linux import LinuxKernel


def test_every_path_is_seen_once_with_what_the_kernel_says_of_it(scene):
    for d in ("", "a", "a/b", "empty"):
        (scene.root / d).mkdir(exist_ok=True)
        (scene.root / d / "file").write_bytes(b"x" * len(d))
    (scene.root / "link").symlink_to("nowhere")
    batch = scene.scan()
    found = {}
    for row in batch.rows:
        assert row.path not in found
        found[row.path] = row
    oracle = {""} | {str(p.relative_to(scene.root)) for p in scene.root.rglob("*")}
    assert set(found) == oracle
    for path, row in found.items():
        st = os.lstat(scene.root / path)
        assert row[2:] == (
            st.st_size,
            st.st_mtime_ns,
            stat.S_IMODE(st.st_mode),
            st.st_uid,
            st.st_gid,
            st.st_mtime_ns,
            st.st_ino,
        )
        assert row.version == scene.version(path)
    assert (found["link"].kind, found["a"].kind, found["file"].kind) == (Kind.SYMLINK, Kind.DIR, Kind.FILE)
    assert (batch.problems, batch.skipped, batch.hard_links) == ([], [], [])


def test_a_directory_of_100000_entries_comes_in_bounded_batches(scene):
    dir_fd = os.open(scene.root, os.O_RDONLY)
    for i in range(100_000):
        os.mknod(f"entry-{i:06}", 0o600 | stat.S_IFREG, dir_fd=dir_fd)
    os.close(dir_fd)

    async def step():
        return [batch async for batch in scene.location.scan()]

    batches = scene.run(step)
    assert max(len(b.rows) for b in batches) <= BATCH_ROWS + 1
    assert len({r.path for b in batches for r in b.rows}) == 100_001
    excluded = Scene(scene.root)

    async def all_excluded():
        return [batch async for batch in excluded.location.scan(lambda path, is_dir: True)]

    batches = excluded.run(all_excluded)
    assert max(len(b.skipped) for b in batches) <= BATCH_ROWS
    assert sum(len(b.skipped) for b in batches) == 100_000


def test_a_scan_that_is_left_early_closes_everything(scene):
    for i in range(3 * BATCH_ROWS):
        (scene.root / f"f{i}").touch()

    async def step():
        rows = scene.location.scan()
        async for _ in rows:
            break
        await rows.aclose()
        return descriptors()

    before = descriptors()
    assert scene.run(step) <= before + 6  # the loop's own, and the root


def test_devices_fifos_and_sockets_are_skipped_and_named(scene):
    os.mkfifo(scene.root / "fifo")
    batch = scene.scan()
    assert batch.skipped == [Skipped("fifo", SkipReason.SPECIAL)]
    assert [r.path for r in batch.rows] == [""]


def test_lakelinks_own_directory_is_left_out_at_the_top_only(scene):
    (scene.root / ".lakelink/trash").mkdir(parents=True)
    (scene.root / "sub/.lakelink").mkdir(parents=True)
    assert scene.paths() == ["", "sub", "sub/.lakelink"]


def test_excluded_paths_are_pruned_and_named_once(scene):
    (scene.root / "keep/build/deep").mkdir(parents=True)
    (scene.root / "keep/file.o").touch()
    (scene.root / "keep/file.c").touch()
    asked = []

    def excludes(path, is_dir):
        asked.append((path, is_dir))
        return path.endswith((".o", "/build"))

    batch = scene.scan(excludes)
    assert sorted(r.path for r in batch.rows) == ["", "keep", "keep/file.c"]
    assert sorted(s.path for s in batch.skipped) == ["keep/build", "keep/file.o"]
    assert ("keep/build", True) in asked
    assert ("keep/file.c", False) in asked
    assert not [path for path, _ in asked if path.startswith("keep/build/")]


def test_hard_links_are_named(scene):
    (scene.root / "one").write_bytes(b"x")
    os.link(scene.root / "one", scene.root / "two")
    batch = scene.scan()
    assert sorted(batch.hard_links) == ["one", "two"]
    assert len(batch.rows) == 3


def test_links_can_be_skipped(scene):
    (scene.root / "link").symlink_to("x")
    batch = Scene(scene.root, LocalOptions(symlinks=Symlinks.SKIP)).scan()
    assert batch.skipped == [Skipped("link", SkipReason.SYMLINK)]


def test_followed_links_are_what_they_lead_to_and_loops_and_dangling_ones_are_problems(tmp_path):
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "outside/sub/file").write_bytes(b"12")
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d/up").symlink_to("..")
    (root / "d/file").symlink_to("../../outside/sub/file")
    (root / "tree").symlink_to("../outside")
    (root / "dangling").symlink_to("nowhere")
    (root / "self").symlink_to("self")
    batch = Scene(root, LocalOptions(symlinks=Symlinks.FOLLOW)).scan()
    kinds = {r.path: r.kind for r in batch.rows}
    assert kinds == {
        "": Kind.DIR,
        "d": Kind.DIR,
        "d/up": Kind.PROBLEM,
        "d/file": Kind.FILE,
        "tree": Kind.DIR,
        "tree/sub": Kind.DIR,
        "tree/sub/file": Kind.FILE,
        "dangling": Kind.PROBLEM,
        "self": Kind.PROBLEM,
    }
    assert sorted(p.path for p in batch.problems) == ["d/up", "dangling", "self"]


def test_two_links_to_one_directory_are_no_loop(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").touch()
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "two").symlink_to("real")
    batch = Scene(tmp_path, LocalOptions(symlinks=Symlinks.FOLLOW)).scan()
    assert {"one/file", "two/file", "real/file"} <= {r.path for r in batch.rows}
    assert batch.problems == []


@pytest.mark.parametrize("what", ["missing", "file", "dangling"])
def test_a_root_that_is_no_directory_is_missing(tmp_path, what):
    if what == "file":
        (tmp_path / "root").touch()
    elif what == "dangling":
        (tmp_path / "root").symlink_to("nowhere")
    for verb in ("stat", "read", "delete", "set_posix", "copy"):
        scene = Scene(tmp_path / "root")
        with pytest.raises(RootMissing):
            scene.run(lambda s=scene, v=verb: getattr(s.location, v)([]))
    with pytest.raises(RootMissing):
        Scene(tmp_path / "root").scan()


def test_the_root_may_be_named_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").touch()
    (tmp_path / "link").symlink_to("real")
    assert Scene(tmp_path / "link").paths() == ["", "file"]


def test_one_file_can_be_the_whole_source(tmp_path):
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "other").touch()
    (row,) = Scene(tmp_path, LocalOptions(only="file")).scan().rows
    assert (row.path, row.kind, row.size_bytes) == ("file", Kind.FILE, 2)
    with pytest.raises(RootMissing):
        Scene(tmp_path, LocalOptions(only="gone")).scan()


class _Replacing(LinuxKernel):
    """While a directory is listed, something happens to it."""

    def __init__(self, act) -> None:
        super().__init__()
        self.act = act

    def open_beneath(self, path, flags, *, dir_fd):
        self.act(path)
        return super().open_beneath(path, flags, dir_fd=dir_fd)


def test_a_directory_that_vanishes_is_gone_but_one_that_becomes_a_link_is_unknown(tmp_path):
    (tmp_path / "root/gone").mkdir(parents=True)
    (tmp_path / "root/swapped").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").touch()

    def act(path):
        if path in {"gone", "swapped"}:
            (tmp_path / "root" / path).rmdir()
        if path == "swapped":
            (tmp_path / "root/swapped").symlink_to("../secret")

    batch = Scene(tmp_path / "root", kernel=_Replacing(act)).scan()
    assert sorted((r.path, r.kind) for r in batch.rows) == [("", Kind.DIR), ("swapped", Kind.PROBLEM)]
    assert [p.path for p in batch.problems] == ["swapped"]


def test_a_root_that_is_swapped_during_the_scan_raises_at_its_end(tmp_path):
    (tmp_path / "root/d").mkdir(parents=True)

    def act(path):
        if path == "d":
            (tmp_path / "root").rename(tmp_path / "old")
            (tmp_path / "root").mkdir()

    with pytest.raises(RootMissing):
        Scene(tmp_path / "root", kernel=_Replacing(act)).scan()


def test_a_listing_that_breaks_off_makes_its_directory_unknown(tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("a", "b"):
        (tmp_path / "d" / name).touch()

    class Breaking(LinuxKernel):
        def scandir(self, fd):
            if Path(f"/proc/self/fd/{fd}").readlink().name == "d":
                return _Broken(os.scandir(fd))
            return os.scandir(fd)

    class _Broken:
        def __init__(self, real):
            self.real, self.given = real, False

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            self.real.close()

        def __iter__(self):
            return self

        def __next__(self):
            if self.given:
                raise OSError(5, "Input/output error")
            self.given = True
            return next(self.real)

    batch = Scene(tmp_path, kernel=Breaking()).scan()
    assert {r.path: r.kind for r in batch.rows}["d"] is Kind.PROBLEM
    assert [p.path for p in batch.problems] == ["d"]


def test_paths_longer_than_the_kernel_takes_at_once_work(scene):
    name, depth = "n" * 200, 30
    fd = os.open(scene.root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    file = os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd)
    os.write(file, b"deep")
    os.close(file)
    os.close(fd)
    path = "/".join([name] * depth + ["file"])
    assert len(path) > 4096
    rows = {r.path: r for r in scene.scan().rows}
    assert len(rows) == depth + 2
    assert scene.read(path, rows[path].version) == b"deep"
    assert scene.stat(path).size_bytes == 4


UNPRIVILEGED = """
import asyncio, os, sys
from lakelink.locations.local.location import LocalLocation
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    location = LocalLocation(sys.argv[1])
    async for batch in location.scan():
        for row in batch.rows: print(row.kind.name, row.path)
        for problem in batch.problems: print(problem.code, problem.path)
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")
def test_what_may_not_be_looked_at_is_unknown():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "closed").mkdir(mode=0o700)
        (root / "closed/file").touch()
        (root / "blind").mkdir()
        (root / "blind/file").touch()
        (root / "blind").chmod(0o704)
        out = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, folder], stdout=subprocess.PIPE, text=True, check=True
        )
    assert sorted(out.stdout.splitlines()) == sorted(
        ["DIR ", "PROBLEM closed", "LL301 closed", "DIR blind", "PROBLEM blind/file", "LL301 blind/file"]
    )


def test_two_scans_at_once_see_the_same(scene):
    for i in range(500):
        (scene.root / f"f{i}").touch()

    async def rows():
        return sorted([r async for b in scene.location.scan() for r in b.rows])

    async def both():
        async with asyncio.TaskGroup() as tasks:
            found = [tasks.create_task(rows()) for _ in range(2)]
        return [task.result() for task in found]

    one, two = scene.run(both)
    assert one == two
    assert len(one) == 501
