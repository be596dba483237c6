"""--include, --exclude and --filter-from keep their order and become gitignore lines."""

import pytest
from cyclopts import Token

from lakelink.cli.parameters import filter_lines
from lakelink.core.filters import Filter
from lakelink.errors import UsageError


def lines(*pairs: tuple[str, str]) -> tuple[str, ...]:
    return filter_lines(None, [Token(keyword=keyword, value=value) for keyword, value in pairs])


def test_the_order_of_the_command_line_is_kept(tmp_path):
    file = tmp_path / "filter"
    file.write_text("# a comment\n\n*.log\n!keep.log\n", encoding="utf-8")
    assert lines(("--exclude", "*.tmp"), ("--filter-from", str(file)), ("--include", "a.tmp")) == (
        "*.tmp",
        "*.log",
        "!keep.log",
        "!a.tmp",
    )


def test_the_last_match_wins():
    assert not Filter(lines(("--exclude", "*.tmp"), ("--include", "a.tmp"))).excludes("a.tmp", False)
    assert Filter(lines(("--include", "a.tmp"), ("--exclude", "*.tmp"))).excludes("a.tmp", False)


@pytest.mark.parametrize("name", ["!bang", "#hash"])
def test_a_pattern_of_the_command_line_may_begin_with_a_mark_of_the_file_format(name):
    assert Filter(lines(("--exclude", name))).excludes(name, False)
    assert not Filter(lines(("--exclude", "*"), ("--include", name))).excludes(name, False)


def test_names_that_are_not_utf_8_come_through_a_filter_file(tmp_path):
    file = tmp_path / "filter"
    file.write_bytes(b"caf\xe9\n")
    assert Filter(lines(("--filter-from", str(file)))).excludes("caf\udce9", False)


def test_an_empty_pattern_is_refused():
    with pytest.raises(UsageError):
        lines(("--exclude", " "))
