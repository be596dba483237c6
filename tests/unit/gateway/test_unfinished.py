"""What is written down of uploads under way, and what becomes of it when the process that wrote it is gone."""

import asyncio
import os
import stat

import pytest

from lakelink.errors import ConfigError, Unreachable
from lakelink.gateway.server import unfinished
from lakelink.gateway.server.unfinished import Unfinished


class Store:
    """A location that remembers what was given up, or fails."""

    def __init__(self, error=None):
        self.error, self.given_up = error, []

    async def abort_uploads(self, paths):
        if self.error:
            raise self.error
        self.given_up += paths
        return len(paths)


def sweep(record, stores):
    async def opener(text):
        return stores[text]

    return asyncio.run(record.sweep(opener))


def die(record):
    """As a process that is killed: the kernel drops its lock, and the file stays."""
    os.close(record._fd)
    record._fd = -1


def files(tmp_path):
    return {path.name for path in (tmp_path / "uploads").iterdir()}


def test_what_a_dead_process_left_is_given_up_and_forgotten(tmp_path):
    one, store = Unfinished(tmp_path, "one"), Store()
    one.note("s3://lake/a", "x", True)
    one.note("s3://lake/a", "y", True)
    one.note("s3://lake/a", "y", False)
    one.note("s3://lake/a", "z", True)
    assert stat.S_IMODE((tmp_path / "uploads" / "one").stat().st_mode) == 0o600
    die(one)
    two = Unfinished(tmp_path, "two")
    assert sweep(two, {"s3://lake/a": store}) == 2
    assert store.given_up == ["x", "z"]
    assert files(tmp_path) == {"two"}
    two.close()
    assert files(tmp_path) == set()


def test_what_the_living_are_uploading_is_left_alone(tmp_path):
    dead, living, store = Unfinished(tmp_path, "dead"), Unfinished(tmp_path, "living"), Store()
    for record in (dead, living):
        record.note("s3://lake/a", "x", True)
    dead.note("s3://lake/a", "y", True)
    living.note("s3://lake/a", "z", True)
    die(dead)
    assert sweep(Unfinished(tmp_path, "two"), {"s3://lake/a": store}) == 1
    assert store.given_up == ["y"]


@pytest.mark.parametrize(("error", "stays"), [(Unreachable("gone"), True), (ConfigError("no such place"), False)])
def test_what_cannot_be_reached_is_left_to_the_next_start(tmp_path, error, stays):
    dead, good = Unfinished(tmp_path, "dead"), Store()
    dead.note("s3://lake/a", "x", True)
    dead.note("s3://lake/b", "y", True)
    die(dead)
    assert sweep(Unfinished(tmp_path, "two"), {"s3://lake/a": Store(error), "s3://lake/b": good}) == 1
    assert good.given_up == ["y"]
    assert ("dead" in files(tmp_path)) is stays


def test_a_store_that_does_not_answer_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SWEPT_WITHIN_S", 0.01)

    class Silent(Store):
        async def abort_uploads(self, _paths):
            await asyncio.Event().wait()

    dead = Unfinished(tmp_path, "dead")
    dead.note("s3://lake/a", "x", True)
    die(dead)
    assert sweep(Unfinished(tmp_path, "two"), {"s3://lake/a": Silent()}) == 0
    assert "dead" in files(tmp_path)


def test_the_record_does_not_grow_with_what_is_over_and_bears_what_was_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "LONGEST_BYTES", 2000)
    one, store = Unfinished(tmp_path, "one"), Store()
    one.note("s3://lake/a", "stays", True)
    for number in range(500):
        one.note("s3://lake/a", f"{number}", True)
        one.note("s3://lake/a", f"{number}", False)
    file = tmp_path / "uploads" / "one"
    assert file.stat().st_size < 2200
    one.note("s3://lake/a", "no \udce9 key", True)
    with file.open("ab") as torn:
        torn.write(b'["+", "s3://la')
    die(one)
    assert sweep(Unfinished(tmp_path, "two"), {"s3://lake/a": store}) == 1
    assert store.given_up == ["stays"]
