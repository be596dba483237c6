"""Hints that wait are merged by path, and bounded."""

from lakelink.watch.feed import EVERYTHING, Hint
from lakelink.watch.gathering import Gathering
from lakelink.watch.writing import MAX_OPEN, Writing


def test_hints_of_one_path_are_one_hint_and_the_last_word_on_settled_counts():
    gathering = Gathering()
    gathering.note("a", settled=False)
    gathering.note("a")
    gathering.note("b")
    gathering.note("b", settled=False)
    assert gathering.take() == [Hint("a"), Hint("b", settled=False)]
    assert not gathering
    assert gathering.take() == []


def test_a_subtree_stays_one_until_it_is_delivered():
    gathering = Gathering()
    gathering.note("d", subtree=True)
    gathering.note("d")
    gathering.note_files([("d", True), ("e", False)])
    assert gathering.take() == [Hint("d", subtree=True), Hint("e", settled=False)]
    gathering.note("d")
    assert gathering.take() == [Hint("d")]


def test_where_it_was_survives_later_hints_and_is_told_once():
    gathering = Gathering()
    gathering.note("b", moved_from="a")
    gathering.note("b", settled=False)
    assert gathering.take() == [Hint("b", settled=False, moved_from="a")]
    gathering.note("b")
    assert gathering.take() == [Hint("b")]


def test_a_chain_of_renames_names_what_is_known_elsewhere():
    gathering = Gathering()
    gathering.note("b", moved_from="a")
    gathering.note("c", moved_from="b")
    assert {hint.path: hint.moved_from for hint in gathering.take()} == {"b": None, "c": "a"}
    gathering.note("d", moved_from="c")
    assert gathering.take() == [Hint("d", moved_from="c")], "c has been delivered, so it is known"


def test_an_exchange_is_not_a_chain():
    gathering = Gathering()
    gathering.note("b", moved_from="a")
    gathering.note("a", moved_from="b")
    assert {hint.path: hint.moved_from for hint in gathering.take()}["a"] == "b"


def test_more_than_the_bound_is_one_hint_for_everything():
    gathering = Gathering(max_paths=100)
    gathering.note("b", moved_from="a")
    gathering.note_files((f"f{n}", True) for n in range(100))
    assert gathering.take() == [EVERYTHING]
    for number in range(100):
        gathering.note(f"f{number}")
    assert len(gathering.take()) == 100


def test_what_is_taken_is_bounded_and_the_oldest_first():
    gathering = Gathering()
    gathering.note_files((f"f{n}", True) for n in range(10))
    gathering.note("g", moved_from="f0")
    taken = []
    while hints := gathering.take(4):
        assert len(hints) <= 4
        taken += hints
    assert taken == [*(Hint(f"f{n}") for n in range(10)), Hint("g", moved_from="f0")]


def test_files_open_for_writing_are_remembered_up_to_a_bound():
    writing = Writing()
    for number in range(MAX_OPEN + 1):
        writing.begin(number)
    assert 0 not in writing
    assert 1 in writing
    assert writing.end(1)
    assert not writing.end(1)
    writing.clear()
    assert 2 not in writing
