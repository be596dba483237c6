import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.model import path

names = st.binary(min_size=1, max_size=40).map(os.fsdecode)


@given(st.binary(max_size=200))
def test_the_bytes_of_a_name_survive(raw):
    assert path.to_bytes(os.fsdecode(raw)) == raw


@given(names.filter(lambda n: "/" not in n), names.filter(lambda n: "/" not in n))
def test_split_undoes_join(parent, name):
    assert path.split(path.join(parent, name)) == (parent, name)
    assert path.split(path.join(path.ROOT, name)) == (path.ROOT, name)


@pytest.mark.parametrize(
    ("name", "own"),
    [(".lakelink", True), (".lakelink/tmp/x", True), (".lakelink2", False), ("a/.lakelink", False), ("", False)],
)
def test_only_the_directory_at_the_top_is_lakelinks_own(name, own):
    assert path.is_own(name) is own


def test_a_name_that_is_not_utf8_cannot_be_a_key():
    assert "not valid UTF-8" in (path.key_problem("a\udcff") or "")
    assert path.key_problem("ä") is None


def test_the_length_of_a_key_counts_bytes_and_the_prefix():
    assert path.key_problem("ä" * 512) is None
    assert "longer than 1024" in (path.key_problem("ä" * 512, prefix_bytes=1) or "")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("a\0b", "NUL"),
        ("a//b", "empty component"),
        ("/a", "empty component"),
        ("a/../b", "'..'"),
        (".", "'.'"),
        ("x" * 256, "longer than 255"),
        ("ä" * 128, "longer than 255"),
        ("a/" * 2047 + "ab", "longer than 4095"),
    ],
)
def test_a_key_that_cannot_be_a_file_says_why(key, why):
    assert why in (path.file_problem(key) or "")


@pytest.mark.parametrize("key", ["a", "...", "a/b c/\n", "x" * 255, "ä" * 127, "a/" * 2047 + "a", "\udcff"])
def test_a_key_that_can_be_a_file_has_no_problem(key):
    assert path.file_problem(key) is None


@pytest.mark.parametrize(
    ("name", "shown"), [("plain ä", "plain ä"), ("a\nb", "a%0Ab"), ("a\udcff%", "a%FF%25"), ("100%", "100%")]
)
def test_a_name_is_shown_on_one_line(name, shown):
    assert path.display(name) == shown


@given(names)
def test_a_shown_name_never_breaks_a_line_and_json_holds_the_exact_bytes(name):
    assert path.display(name).isprintable()
    fields = path.json_fields(name)
    if path.is_utf8(name):
        assert fields == {"path": name}
    else:
        assert base64.b64decode(fields["path_base64"]) == os.fsencode(name)
