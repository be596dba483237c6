"""The one-way engine over memory locations: what it asks, what it refuses, what it leaves alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from lakelink.core.diff import Rule
from lakelink.errors import NotPermitted, Refused, RootMissing, Unreachable
from lakelink.locations.base import Batch
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.change import Problem
from lakelink.model.entry import Kind, Row
from lakelink.model.task import MaxDelete, Progress, SyncOptions, SyncResult
from lakelink.oneway.ledger import Ledger
from lakelink.oneway.pair import Pair
from lakelink.oneway.run import Run, _until_stopped
from tests.unit.oneway.memory_pair import ALL, Quick, posix, store, sync, tree


class Counting(MemoryLocation):
    """Counts what it is asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.asked: Counter[str] = Counter()

    async def stat(self, paths):
        self.asked["stat"] += len(paths)
        return await super().stat(paths)

    async def read(self, reads):
        self.asked["read"] += len(reads)
        return await super().read(reads)


class Lakelike(Counting):
    """Lists no metadata, as a bucket does."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.traits = replace(self.traits, posix_in_list=False)

    async def scan(self, excludes=None):
        async for batch in super().scan(excludes):
            rows = [
                Row(
                    r.path,
                    Kind.FILE if r.kind is Kind.SYMLINK else r.kind,
                    r.size_bytes,
                    -1,
                    -1,
                    -1,
                    -1,
                    r.time_ns,
                    f"e{r.ident}",
                )
                for r in batch.rows
            ]
            yield Batch(rows, batch.problems, batch.skipped, batch.hard_links)

    async def stat(self, paths):
        return [self._as_lake(entry) for entry in await super().stat(paths)]

    async def write(self, writes):
        return [self._as_lake(entry) for entry in await super().write([self._from_lake(w) for w in writes])]

    async def set_posix(self, changes):
        return [self._as_lake(entry) for entry in await super().set_posix([self._from_lake(c) for c in changes])]

    async def read(self, reads):
        return await super().read([replace(r, expect=self._plain(r.expect)) for r in reads])

    async def delete(self, deletes):
        return await super().delete([self._from_lake(d) for d in deletes])

    def _as_lake(self, entry):
        if entry is None or isinstance(entry, Exception):
            return entry
        return replace(entry, version=replace(entry.version, etag=f"e{entry.version.ino}", ino=0))

    def _plain(self, version):
        return replace(version, ino=int(version.etag[1:])) if version and version.etag else version

    def _from_lake(self, order):
        version = order.expect.version
        return replace(order, expect=replace(order.expect, version=self._plain(version))) if version else order


class Unreadable(MemoryLocation):
    """One directory cannot be read."""

    def __init__(self, store: MemoryStore, path: str) -> None:
        super().__init__(store)
        self.path = path

    async def scan(self, excludes=None):
        async for batch in super().scan(excludes):
            rows = [r for r in batch.rows if r.path != self.path and not r.path.startswith(self.path + "/")]
            yield Batch(
                [*rows, Row(self.path, Kind.PROBLEM, 0, -1, -1, -1, -1, 0, 0)], [Problem(self.path, "LL301", "no")]
            )


def test_a_repeated_run_asks_nothing_and_reads_nothing(tmp_path):
    source, target = store(a=b"1", b=b"22"), store()
    assert sync(source, Lakelike(target), index=tmp_path / "i").transferred_files == 2
    one, other = Counting(source), Lakelike(target)
    again = sync(one, other, index=tmp_path / "i")
    assert (again.transferred_files, again.unchanged) == (0, 2)
    assert not one.asked
    assert not other.asked


def test_without_an_index_a_repeated_run_asks_but_reads_nothing(tmp_path):
    source, target = store(a=b"1", b=b"22"), store()
    sync(source, Lakelike(target), index=tmp_path / "i")
    other = Lakelike(target)
    assert sync(source, other, index=tmp_path / "another").transferred_files == 0
    assert other.asked == {"stat": 3}
    quiet = Lakelike(target)
    sync(source, quiet, index=tmp_path / "another")
    assert not quiet.asked


@pytest.mark.parametrize("side", ["source", "target"])
def test_drift_on_either_side_is_found_in_spite_of_the_index(tmp_path, side):
    source, target = store(a=b"1"), store()
    sync(source, Lakelike(target), index=tmp_path / "i")
    (source if side == "source" else target).put("a", b"2", posix=posix(mtime=9))
    assert sync(source, Lakelike(target), index=tmp_path / "i").transferred_files == 1
    assert target.files() == source.files()


def test_a_lake_as_the_source_gives_back_kinds_and_metadata():
    source, target = store(), store()
    source.put("d", kind=Kind.DIR, posix=posix(5, 0o750))
    source.put("d/f", b"x", posix=posix(7, 0o600))
    source.put("d/l", b"f", kind=Kind.SYMLINK, posix=posix(8))
    assert not sync(Lakelike(source), target).failed
    assert tree(target) == tree(source)


def test_below_an_unreadable_directory_nothing_is_deleted():
    source, target = (
        store(**{"d/x": b"1", "y": b"2"}),
        store(**{"d/x": b"1", "d/only-here": b"3", "gone": b"4", "y": b"2"}),
    )
    result = sync(Unreadable(source, "d"), target, SyncOptions(delete=True))
    assert set(target.files()) == {"d/x", "d/only-here", "y"}
    assert [p.path for p in result.failed] == ["d"]
    assert result.exit_code == 1


def test_a_scan_that_fails_deletes_nothing():
    class Failing(MemoryLocation):
        async def scan(self, excludes=None):
            async for batch in super().scan(excludes):
                yield Batch(batch.rows[:1])
                raise Unreachable("the listing broke off")

    target = store(a=b"1", b=b"2")
    with pytest.raises(Unreachable):
        sync(Failing(store(a=b"1", b=b"2")), target, SyncOptions(delete=True, max_delete=ALL, allow_empty_source=True))
    assert set(target.files()) == {"a", "b"}


def test_a_file_that_comes_back_between_scan_and_delete_is_left_alone():
    source, target = store(a=b"1"), store(a=b"1", late=b"2")

    class Late(MemoryLocation):
        async def stat(self, paths):
            self.store.put("late", b"2", posix=posix())
            return await super().stat(paths)

    result = sync(Late(source), target, SyncOptions(delete=True))
    assert result.deleted == 0
    assert "late" in target.files()


def test_a_target_that_moves_between_scan_and_write_is_observed_again():
    source, target = store(a=b"new"), store(a=b"old!")

    class Moving(MemoryLocation):
        moved = False

        async def write(self, writes):
            if not self.moved:
                self.moved = True
                self.store.put("a", b"foreign", posix=posix(3))
            return await super().write(writes)

    assert not sync(source, Moving(target)).failed
    assert target.files() == {"a": b"new"}


def test_a_source_that_never_stops_changing_is_reported_and_the_rest_goes_on():
    source, target = store(busy=b"0", calm=b"1"), store()

    class Busy(MemoryLocation):
        async def read(self, reads):
            if any(r.path == "busy" for r in reads):
                self.store.put("busy", self.store.files()["busy"] + b"x", posix=posix())
            return await super().read(reads)

    result = sync(Busy(source), target)
    assert [(p.path, p.code) for p in result.failed] == [("busy", "LL401")]
    assert target.files() == {"calm": b"1"}
    assert result.exit_code == 1


def test_a_source_that_vanishes_meanwhile_is_reported():
    source, target = store(a=b"0", b=b"1"), store()

    class Vanishing(MemoryLocation):
        async def read(self, reads):
            self.store.remove("a")
            return await super().read(reads)

    result = sync(Vanishing(source), target)
    assert [(p.path, p.code) for p in result.failed] == [("a", "LL302")]
    assert target.files() == {"b": b"1"}


def test_one_path_that_is_not_permitted_does_not_stop_the_others():
    source, target = store(a=b"0", b=b"1"), store()

    class Guarded(MemoryLocation):
        async def write(self, writes):
            answers = await super().write([w for w in writes if w.path != "a"])
            return [NotPermitted("no") if w.path == "a" else answers.pop(0) for w in writes]

    result = sync(source, Guarded(target))
    assert [(p.path, p.code) for p in result.failed] == [("a", "LL301")]
    assert target.files() == {"b": b"1"}


def test_too_many_deletions_are_refused_before_anything_is_touched():
    source = store(new=b"1")
    target = store(**{f"f{n}": b"x" for n in range(11)})
    before = tree(target)
    with pytest.raises(Refused):
        sync(source, target, SyncOptions(delete=True))
    assert tree(target) == before
    assert sync(source, target, SyncOptions(delete=True, max_delete=MaxDelete(count=11))).deleted == 11


def test_an_empty_source_is_refused_and_a_vanished_one_is_an_error():
    target = store(a=b"1")
    with pytest.raises(Refused):
        sync(store(), target, SyncOptions(delete=True))
    source = store()
    source.remove_root()
    with pytest.raises(RootMissing):
        sync(source, target, SyncOptions(delete=True, allow_empty_source=True))
    assert target.files() == {"a": b"1"}


def test_excluded_paths_are_neither_copied_nor_deleted():
    source, target = store(**{"a.tmp": b"1", "b": b"2"}), store(**{"c.tmp": b"3", "d": b"4"})
    result = sync(source, target, SyncOptions(delete=True, filters=("*.tmp",)))
    assert target.files() == {"b": b"2", "c.tmp": b"3"}
    assert result.deleted == 1


def test_a_full_directory_gives_way_to_a_file_only_with_delete():
    source, target = store(x=b"file"), store(**{"x/inside": b"1"})
    refused = sync(source, target)
    assert [p.code for p in refused.failed] == ["LL407"]
    assert target.files() == {"x/inside": b"1"}
    assert not sync(source, target, SyncOptions(delete=True, max_delete=ALL)).failed
    assert target.files() == {"x": b"file"}


def test_metadata_alone_is_set_without_moving_content():
    source, target = store(a=b"1"), store(a=b"1")
    source.put("a", b"1", posix=posix(1, 0o600))
    reader = Counting(source)
    result = sync(reader, target)
    assert (result.transferred_files, result.updated_metadata) == (0, 1)
    assert not reader.asked["read"]
    assert tree(target) == tree(source)


def test_checksums_find_what_size_and_time_hide():
    source, target = store(a=b"1"), store(a=b"2")
    assert sync(source, target).transferred_files == 0
    assert sync(source, target, SyncOptions(checksum=True)).transferred_files == 1
    assert target.files() == {"a": b"1"}


def test_what_a_run_did_is_reported_path_by_path():
    lines = []
    source, target = store(new=b"1", same=b"2"), store(same=b"2", old=b"3")
    sync(source, target, SyncOptions(delete=True), report=lines.append)
    assert {(line.path, line.action) for line in lines} == {("new", "create"), ("old", "delete")}


def test_a_stopped_run_says_so_and_leaves_whole_files_only():
    async def work() -> tuple[bool, SyncResult]:
        stop = asyncio.Event()
        started = asyncio.Event()

        async def forever() -> bool:
            started.set()
            await asyncio.Event().wait()
            return True

        async def stopper() -> None:
            await started.wait()
            stop.set()

        ended, _ = await asyncio.gather(_until_stopped(forever(), stop), stopper())
        return ended, SyncResult(source="", target="", interrupted=not ended)

    ended, result = asyncio.run(work())
    assert not ended
    assert result.exit_code == 130
    assert Progress().phase == "starting"


def test_a_run_that_is_asked_to_stop_finishes_what_is_under_way_and_begins_nothing_new():
    source, target = store(**{f"f{n:03d}": b"x" for n in range(100)}), store(old=b"y")
    lines = []

    async def work() -> tuple[bool, int]:
        stop = asyncio.Event()

        class Stopped(MemoryLocation):
            async def write(self, writes):
                stop.set()
                return await super().write(writes)

        other = Stopped(target)
        result = SyncResult(source="", target="")
        ledger = Ledger(other, None, Quick(), result, Progress())
        ledger.report = lines.append
        run = Run(
            Pair(MemoryLocation(source), other, Rule(), None),
            SyncOptions(delete=True, concurrency=4),
            ledger,
            Quick(),
            stop,
        )
        return await _until_stopped(run.all(), stop), result.transferred_files

    ended, count = asyncio.run(work())
    assert not ended
    assert 0 < count < 100
    assert len([path for path in target.files() if path != "old"]) == count == len(lines)
    assert "old" in target.files()
