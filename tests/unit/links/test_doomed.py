"""Deletions that wait for each other, and who waits for them."""

import pytest

from lakelink.links.doomed import Doomed


@pytest.fixture
def doomed():
    made = []

    def make(*paths, **bounds):
        waiting = Doomed(**bounds)
        made.append(waiting)
        for number, path in enumerate(paths, 1):
            waiting.add(path, "lake", 0.0, directory=not path.endswith(".txt"), number=number)
        return waiting

    yield make
    for waiting in made:
        waiting.close()


def released(waiting):
    found = [one.path for one in waiting.release()]
    for path in found:
        waiting.finished(path)
    return found


def test_directories_go_when_nothing_in_them_waits_any_more(doomed):
    waiting = doomed("a", "a/b", "a/b/x.txt", "c", "a/b.txt")
    assert released(waiting) == ["a/b/x.txt", "c", "a/b.txt"]
    assert released(waiting) == ["a/b"]
    assert released(waiting) == ["a"]
    assert released(waiting) == []


def test_a_directory_goes_although_files_elsewhere_are_deleted_without_end(doomed):
    waiting = doomed("a")
    waiting.add("other.txt", "lake", 0.0, directory=False, number=9)
    assert released(waiting) == ["a", "other.txt"]


def test_the_next_ones_go_when_those_before_have_ended(doomed):
    waiting = doomed("x.txt")
    assert waiting.release() == [("x.txt", "lake", 1, 0)]
    waiting.add("y.txt", "files", 0.0, directory=False, number=2)
    assert waiting.release() == []
    waiting.finished("x.txt")
    assert waiting.release() == [("y.txt", "files", 2, 0)]


def test_who_waits_for_what_was_known_does_not_wait_for_what_came_later(doomed):
    waiting = doomed("x.txt", "y.txt")
    assert not waiting.drained(1)
    waiting.release()
    waiting.add("later.txt", "lake", 0.0, directory=False, number=3)
    assert not waiting.drained(2)
    waiting.finished("x.txt")
    assert waiting.drained(1)
    assert not waiting.drained(2)
    waiting.finished("y.txt")
    assert waiting.drained(2)
    assert not waiting.drained(3)


def test_what_is_found_again_while_it_waits_keeps_its_place(doomed):
    waiting = doomed("x.txt")
    waiting.add("x.txt", "lake", 0.0, directory=False, number=7)
    assert not waiting.drained(1)


def test_more_than_a_wave_go_one_after_the_other_and_are_counted_before_the_first(doomed):
    waiting = doomed("a", "a/1.txt", "a/2.txt", "a/3.txt", wave=2)
    assert waiting.counted == waiting.unasked == 4
    assert [one.path for one in waiting.release()] == ["a/1.txt", "a/2.txt"]
    assert waiting.release() == []
    assert (len(waiting), waiting.counted) == (4, 4)
    waiting.finished("a/1.txt")
    waiting.finished("a/2.txt")
    assert released(waiting) == ["a/3.txt"]
    assert released(waiting) == ["a"]
    assert len(waiting) == 0


def test_however_many_wait_only_a_wave_of_them_is_held_in_memory(doomed):
    waiting = doomed(*(f"{number}.txt" for number in range(3000)), wave=100)
    assert waiting.counted == 3000
    seen = []
    while wave := released(waiting):
        assert len(wave) <= 100
        seen += wave
    assert seen == [f"{number}.txt" for number in range(3000)]


def test_a_rename_is_no_deletion_to_the_brake_whichever_is_heard_of_first(doomed):
    waiting = doomed("was.txt", "gone.txt")
    waiting.renamed("was.txt")
    waiting.renamed("later.txt")
    waiting.add("later.txt", "files", 0.0, directory=False, number=3)
    assert (len(waiting), waiting.counted, waiting.unasked) == (3, 1, 1)
    released(waiting)
    assert (waiting.counted, waiting.is_renamed("was.txt")) == (0, False)


def test_of_too_many_renames_the_oldest_counts_as_a_deletion(doomed):
    waiting = doomed("a.txt", "b.txt", "c.txt", most_renamed=2)
    for path in ("a.txt", "b.txt", "c.txt"):
        waiting.renamed(path)
    assert (waiting.counted, waiting.is_renamed("a.txt"), waiting.is_renamed("c.txt")) == (1, False, True)


def test_names_that_are_not_utf8_keep_their_directory_waiting_as_well(doomed):
    waiting = doomed("d", "d/bad\udcff.txt")
    assert waiting.has_below("d")
    assert released(waiting) == ["d/bad\udcff.txt"]
    assert released(waiting) == ["d"]


def test_how_often_a_deletion_was_tried_is_remembered_while_it_waits(doomed):
    waiting = doomed()
    waiting.add("x.txt", "lake", 0.0, directory=False, attempts=3, number=1)
    waiting.add("x.txt", "lake", 0.0, directory=False, attempts=1, number=2)
    assert [(one.attempts, one.number) for one in waiting.release()] == [(3, 1)]
