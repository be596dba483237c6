"""A directory that answers to two spellings, as on a file system that folds case: played by mounting it a second time."""

import dataclasses
import os
import subprocess

import pytest

from lakelink.errors import Refused
from lakelink.links.spelling import check_spelling, folds_case
from lakelink.model.link import Event, Rule
from tests.unit.daemon.fakes import spec

KEEPS = Rule(exports=frozenset({Event.NEW, Event.CHANGED}))


@pytest.fixture
def folding(tmp_path):
    """A root whose own directory is there under both spellings."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    own, other = tmp_path / "root" / ".lakelink", tmp_path / "root" / ".LAKELINK"
    own.mkdir(parents=True)
    other.mkdir()
    if subprocess.run(["mount", "--bind", own, other], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    yield tmp_path / "root"
    subprocess.run(["umount", other], check=True)


def test_an_ordinary_file_system_keeps_names_apart_and_nothing_is_left_in_the_root(tmp_path):
    assert check_spelling(spec(tmp_path), str(tmp_path)) == ""
    (tmp_path / "root").mkdir()
    assert not folds_case(str(tmp_path / "root"))
    assert not list((tmp_path / "root").iterdir())


def test_another_directory_that_differs_in_case_only_is_another_one(tmp_path):
    for name in (".lakelink", ".LAKELINK"):
        (tmp_path / name).mkdir()
    assert not folds_case(str(tmp_path))


def test_a_root_that_is_not_there_or_not_ours_is_left_to_other_checks(tmp_path):
    assert not folds_case(str(tmp_path / "nothing"))


def test_a_link_that_would_carry_deletions_from_there_is_refused(tmp_path, folding):
    with pytest.raises(Refused, match="differ in case only"):
        check_spelling(spec(tmp_path), str(folding))


def test_a_link_that_keeps_what_is_in_the_lake_is_told(tmp_path, folding):
    link = dataclasses.replace(spec(tmp_path), rule=KEEPS)
    assert "of objects whose keys do, one is here" in check_spelling(link, str(folding))
    assert folding.joinpath(".lakelink").is_dir()
