"""Two trees walked side by side say what two scans say."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from lakelink.core.diff import Rule
from lakelink.core.filters import Filter
from lakelink.engine.compare import Comparer, Comparison
from lakelink.errors import RootMissing, Unreachable
from lakelink.locations.local import scan, sharing, walker_process
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.local.walker_process import WalkerProcess
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.task import Progress, Symlinks


def grow(root: Path, seed: int, entries: int = 120) -> Path:
    """Files, links, directories and oddities under a few names, so that two trees have much in common."""
    chance = random.Random(seed)
    root.mkdir(parents=True)
    directories = [root]
    for _ in range(entries):
        path = chance.choice(directories) / f"n{chance.randrange(12)}"
        if path.exists() or path.is_symlink():
            continue
        kind = chance.choice(["file", "file", "file", "dir", "link", "hard", "fifo"])
        if kind == "dir":
            path.mkdir()
            directories.append(path)
        elif kind == "link":
            path.symlink_to(chance.choice(["n1", "n2"]))
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.write_bytes(b"x" * chance.randrange(2))
            path.chmod(chance.choice([0o600, 0o644]))
            os.utime(path, ns=(5, chance.choice([5, 10**18 + 7])))
            if kind == "hard" and not (path.parent / "again").exists():
                (path.parent / "again").hardlink_to(path)
    return root


def compare(source: Path, target: Path, *, beside: bool, owner: bool = True, links: Symlinks = Symlinks.KEEP):
    async def work() -> tuple[Comparison, Progress]:
        mine = LocalLocation(str(source), options=LocalOptions(symlinks=links))
        theirs = LocalLocation(str(target))
        progress = Progress()
        try:
            # A wrapper cannot walk beside another location: both are scanned by themselves.
            one = mine if beside else Delegating(mine)
            comparer = Comparer(one, theirs, Rule(owner=owner), None, progress)
            return await comparer.run(Filter(()), make_target=True), progress
        finally:
            await mine.aclose()
            await theirs.aclose()

    return asyncio.run(work())


class Helped(WalkerProcess):
    """A process that is waited for, so that small trees get it too, and that can be killed in the middle of its work."""

    given = 0
    kill_after_first = False
    pids: ClassVar[list[int]] = []

    def __init__(self, *sides, owner):
        super().__init__(*sides, owner=owner)
        Helped.pids.append(self._pid)
        self._poll.poll()

    def give(self, walk):
        before = self._owed
        if Helped.kill_after_first and not before:
            os.kill(self._pid, signal.SIGSTOP)
        super().give(walk)
        Helped.given += self._owed - before
        if Helped.kill_after_first and self._owed:
            os.kill(self._pid, signal.SIGKILL)


@pytest.fixture
def helped(monkeypatch):
    """Every walk of two trees calls for help at once."""
    monkeypatch.setattr(sharing, "SHARE_FROM", 0)
    monkeypatch.setattr(walker_process, "WalkerProcess", Helped)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    Helped.given, Helped.kill_after_first, Helped.pids = 0, False, []
    return Helped


def facts(outcome: tuple[Comparison, Progress]):
    """Everything that is said, without the order in which it was found."""
    found, progress = outcome
    return (
        sorted(found.created.values()),
        sorted(found.extra.values()),
        sorted((d.source, d.target, d.verdict.value) for d in found.changed),
        sorted(found.target_directories.values()),
        (found.unchanged, found.source_paths, found.target_paths),
        (found.unknown_source, found.unknown_target, found.problems),
        sorted((s.path, s.reason.value) for s in found.skipped),
        sorted(found.hard_links),
        (progress.listed_source, progress.listed_target),
    )


@pytest.mark.parametrize("batch_rows", [1, 3, 2000])
@pytest.mark.parametrize("seed", range(6))
def test_a_walk_of_both_trees_says_what_two_scans_say(tmp_path, monkeypatch, seed, batch_rows):
    monkeypatch.setattr(scan, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr("lakelink.locations.local.beside.BATCH_ROWS", batch_rows)
    source, target = grow(tmp_path / "source", seed), grow(tmp_path / "target", seed + 100)
    apart, together = compare(source, target, beside=False), compare(source, target, beside=True)
    assert facts(together) == facts(apart)
    assert together[0].changed


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_with_a_helper_says_what_two_scans_say(tmp_path, monkeypatch, helped, seed):
    source, target = grow(tmp_path / "source", seed, 400), grow(tmp_path / "target", seed + 100, 400)
    for name in ("é", os.fsdecode(b"\xff")):
        for side in (source, target):
            for number in range(12):
                (side / name / f"{number}").mkdir(parents=True)
                (side / name / f"{number}" / "only" / side.name).mkdir(parents=True)
    assert facts(compare(source, target, beside=True)) == facts(compare(source, target, beside=False))
    assert helped.given > 0


def test_names_too_long_for_one_request_are_walked_all_the_same(tmp_path, helped):
    for side in ("source", "target"):
        here = tmp_path / side / "/".join(["y" * 250] * 12)
        for number in range(20):
            (here / f"{number}" / side / "below").mkdir(parents=True)
    source, target = tmp_path / "source", tmp_path / "target"
    assert facts(compare(source, target, beside=True)) == facts(compare(source, target, beside=False))
    assert helped.given > 1


def test_a_helper_that_dies_with_work_in_its_hands_leaves_nothing_to_conclude(tmp_path, monkeypatch, helped):
    helped.kill_after_first = True
    source, target = grow(tmp_path / "source", 1), grow(tmp_path / "target", 1)
    for side in (source, target):
        for number in range(40):
            (side / "many" / f"{number}").mkdir(parents=True)
    with pytest.raises(Unreachable):
        compare(source, target, beside=True)


def test_a_helper_that_never_greets_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "SHARE_FROM", 0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    source, target = grow(tmp_path / "source", 1), grow(tmp_path / "target", 2)
    assert facts(compare(source, target, beside=True)) == facts(compare(source, target, beside=False))


def test_a_walk_that_is_given_up_leaves_no_process(tmp_path, helped):
    source, target = grow(tmp_path / "source", 1), grow(tmp_path / "target", 2)

    async def work():
        mine, theirs = LocalLocation(str(source)), LocalLocation(str(target))
        try:
            steps = await mine.beside(theirs, owner=True)
            await anext(steps)
            await steps.aclose()
        finally:
            await mine.aclose()
            await theirs.aclose()

    asyncio.run(work())
    assert helped.pids
    for pid in helped.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_equal_files_are_counted_and_hold_no_row(tmp_path):
    source = grow(tmp_path / "source", 1)
    target = grow(tmp_path / "target", 1)
    found, _ = compare(source, target, beside=True)
    assert found.unchanged > 10
    assert not found.created
    assert not found.extra


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_owner_counts_only_where_the_target_can_hold_it(tmp_path):
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "f").touch()
        os.utime(tmp_path / side / "f", (5, 5))
    os.chown(tmp_path / "source/f", 1234, 1234)
    kept, _ = compare(tmp_path / "source", tmp_path / "target", beside=True)
    dropped, _ = compare(tmp_path / "source", tmp_path / "target", beside=True, owner=False)
    assert "f" in [d.source.path for d in kept.changed]
    assert "f" not in [d.source.path for d in dropped.changed]


def test_a_target_that_is_not_there_is_an_empty_one_and_a_source_never_is(tmp_path):
    source = grow(tmp_path / "source", 1)
    found, _ = compare(source, tmp_path / "new", beside=True)
    assert len(found.created) == found.source_paths + 1
    with pytest.raises(RootMissing):
        compare(tmp_path / "gone", source, beside=True)


def test_a_root_that_is_replaced_meanwhile_leaves_nothing_to_conclude(tmp_path, monkeypatch):
    source, target = grow(tmp_path / "source", 1), grow(tmp_path / "target", 1)

    async def work():
        mine, theirs = LocalLocation(str(source)), LocalLocation(str(target))
        try:
            steps = await mine.beside(theirs, owner=True)
            target.rename(tmp_path / "moved")
            target.mkdir()
            return [sides async for sides in steps]
        finally:
            await mine.aclose()
            await theirs.aclose()

    with pytest.raises(RootMissing):
        asyncio.run(work())


def test_a_walk_that_follows_links_is_left_to_two_scans(tmp_path):
    source, target = grow(tmp_path / "source", 1), grow(tmp_path / "target", 2)
    apart = compare(source, target, beside=False, links=Symlinks.FOLLOW)
    assert facts(compare(source, target, beside=True, links=Symlinks.FOLLOW)) == facts(apart)
