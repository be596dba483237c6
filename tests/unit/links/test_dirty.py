"""Which paths are to be looked at, in which order, each in one pair of hands at a time."""

from __future__ import annotations

import asyncio
from math import inf

from lakelink.links.dirty import FILES, LAKE, Dirty


def paths(marks) -> list[str]:
    return [mark.path for mark in marks]


def test_the_oldest_come_first_and_each_once():
    dirty = Dirty()
    for path in ("a", "b", "a", "c"):
        dirty.note(path, FILES, 1.0)
    assert paths(dirty.take(2, 2.0)) == ["a", "b"]
    assert paths(dirty.take(9, 2.0)) == ["c"]
    assert dirty.take(9, 2.0) == []
    assert len(dirty) == 3


def test_what_is_noted_of_a_path_that_is_worked_on_waits_for_its_return():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    (mark,) = dirty.take(9, 1.0)
    dirty.note("a", LAKE, 2.0)
    assert dirty.waits("a")
    assert dirty.take(9, 2.0) == []
    dirty.done(mark)
    (again,) = dirty.take(9, 2.0)
    assert again.lake
    assert not again.files
    dirty.done(again)
    assert len(dirty) == 0
    assert "a" not in dirty


def test_both_sides_of_a_path_are_one_mark():
    dirty = Dirty()
    dirty.note("a", LAKE, 1.0)
    dirty.note("a", FILES, 1.5)
    (mark,) = dirty.take(9, 2.0)
    assert mark.files
    assert mark.lake
    assert mark.since_s == 1.0


def test_a_path_that_is_not_quiet_yet_is_not_handed_out():
    dirty = Dirty()
    dirty.note("a", FILES, 0.0, ready_s=5.0)
    dirty.note("open", FILES, 0.0, ready_s=inf)
    assert dirty.take(9, 4.0) == []
    assert dirty.next_s() == 5.0
    dirty.note("a", FILES, 4.0, ready_s=7.0)
    assert dirty.take(9, 6.0) == []
    assert paths(dirty.take(9, 7.0)) == ["a"]
    assert dirty.next_s() == inf
    dirty.note("open", FILES, 8.0)
    assert dirty.next_s() == 0.0
    assert paths(dirty.take(9, 8.0)) == ["open"]


def test_a_second_look_is_at_both_sides_and_counted():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    (mark,) = dirty.take(9, 1.0)
    dirty.again(mark, 3.0)
    dirty.done(mark)
    assert dirty.take(9, 2.0) == []
    (again,) = dirty.take(9, 3.0)
    assert again.lake
    assert again.attempts == 1
    assert again.since_s == 1.0


def test_what_is_given_back_is_as_it_was_and_keeps_what_was_noted_meanwhile():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    dirty.note("b", FILES, 1.0)
    first, second = dirty.take(9, 1.0)
    dirty.note("a", LAKE, 2.0)
    dirty.give_back(first)
    dirty.give_back(second)
    marks = dirty.take(9, 2.0)
    assert paths(marks) == ["a", "b"]
    assert marks[0].files
    assert marks[0].lake
    assert marks[0].since_s == 1.0


def test_a_claimed_path_is_in_one_pair_of_hands():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    mark = dirty.claim("a", 2.0)
    assert mark is not None
    assert mark.files
    assert dirty.claim("a", 2.0) is None
    assert dirty.take(9, 2.0) == []
    dirty.done(mark)
    assert dirty.claim("new", 2.0) is not None


def test_drained_is_all_up_to_a_number_and_nothing_later():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    number = dirty.last_number
    dirty.note("b", FILES, 1.0)
    (mark,) = dirty.take(1, 1.0)
    assert not dirty.drained(number)
    dirty.done(mark)
    assert dirty.drained(number)


def test_a_second_look_belongs_to_what_the_first_was_noted_for():
    dirty = Dirty()
    dirty.note("a", FILES, 1.0)
    number = dirty.last_number
    (mark,) = dirty.take(9, 1.0)
    dirty.again(mark, 3.0)
    dirty.done(mark)
    assert not dirty.drained(number)
    (again,) = dirty.take(9, 3.0)
    dirty.done(again)
    assert dirty.drained(number)
    dirty.note("open", FILES, 1.0, ready_s=inf)
    assert dirty.drained(dirty.last_number)


def test_a_survey_waits_for_room():
    async def work() -> None:
        dirty = Dirty(most=2)
        dirty.note("a", FILES, 1.0)
        dirty.note("b", FILES, 1.0)
        assert dirty.is_full
        waiting = asyncio.ensure_future(dirty.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        dirty.take(1, 1.0)
        await asyncio.wait_for(waiting, 30)

    asyncio.run(work())


def test_notes_of_one_path_do_not_pile_up():
    dirty = Dirty()
    for _ in range(1000):
        dirty.note("a", FILES, 1.0)
    assert len(dirty._queue) == 1
