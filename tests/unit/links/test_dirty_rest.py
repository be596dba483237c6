"""When a path that was put off is looked at again."""

from math import inf

from lakelink.links.dirty import FILES, LAKE, Dirty


def test_a_path_in_trouble_is_left_alone_until_its_time_has_come():
    dirty = Dirty()
    dirty.note("a", FILES, 0.0)
    (mark,) = dirty.take(9, 1.0)
    dirty.again(mark, 5.0)
    dirty.done(mark)
    assert dirty.take(9, 4.0) == []
    (again,) = dirty.take(9, 5.0)
    assert (again.path, again.attempts, again.lake) == ("a", 1, True)


def test_what_was_noticed_while_a_path_was_worked_on_is_looked_at_at_once():
    dirty = Dirty()
    dirty.note("a", FILES, 0.0)
    (mark,) = dirty.take(9, 1.0)
    dirty.note("a", FILES, 1.0, ready_s=3.0)
    dirty.done(mark)
    assert [mark.path for mark in dirty.take(9, 1.0)] == ["a"]


def test_what_is_noticed_of_a_path_that_rests_wakes_it():
    dirty = Dirty()
    dirty.note("a", FILES, 0.0)
    (mark,) = dirty.take(9, 1.0)
    waiting = dirty.note("a", FILES, 0.0, ready_s=inf)
    waiting.resting = True
    dirty.done(mark)
    assert dirty.take(9, 100.0) == []
    dirty.note("a", FILES, 101.0)
    assert [mark.path for mark in dirty.take(9, 101.0)] == ["a"]


def test_a_path_that_is_put_off_keeps_what_is_known_of_it():
    dirty = Dirty()
    noted = dirty.note("a", LAKE, 1.0)
    noted.unsettled, noted.attempts = True, 3
    (mark,) = dirty.take(9, 1.0)
    dirty.later(mark, 5.0)
    dirty.done(mark)
    assert dirty.take(9, 4.0) == []
    (again,) = dirty.take(9, 5.0)
    assert (again.lake, again.unsettled, again.attempts, again.since_s) == (True, True, 3, 1.0)
    dirty.note("a", FILES, 6.0)  # heard of meanwhile
    dirty.later(again, 9.0)
    dirty.done(again)
    (now,) = dirty.take(9, 6.0)
    assert (now.lake, now.unsettled, now.since_s) == (True, False, 1.0)


def test_what_was_put_off_is_not_done_with():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    number = dirty.last_number
    (mark,) = dirty.take(9, 1.0)
    dirty.later(mark, 5.0)
    dirty.done(mark)
    assert not dirty.drained(number)
    (mark,) = dirty.take(9, 5.0)
    dirty.note("a", FILES, 6.0)  # of its own, and after that number
    dirty.done(mark)
    assert dirty.drained(number)
