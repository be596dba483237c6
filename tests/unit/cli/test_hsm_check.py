"""The doctor's line on lazy directories says what was tried and what to do."""

import os

import pytest

from lakelink.cli.checks.finding import Status
from lakelink.cli.checks.hsm import lazy
from lakelink.links.hsm import probe as probing
from lakelink.links.hsm.base import Tier


def test_each_directory_that_is_named_is_tried(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    places = [str(tmp_path / "one"), "s3://lake", str(tmp_path / "two"), str(tmp_path / "missing")]
    found = list(lazy(tmp_path, places))
    assert [str(tmp_path / name) in one.found for name, one in zip(("one", "two"), found, strict=True)] == [True, True]
    assert not any(any((tmp_path / name).iterdir()) for name in ("one", "two"))


def test_without_the_right_to_hold_up_opens_the_alternative_is_named(tmp_path, monkeypatch):
    def refused() -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(probing, "open_group", refused)
    (found,) = lazy(tmp_path, [])
    assert found.status is Status.NOTE
    assert "CAP_SYS_ADMIN" in found.found
    assert "lakelink mount" in found.todo


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_is_found_here_is_one_of_the_tiers(tmp_path):
    assert probing.probe(str(tmp_path)).tier in set(Tier)


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.isdir("/dev/shm"), reason="needs root and tmpfs")  # noqa: PTH112, S108
def test_tmpfs_takes_open_events_alone_or_none():
    assert probing.probe("/dev/shm").tier in {Tier.OPEN, Tier.NONE}  # noqa: S108
