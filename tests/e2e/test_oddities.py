"""A tree with every oddity goes through a store and back, and rsync finds no difference but those that are documented."""

from __future__ import annotations

import os

import pytest

from tests.e2e.oddities import (
    BACKSLASH,
    LINE_END,
    dress_directories,
    make_oddities,
    make_unholdable,
    rsync_differences,
)
from tests.e2e.program import Program

LEFT_OUT = {  # names that a store folds by its nature: docs/how-to/stores.md
    "seaweed": (BACKSLASH,),
    "moto": (LINE_END, " lead and trail ", "tab\there", "\x01\x7f"),
}


@pytest.fixture(params=["seaweed", "moto"])
def store_name(request) -> str:
    return request.param


@pytest.fixture
def on_store(request, store_name, tmp_path, s3_prefix) -> Program:
    store = request.getfixturevalue("seaweed" if store_name == "seaweed" else "moto_server")
    return Program(tmp_path, store, s3_prefix)


def test_a_tree_with_every_oddity_comes_back_from_a_store_as_rsync_sees_it(on_store, store_name, tmp_path):
    source, back = make_oddities(tmp_path / "source", without=LEFT_OUT[store_name]), tmp_path / "back"
    dress_directories(source)
    up = on_store("sync", source, on_store.lake, "--json")
    assert up.json["failed"] == []
    assert up.json["hard_links"] == 2
    again = on_store("sync", source, on_store.lake, "--json").json
    assert (again["transferred_files"], again["updated_metadata"], again["failed"]) == (0, 0, [])
    down = on_store("sync", on_store.lake, back, "--json")
    assert down.json["failed"] == []
    assert down.json["transferred_files"] == up.json["transferred_files"]
    assert rsync_differences(source, back) == []
    repeated = on_store("sync", on_store.lake, back, "--json").json
    assert (repeated["transferred_files"], repeated["updated_metadata"]) == (0, 0)


def test_a_tree_with_every_oddity_is_copied_between_directories(program, tmp_path):
    source, target = make_oddities(tmp_path / "source"), tmp_path / "target"
    make_unholdable(source)
    dress_directories(source)
    done = program("sync", source, target, "--json")
    assert (done.code, done.json["failed"]) == (0, [])
    special = {"fifo", "socket"} | ({"device"} if os.geteuid() == 0 else set())
    assert {skip["path"] for skip in done.json["skipped"]} == {f"unholdable/{name}" for name in special}
    missing = {line.rpartition("/")[2] for line in rsync_differences(source, target)}
    assert missing == special
    sparse = (target / "shapes/sparse").stat()
    assert sparse.st_blocks * 512 < sparse.st_size
    again = program("sync", source, target, "--json").json
    assert (again["transferred_files"], again["updated_metadata"], again["created_directories"]) == (0, 0, 0)


def test_what_cannot_travel_to_a_store_is_named_and_everything_else_arrives(on_lake, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "fine").write_bytes(b"fine")
    make_unholdable(source)
    done = on_lake("sync", source, on_lake.lake, "--json")
    assert done.code == 1
    assert [(f["path"], f["code"]) for f in done.json["failed"]] == [("unholdable/caf%E9", "LL406")]
    assert {skip["reason"] for skip in done.json["skipped"]} == {"special"}
    assert on_lake("sync", on_lake.lake, tmp_path / "back", "-q").code == 0
    lines = rsync_differences(source, tmp_path / "back")
    special = {"fifo", "socket", "caf\udce9"} | ({"device"} if os.geteuid() == 0 else set())
    assert {line.rpartition("/")[2] for line in lines} == special
