"""Where the tree of a lazy link lies, and what comes back when it is let go."""

from pathlib import Path

import pytest

from lakelink.errors import Refused, RootGone, RootReadOnly
from lakelink.links.hsm import backing
from lakelink.links.hsm.backing import backing_of, check_root, give_back, settle, tree_of


def test_what_was_in_the_directory_moves_into_the_tree_and_comes_back(tmp_path):
    root = tmp_path / "data"
    root.mkdir(mode=0o750)
    (root / "mine").write_text("bytes", encoding="utf-8")
    tree = settle(str(root))
    assert tree == tree_of(str(root))
    assert not list(root.iterdir())
    assert (root.stat().st_mode & 0o777, Path(backing_of(str(root))).stat().st_mode & 0o777) == (0o750, 0o700)
    assert settle(str(root)) == tree
    give_back(str(root))
    assert (root / "mine").read_text(encoding="utf-8") == "bytes"
    assert not Path(backing_of(str(root))).exists()
    give_back(str(root))


def test_a_root_that_a_crash_left_missing_is_made_again(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    tree = settle(str(root))
    root.rmdir()
    assert settle(str(root)) == tree
    assert root.is_dir()


def test_a_directory_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(RootGone):
        settle(str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


def test_a_mount_point_is_refused_with_a_place_that_would_do():
    with pytest.raises(Refused) as refused:
        check_root("/proc")
    assert "/proc/files" in refused.value.hint


def test_a_tree_with_stubs_is_never_shown_without_its_guard(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    (root / "stub").write_bytes(b"")
    settle(str(root))
    monkeypatch.setattr(backing.LazyKernel, "is_stub", lambda _self, name, *, dir_fd: name == "stub")
    with pytest.raises(RootReadOnly):
        give_back(str(root))
    assert not list(root.iterdir())
