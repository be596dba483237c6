"""The table of those who wait outlives whoever wrote it."""

from lakelink.links.hsm.waiting import NUMBERS, Waiting


def test_what_was_put_and_not_cleared_is_pending_for_the_next(tmp_path):
    first = Waiting(str(tmp_path / "waiting"))
    first.put(7, b"seven")
    first.put(NUMBERS - 1, b"x" * 48)
    first.put(9, b"nine")
    first.clear(9)
    first.put(NUMBERS + 5, b"out of range")
    second = Waiting(str(tmp_path / "waiting"))
    assert dict(second.pending()) == {7: b"seven", NUMBERS - 1: b"x" * 48}
    second.forget()
    assert not list(first.pending())
    first.close()
    second.close()
