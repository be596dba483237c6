"""From keys to rows: what cannot be a path is reported and skipped, whatever order the store lists in."""

from __future__ import annotations

import random
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.errors import StorageError
from lakelink.locations.s3.keys import KeySpace, encode_key, encode_query, path_problem
from lakelink.locations.s3.list_xml import Page
from lakelink.locations.s3.listing import RowMaker
from lakelink.model.entry import Kind
from lakelink.model.path import file_problem


def scan_keys(keys, prefix="", excludes=None, page_size=3):
    maker = RowMaker(KeySpace(prefix), excludes)
    rows, problems, skipped = [], [], []
    objects = [
        (quote_plus(key, safe="/").encode(), b"2026-11-23T10:00:00.123Z", b"&quot;etag&quot;", b"5") for key in keys
    ]
    batches = [
        maker.page(Page(objects[i : i + page_size], url_encoded=True)) for i in range(0, len(objects), page_size)
    ]
    for batch in [*batches, maker.finish()]:
        rows += batch.rows
        problems += batch.problems
        skipped += batch.skipped
    return rows, problems, skipped


def test_files_markers_and_implicit_directories_become_rows():
    rows, problems, _ = scan_keys(["p/", "p/a", "p/d/", "p/d/e/f", "p/d/g"], prefix="p")

    assert not problems
    assert {(row.path, row.kind) for row in rows} == {
        ("", Kind.DIR),
        ("a", Kind.FILE),
        ("d", Kind.DIR),
        ("d/e", Kind.DIR),
        ("d/e/f", Kind.FILE),
        ("d/g", Kind.FILE),
    }
    assert {row.path: row.ident for row in rows if row.kind is Kind.DIR} == {"": "etag", "d": "etag", "d/e": ""}
    assert next(row for row in rows if row.path == "a")[2:] == (5, -1, -1, -1, -1, 1795428000 * 10**9, "etag")


@pytest.mark.parametrize(
    "key",
    [
        "a//b",
        "/lead",
        "..",
        "a/../b",
        ".",
        "a/./b",
        "nul\0byte",
        "x" * 256,
        "é" * 128,
        "d//",
        "../",
        "/".join(["x" * 200] * 21),
    ],
)
def test_a_key_that_cannot_be_a_path_is_reported_and_nothing_else_is_affected(key):
    rows, problems, _ = scan_keys(["ok", key, "z/ok"])

    assert [problem.code for problem in problems] == ["LL406"]
    assert {row.path for row in rows} >= {"ok", "z", "z/ok"}
    assert all(file_problem(row.path) is None for row in rows if row.path)


@pytest.mark.parametrize(
    "keys",
    [
        ["a", "a/x"],
        ["a", "a-b", "a.txt", "a/x"],
        ["a/x", "a"],
        ["a/", "a"],
        ["a", "a/"],
        ["a", "a-b", "a.c", "a.d", "a.e", "a.f", "a.g", "a/x/y"],
    ],
)
def test_a_key_that_is_a_file_and_a_prefix_is_a_problem_and_never_a_file_row(keys):
    rows, problems, _ = scan_keys(keys)

    assert [problem.path for problem in problems] == ["a"]
    assert [row.kind for row in rows if row.path == "a"] == [Kind.DIR]
    assert {row.path for row in rows} >= {key for key in keys if key not in {"a", "a/"}}


names = st.text("ab-./", min_size=1, max_size=8)


@given(st.sets(names, max_size=30), st.sampled_from(["bytes", "tree"]))
def test_each_path_comes_once_whatever_order_the_store_lists_in(keys, order):
    listed = sorted(keys) if order == "bytes" else sorted(keys, key=lambda key: key.split("/"))

    rows, problems, _ = scan_keys(listed)

    paths = [row.path for row in rows]
    assert len(paths) == len(set(paths))
    files = {row.path for row in rows if row.kind is Kind.FILE}
    directories = {row.path for row in rows if row.kind is Kind.DIR}
    valid = {
        key for key in keys if not file_problem(key.removesuffix("/"))
    }  # the root's own marker has no name to give
    wanted_directories = {key.rstrip("/") for key in valid if key.endswith("/")} | {
        "/".join(key.split("/")[:depth]) for key in valid for depth in range(1, key.count("/") + 1)
    }
    assert directories == wanted_directories
    assert files == {key for key in valid if not key.endswith("/")} - wanted_directories
    assert {problem.path for problem in problems} >= {key for key in valid if key in wanted_directories}


def test_random_trees_in_shuffled_pages_lose_nothing():
    keys = sorted({"/".join(random.Random(seed).choices("abcdef", k=4)) + str(seed) for seed in range(500)})

    rows, problems, _ = scan_keys(keys, page_size=7)

    assert {row.path for row in rows if row.kind is Kind.FILE} == set(keys)
    assert not problems


def test_own_names_are_left_out_and_lookalikes_are_not():
    rows, _, _ = scan_keys([".lakelink/staging/x", ".lakelink", ".lakelinkx/y", "d/.lakelink/z"])

    assert {row.path for row in rows} == {".lakelinkx", ".lakelinkx/y", "d", "d/.lakelink", "d/.lakelink/z"}


def test_an_excluded_directory_is_reported_once_and_nothing_below_it_is_listed():
    rows, _, skipped = scan_keys(
        ["a/b/c", "a/b/d/e", "a/f", "g.tmp"], excludes=lambda path, is_dir: path == "a/b" or path.endswith(".tmp")
    )

    assert {row.path for row in rows} == {"a", "a/f"}
    assert sorted(item.path for item in skipped) == ["a/b", "g.tmp"]


def test_a_key_outside_the_prefix_is_an_error_of_the_store():
    with pytest.raises(StorageError):
        scan_keys(["other/a"], prefix="p")


@given(st.text(max_size=80))
def test_the_quick_look_at_a_path_agrees_with_the_full_one(path):
    path = path or "x"
    assert (path_problem(path) is None) == (file_problem(path) is None)


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("a/b-_.~c", "a/b-_.~c"),
        ("a b+c", "a%20b%2Bc"),
        ("é%\n\x01", "%C3%A9%25%0A%01"),
        ("\udcff", "%FF"),
        ("a=b&c?", "a%3Db%26c%3F"),
    ],
)
def test_every_byte_of_a_key_is_encoded_as_signatures_want_it(key, encoded):
    assert encode_key(key) == encoded
    assert encode_query("/" + key) == "%2F" + encoded.replace("/", "%2F")


def test_names_that_cannot_be_keys_are_told_before_anything_moves():
    keys = KeySpace("/pre/fix/")

    assert keys.prefix == "pre/fix/"
    assert keys.problem("x" * 1015, marker=False) is None
    assert keys.problem("x" * 1016, marker=False) is None
    assert keys.problem("x" * 1016, marker=True) is not None
    assert keys.problem("x" * 1017, marker=False) is not None
    assert keys.problem("bad\udcff", marker=False) is not None
