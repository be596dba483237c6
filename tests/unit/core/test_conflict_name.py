"""Names of conflict copies: deterministic, beside the original, never nested, never too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.core.conflict_name import conflict_name, conflict_names, is_conflict_copy
from lakelink.model.path import file_problem, split

DIGEST = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.txt", "a.lakelink-conflict-here-01234567.txt"),
        ("d/e/a.txt", "d/e/a.lakelink-conflict-here-01234567.txt"),
        ("a.tar.gz", "a.tar.lakelink-conflict-here-01234567.gz"),
        ("plain", "plain.lakelink-conflict-here-01234567"),
        (".bashrc", ".bashrc.lakelink-conflict-here-01234567"),
        ("a.lakelink-conflict-there-ffffffff.txt", "a.lakelink-conflict-here-01234567.txt"),
        ("plain.lakelink-conflict-there-ffffffff", "plain.lakelink-conflict-here-01234567"),
    ],
)
def test_the_copy_is_beside_its_original_and_named_after_it(path, name):
    assert conflict_name(path, "here", DIGEST) == name
    assert is_conflict_copy(name)


def test_a_host_is_cut_to_what_a_name_can_hold():
    assert conflict_name("a", "föö.example/org" + "x" * 50, DIGEST) == (
        "a.lakelink-conflict-f-example-org" + "x" * 19 + "-01234567"
    )
    assert conflict_name("a", "…", DIGEST) == "a.lakelink-conflict-host-01234567"


def test_more_digits_of_the_content_make_another_name():
    assert conflict_name("a", "h", DIGEST, 32) == f"a.lakelink-conflict-h-{DIGEST}"
    assert not is_conflict_copy("a.lakelink-conflict-h-0123")


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda name: name not in {".", ".."}
)


@given(name=NAMES, host=st.text(max_size=40))
def test_it_is_a_name_that_a_file_can_have_and_a_copy_of_it_is_not_nested(name, host):
    path = f"d/{name}"
    if file_problem(path):
        return
    copy = conflict_name(path, host, DIGEST)
    assert file_problem(copy) is None
    assert is_conflict_copy(copy)
    again = conflict_name(copy, host, "f" * 32)
    assert split(again)[1].count(".lakelink-conflict-") <= max(1, name.count(".lakelink-conflict-"))


def test_a_name_with_no_room_left_is_cut():
    for path in ("n" * 255, "n" * 250 + ".txt", "a." + "x" * 253, "ü" * 127):
        copy = conflict_name(path, "here", DIGEST)
        assert file_problem(copy) is None
        assert is_conflict_copy(copy)


def test_where_the_name_is_taken_there_are_others_the_same_each_time():
    names = list(conflict_names("a", "h", DIGEST))
    assert names == list(conflict_names("a", "h", DIGEST))
    assert names[0] == conflict_name("a", "h", DIGEST)
    assert len(set(names)) == len(names) == 8
    assert all(is_conflict_copy(name) for name in names)
