"""Patterns in gitignore syntax."""

import pytest

from lakelink.core.filters import Filter

CASES = [
    (["*.tmp"], "a/b.tmp", False, True),
    (["*.tmp"], "a/b.txt", False, False),
    (["*.tmp", "!keep.tmp"], "keep.tmp", False, False),
    (["/build"], "build", True, True),
    (["/build"], "a/build", True, False),
    (["logs/"], "logs", True, True),
    (["logs/"], "logs", False, False),
    (["*", "!*.bam"], "a/b/c.bam", False, False),
    (["*", "!*.bam"], "a/b/c.txt", False, True),
    (["# a comment", "  "], "anything", False, False),
    (["a/**/z"], "a/b/c/z", False, True),
]


@pytest.mark.parametrize(("lines", "path", "is_directory", "out"), CASES)
def test_patterns_match_as_git_matches_them(lines, path, is_directory, out):
    assert Filter(lines).excludes(path, is_directory) is out


def test_the_root_is_never_left_out():
    assert not Filter(["*"]).excludes("", True)


def test_an_excluded_directory_is_not_looked_into():
    assert Filter(["cache/"]).prunes("cache", True)


def test_a_directory_is_looked_into_when_something_may_be_taken_back_in():
    assert not Filter(["*", "!*.bam"]).prunes("deep", True)
    assert Filter(["*", "!*.bam"]).prunes("deep.txt", False)


def test_no_patterns_cost_nothing():
    assert Filter([]).for_scan() is None
    assert not Filter([])
    assert Filter(["x"]).for_scan() is not None
