"""Deletions that wait for each other, and who waits for them."""

from lakelink.links.doomed import Doomed


def doomed(*paths):
    waiting = Doomed()
    for number, path in enumerate(paths, 1):
        waiting.add(path, "lake", 0.0, directory=not path.endswith(".txt"), number=number)
    return waiting


def released(waiting):
    found = [path for path, _, _ in waiting.release()]
    for path in found:
        waiting.finished(path)
    return found


def test_directories_go_when_nothing_in_them_waits_any_more():
    waiting = doomed("a", "a/b", "a/b/x.txt", "c", "a/b.txt")
    assert released(waiting) == ["a/b/x.txt", "c", "a/b.txt"]
    assert released(waiting) == ["a/b"]
    assert released(waiting) == ["a"]
    assert released(waiting) == []


def test_a_directory_goes_although_files_elsewhere_are_deleted_without_end():
    waiting = doomed("a")
    waiting.add("other.txt", "lake", 0.0, directory=False, number=9)
    assert released(waiting) == ["a", "other.txt"]


def test_the_next_ones_go_when_those_before_have_ended():
    waiting = doomed("x.txt")
    assert waiting.release() == [("x.txt", "lake", 1)]
    waiting.add("y.txt", "files", 0.0, directory=False, number=2)
    assert waiting.release() == []
    waiting.finished("x.txt")
    assert waiting.release() == [("y.txt", "files", 2)]


def test_who_waits_for_what_was_known_does_not_wait_for_what_came_later():
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


def test_what_is_found_again_while_it_waits_keeps_its_place():
    waiting = doomed("x.txt")
    waiting.add("x.txt", "lake", 0.0, directory=False, number=7)
    assert not waiting.drained(1)
