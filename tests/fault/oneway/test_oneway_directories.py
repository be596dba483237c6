"""Whole runs between real directories, with an adversary beside them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakelink.errors import Busy, LakelinkError, UsageError
from lakelink.locations.local import copying
from lakelink.model.task import Symlinks, SyncOptions, SyncResult
from lakelink.oneway.run import sync
from lakelink.ports.linux import LinuxKernel
from lakelink.state.locks import target_lock


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LAKELINK_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def run(source: Path | str, target: Path | str, **options) -> SyncResult:
    return asyncio.run(sync(str(source), str(target), SyncOptions(**options)))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def contents(root: Path) -> dict[str, bytes | str]:
    return {
        str(p.relative_to(root)): str(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_symlink() or not p.is_dir()
    }


def test_a_dry_run_to_a_place_that_is_not_there_yet_says_what_it_would_do_and_makes_nothing(source, tmp_path, state):
    (source / "a").write_bytes(b"1")
    result = run(source, tmp_path / "new/place", dry_run=True)
    assert [step.path for step in result.plan] == ["/", "a"]
    assert not (tmp_path / "new").exists()
    assert not state.exists()


def test_one_file_as_the_source_never_deletes_its_neighbours_at_the_target(source, target):
    (source / "one").write_bytes(b"1")
    (target / "precious").write_bytes(b"2")
    for dry_run in (True, False):
        with pytest.raises(UsageError):
            run(source / "one", target, delete=True, dry_run=dry_run)
    assert contents(target) == {"precious": b"2"}
    assert not run(source / "one", target).failed
    assert contents(target) == {"precious": b"2", "one": b"1"}


@pytest.mark.parametrize("how", [Symlinks.FOLLOW, Symlinks.SKIP])
def test_links_of_the_target_are_never_followed_nor_overlooked(source, target, tmp_path, how):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"1")
    (source / "d").mkdir()
    (source / "d/new").write_bytes(b"2")
    (source / "f").write_bytes(b"3")
    (target / "d").symlink_to(outside)
    (target / "f").symlink_to(outside / "precious")
    result = run(source, target, symlinks=how, delete=True)
    assert not result.failed
    assert contents(outside) == {"precious": b"1"}
    assert contents(target) == {"d/new": b"2", "f": b"3"}
    assert not (target / "d").is_symlink()


@pytest.mark.parametrize("to_link", [True, False], ids=["file-to-link", "link-to-file"])
def test_a_file_and_a_link_change_places_without_a_gap_and_an_edit_in_between_survives(
    source, target, to_link, monkeypatch
):
    (source / "x").symlink_to("new") if to_link else (source / "x").write_bytes(b"new")
    (target / "x").write_bytes(b"old") if to_link else (target / "x").symlink_to("old")
    removed = []
    monkeypatch.setattr("lakelink.locations.local.change.delete", lambda hands, deletes: removed.extend(deletes))
    result = run(source, target, trash=True)
    assert not result.failed
    assert not removed
    assert {k: v for k, v in contents(target).items() if not k.startswith(".lakelink")} == contents(source)
    kept = [v for k, v in contents(target).items() if k.startswith(".lakelink")]
    assert kept == [b"old" if to_link else "old"]


def test_leftovers_of_a_killed_run_go_even_when_there_is_nothing_else_to_do(source, target):
    (source / "a").write_bytes(b"1")
    run(source, target)
    staging = target / ".lakelink/tmp"
    staging.mkdir(parents=True, mode=0o700)
    (staging / "new-0123456789abcdef").write_bytes(b"half")
    os.utime(target, ns=(0, source.stat().st_mtime_ns))
    result = run(source, target, dry_run=True)
    assert staging.exists()
    result = run(source, target)
    assert (result.transferred_files, result.failed) == (0, [])
    assert not (target / ".lakelink").exists()
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns


def test_a_private_directory_is_private_from_its_first_moment(source, target, monkeypatch):
    (source / "private").mkdir(mode=0o700)
    (source / "private/a").write_bytes(b"1")
    modes = []
    real = os.link

    def watched(*args, **kwargs):
        modes.append((target / "private").stat().st_mode & 0o777)
        return real(*args, **kwargs)

    monkeypatch.setattr("lakelink.ports.linux.os.link", watched)
    assert not run(source, target).failed
    assert modes == [0o700]


@pytest.mark.parametrize("grow", [True, False], ids=["growing", "shrinking"])
def test_a_source_that_changes_its_size_while_it_is_copied_is_copied_again(source, target, monkeypatch, grow):
    size_bytes = 3 << 20
    (source / "a").write_bytes(b"1" * size_bytes)
    real, acted = copying._copy_range, []

    def meddling(kernel, source_fd, target_fd, span, stop):
        if not acted:
            acted.append(1)
            os.truncate(source / "a", size_bytes + 5 if grow else 1 << 20)
        return real(kernel, source_fd, target_fd, span, stop)

    monkeypatch.setattr(copying, "_copy_range", meddling)
    monkeypatch.setattr("lakelink.ports.linux.LinuxKernel.clone", _not_offered)
    result = run(source, target)
    assert acted
    assert not result.failed
    assert (target / "a").read_bytes() == (source / "a").read_bytes()


def _not_offered(self, target_fd, source_fd):
    raise OSError(95, "not offered")


def test_a_cancelled_call_has_ended_when_it_returns_and_leaves_nothing_of_its_own(source, target, monkeypatch):
    for n in range(600):
        (source / f"f{n}").write_bytes(b"x" * 100)
        (target / f"f{n}").write_bytes(b"y" * 50)
    real = LinuxKernel.rename
    cancels = []

    def watched(*args, **kwargs):
        if cancels:
            loop, task = cancels.pop()
            loop.call_soon_threadsafe(task.cancel)
        return real(*args, **kwargs)

    monkeypatch.setattr(LinuxKernel, "rename", watched)

    async def main() -> set[asyncio.Task[object]]:
        task = asyncio.ensure_future(sync(str(source), str(target), SyncOptions()))
        cancels.append((asyncio.get_running_loop(), task))
        with pytest.raises(asyncio.CancelledError):
            await task
        return {one for one in asyncio.all_tasks() if one is not asyncio.current_task()}

    assert not asyncio.run(main())
    assert not (target / ".lakelink").exists()
    assert {p.read_bytes() for p in target.iterdir()} == {b"x" * 100, b"y" * 50}
    assert not run(source, target).failed
    assert contents(target) == contents(source)


def test_a_hash_that_nobody_waits_for_ends(source):
    from lakelink.engine.digest import digest
    from lakelink.locations.base import Read
    from lakelink.locations.local.location import LocalLocation

    with (source / "large").open("wb") as file:
        file.truncate(64 << 30)

    async def main() -> None:
        location = LocalLocation(str(source))
        (content,) = await location.read([Read("large", 64 << 30)])
        await asyncio.to_thread(descriptors)  # the loop's own threads and descriptors are there from here on
        before = descriptors()
        work = asyncio.ensure_future(digest(content, "xxh3"))
        await asyncio.sleep(0.2)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert descriptors() == before
        await location.aclose()

    asyncio.run(main())


def test_places_inside_one_another_are_not_written_at_the_same_time(tmp_path):
    locks = tmp_path / "locks"
    with target_lock(locks, "file:///t/sub"):
        for url in ("file:///t", "file:///t/sub", "file:///t/sub/below"):
            with pytest.raises(Busy), target_lock(locks, url):
                raise AssertionError
        with target_lock(locks, "file:///t/other"), target_lock(locks, "file:///t/subway"):
            pass
    with target_lock(locks, "file:///t"):
        pass


def test_a_manifest_with_holes_is_not_written(source, target, tmp_path, monkeypatch):
    (source / "d").mkdir()
    (source / "d/a").write_bytes(b"1")
    run(source, target)
    real = os.scandir
    inode = (target / "d").stat().st_ino

    def failing(fd):
        if isinstance(fd, int) and os.fstat(fd).st_ino == inode:
            raise PermissionError(13, "no")
        return real(fd)

    monkeypatch.setattr("lakelink.ports.linux.os.scandir", failing)
    manifest = tmp_path / "sums"
    with pytest.raises(LakelinkError):
        asyncio.run(sync(str(source), str(target), SyncOptions(), manifest=manifest))
    assert not manifest.exists()


def test_who_was_equal_for_one_user_is_compared_again_by_root():
    from lakelink.core.diff import Rule
    from lakelink.oneway.pair import index_scope

    options = SyncOptions()
    assert index_scope(options, Rule(owner=True)) != index_scope(options, Rule(owner=False))


def test_s3_targets_have_one_name_however_their_slashes_are_written():
    from lakelink.config.document import Document
    from lakelink.locations.resolve import parse_location

    urls = {parse_location(text, Document({})).url for text in ("s3://lake/x", "s3://lake/x/", "s3://lake/x//")}
    assert urls == {"s3://lake/x"}


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid():
        pytest.skip("needs root: mounts a file system")
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_what_does_not_fit_is_reported_what_fits_is_whole_and_the_next_run_finishes(source, small):
    for name in ("one", "two", "three"):
        (source / name).write_bytes(name.encode() * 100_000)
    (small / "one").write_bytes(b"old")
    result = run(source, small)
    assert result.failed
    assert {p.code for p in result.failed} == {"LL403"}
    assert result.exit_code == 1
    for path in small.iterdir():
        assert path.read_bytes() in {(source / path.name).read_bytes(), b"old"}
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    assert not run(source, small).failed
    assert contents(small) == contents(source)


def test_a_target_that_may_not_be_written_is_reported_for_each_path_and_stays_as_it_is(source, small):
    (source / "a").write_bytes(b"new")
    (source / "b").write_bytes(b"new")
    (small / "a").write_bytes(b"old!")
    (small / "extra").write_bytes(b"x")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    result = run(source, small, delete=True)
    assert {"a", "b", "extra"} <= {p.path for p in result.failed if p.code == "LL301"}
    assert contents(small) == {"a": b"old!", "extra": b"x"}


RUN = """
import asyncio, sys
from lakelink.model.task import SyncOptions
from lakelink.oneway.run import sync
result = asyncio.run(sync(sys.argv[1], sys.argv[2], SyncOptions(delete=True)))
print(sorted((p.path, p.code) for p in result.failed), result.deleted)
"""


def test_what_cannot_be_read_costs_the_target_nothing(source, target):
    # Root reads everything, unless it is without the capabilities to.
    weaker = [] if os.geteuid() else ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if weaker and not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed, and root reads everything")
    for root in (source, target):
        (root / "closed").mkdir()
        (root / "closed/inside").write_bytes(b"1")
        (root / "secret").write_bytes(b"old" if root is target else b"changed")
    (target / "closed/only-here").write_bytes(b"2")
    (target / "gone").write_bytes(b"3")
    (source / "closed").chmod(0)
    (source / "secret").chmod(0)
    command = [*weaker, sys.executable, "-c", RUN, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (source / "closed").chmod(0o700)
    if weaker and "setpriv" in done.stderr:
        pytest.skip(f"root cannot give up capabilities here: {done.stderr.strip()}")
    assert done.stdout == "[('closed', 'LL301'), ('secret', 'LL301')] 1\n", done.stderr
    assert contents(target) == {"closed/inside": b"1", "closed/only-here": b"2", "secret": b"old"}
