"""The one-way engine against an adversary: what moves between two looks, kinds that swap, names that fold, looks that cannot tell."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lakelink.errors import NotPermitted, PreconditionFailed, Refused
from lakelink.locations.base import Batch
from lakelink.locations.memory import MemoryLocation
from lakelink.model.change import Problem
from lakelink.model.entry import Kind
from lakelink.model.task import MaxDelete, SyncOptions
from tests.unit.oneway.memory_pair import ALL, posix, store, sync, tree
from tests.unit.oneway.test_run import Lakelike


def test_what_a_file_replaces_counts_against_the_brake():
    source = store(data=b"a file now")
    target = store(**{f"data/{n}": b"x" for n in range(30)}, other=b"y")
    source.put("other", b"y", posix=posix())
    before = tree(target)
    with pytest.raises(Refused):
        sync(source, target, SyncOptions(delete=True))
    assert tree(target) == before
    sync(source, target, SyncOptions(delete=True, max_delete=MaxDelete(percent=100)))
    assert target.files() == source.files()


class Locked(MemoryLocation):
    """One path cannot be read."""

    async def read(self, reads):
        answers = await super().read(reads)
        return [NotPermitted("no") if r.path == "x" else a for r, a in zip(reads, answers, strict=True)]


@pytest.mark.parametrize("lake", [False, True], ids=["directory", "lake"])
@pytest.mark.parametrize("was", [Kind.SYMLINK, Kind.FILE])
def test_what_cannot_be_read_does_not_cost_the_target_what_it_has_of_another_kind(was, lake):
    source, target = store(), store()
    source.put("x", b"new", kind=Kind.FILE if was is Kind.SYMLINK else Kind.SYMLINK, posix=posix())
    target.put("x", b"old!", kind=was, posix=posix())
    before = tree(target)
    result = sync(Locked(source), Lakelike(target) if lake else target)
    assert [(p.path, p.code) for p in result.failed] == [("x", "LL301")]
    assert tree(target) == before


def test_a_directory_that_comes_back_at_the_source_before_the_replacement_keeps_what_the_target_has():
    source, target = store(d=b"a file"), store(**{"d/one": b"1", "d/two": b"2"})

    class Returning(MemoryLocation):
        async def stat(self, paths):
            self.store.remove("d")
            self.store.put("d/one", b"1", posix=posix())
            return await super().stat(paths)

    sync(Returning(source), target, SyncOptions(delete=True))
    assert set(target.files()) == {"d/one", "d/two"}


def test_a_file_is_not_put_where_a_directory_still_holds_what_was_not_to_go():
    source, target = store(d=b"a file"), store(**{"d/keep.tmp": b"1", "d/go": b"2"})

    class Store(Lakelike):
        """As S3: an object may be put beside a prefix of the same name; a directory without a marker is only a prefix."""

        async def scan(self, excludes=None):
            async for batch in super().scan(excludes):
                yield Batch([r._replace(ident="", time_ns=0) if r.kind is Kind.DIR else r for r in batch.rows])

        async def delete(self, deletes):
            answers = []
            for d in deletes:
                if d.kind is Kind.DIR:
                    full = any(self.store.children(d.path))
                    answers.append(PreconditionFailed(f"{d.path} is not empty") if full else None)
                else:
                    answers.extend(await super().delete([d]))
            return answers

        async def write(self, writes):
            self.written.extend(w.path for w in writes)
            return await super().write(writes)

    lake = Store(target)
    lake.written = []
    result = sync(source, lake, SyncOptions(delete=True, filters=("*.tmp",)))
    assert [p.path for p in result.failed] == ["d"]
    assert lake.written == []
    assert target.files() == {"d/keep.tmp": b"1"}


def test_a_path_that_the_source_could_not_list_is_neither_replaced_nor_removed():
    class Clashing(Lakelike):
        """The object `a` and the prefix `a/` are both there: as a bucket lists them."""

        async def scan(self, excludes=None):
            async for batch in super().scan(excludes):
                yield Batch(batch.rows, [Problem("a", "LL406", "an object and a prefix")])

    source, target = store(**{"a/x": b"1"}), store(a=b"precious")
    result = sync(Clashing(source), target, SyncOptions(delete=True, max_delete=ALL))
    assert target.files()["a"] == b"precious"
    assert "a" in {p.path for p in result.failed}


def test_a_name_that_the_target_folds_with_another_does_not_replace_it():
    class Folding(MemoryLocation):
        """As SeaweedFS: a backslash is a slash."""

        async def stat(self, paths):
            return await super().stat([p.replace("\\", "/") for p in paths])

        async def write(self, writes):
            return await super().write([replace(w, path=w.path.replace("\\", "/")) for w in writes])

    source, target = store(**{"a/b": b"the one", "a\\b": b"the other"}), store()
    seen = []
    for _ in range(3):
        result = sync(source, Folding(target))
        assert [p.code for p in result.failed] == ["LL400"]
        seen.append(target.files()["a/b"])
    assert seen[1] == seen[2] == b"the one"


def test_what_appears_at_the_target_after_its_listing_is_left_for_the_next_run():
    source, target = store(a=b"mine"), store()

    class Appearing(MemoryLocation):
        async def write(self, writes):
            if "a" not in self.store.nodes:
                self.store.put("a", b"theirs", posix=posix(7))
            return await super().write(writes)

    result = sync(source, Appearing(target))
    assert [(p.path, p.code) for p in result.failed] == [("a", "LL400")]
    assert target.files() == {"a": b"theirs"}
    assert not sync(source, target).failed
    assert target.files() == {"a": b"mine"}


def test_what_vanishes_from_the_target_between_listing_and_look_is_written():
    source, target = store(a=b"1"), store(a=b"1")

    class Vanishing(Lakelike):
        async def stat(self, paths):
            self.store.remove("a")
            return await super().stat(paths)

    assert not sync(source, Vanishing(target)).failed
    assert target.files() == {"a": b"1"}


def test_a_link_with_a_target_that_no_link_can_have_is_reported_and_the_rest_goes_on(tmp_path):
    from lakelink.locations.local.location import LocalLocation

    source = store(fine=b"1")
    source.put("nul", b"a\0b", kind=Kind.SYMLINK, posix=posix())
    source.put("long", b"x" * 5000, kind=Kind.SYMLINK, posix=posix())
    location = LocalLocation(str(tmp_path / "target"))

    result = sync(Lakelike(source), location)
    asyncio.run(location.aclose())
    assert {p.path for p in result.failed} == {"nul", "long"}
    assert (tmp_path / "target/fine").read_bytes() == b"1"


def test_a_lake_file_that_became_a_link_takes_the_place_of_the_local_file(tmp_path):
    from lakelink.locations.local.location import LocalLocation

    source = store()
    source.put("x", b"somewhere", kind=Kind.SYMLINK, posix=posix())
    (tmp_path / "x").write_bytes(b"was a file")
    location = LocalLocation(str(tmp_path))
    result = sync(Lakelike(source), location)
    asyncio.run(location.aclose())
    assert not result.failed
    assert (tmp_path / "x").readlink().name == "somewhere"
