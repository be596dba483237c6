import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.core.brake import WINDOW_S, Brake
from lakelink.errors import TooManyDeletes
from lakelink.model.linkspec import Safety


def brake(percent=50.0, count=10):
    return Brake(Safety(max_delete_percent=percent, max_delete_count=count))


@pytest.mark.parametrize(
    ("deletes", "agreed", "passes"),
    [(0, 0, True), (10, 10, True), (11, 11, False), (500, 1000, True), (501, 1000, False), (1, 0, True)],
)
def test_a_share_and_a_few_always_pass(deletes, agreed, passes):
    if passes:
        brake().ask(deletes, agreed, 0)
    else:
        with pytest.raises(TooManyDeletes, match=f"{deletes} of {agreed} paths would be deleted within a minute"):
            brake().ask(deletes, agreed, 0)


def test_nothing_passes_a_brake_of_zero_and_everything_one_of_a_hundred_percent():
    with pytest.raises(TooManyDeletes):
        brake(0, 0).ask(1, 1000, 0)
    brake(0, 0).ask(0, 1000, 0)
    brake(100, 0).ask(1000, 1000, 0)


def test_deletes_of_the_last_minute_count_and_older_ones_do_not():
    slow = brake()
    slow.ask(400, 1000, 0)
    slow.done(400, 0)
    with pytest.raises(TooManyDeletes, match="550 of 1000"):
        slow.ask(150, 600, WINDOW_S - 1)
    slow.ask(150, 600, WINDOW_S + 2)


def test_what_was_refused_may_pass_once_and_no_more():
    held = brake()
    with pytest.raises(TooManyDeletes):
        held.ask(900, 1000, 0)
    held.allow_once()
    for left in (900, 600, 300):
        held.ask(left, left + 100, 1)
        held.done(300, 1)
    with pytest.raises(TooManyDeletes):
        held.ask(100, 100, 2)


def test_more_than_was_refused_does_not_pass():
    held = brake()
    with pytest.raises(TooManyDeletes):
        held.ask(600, 1000, 0)
    held.allow_once()
    with pytest.raises(TooManyDeletes):
        held.ask(601, 1000, 0)
    held.ask(600, 1000, 0)


def test_permission_without_a_refusal_permits_nothing():
    held = brake()
    held.allow_once()
    with pytest.raises(TooManyDeletes):
        held.ask(600, 1000, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 3)), max_size=300))
def test_within_a_minute_never_more_goes_than_the_brake_allows(steps):
    """Deletes come in any portions; whoever asks first and then deletes stays within the share of the tree at the window's begin."""
    held = brake(20, 5)
    agreed, now = 1000, 0.0
    gone: list[tuple[float, int]] = []
    for deletes, pause in steps:
        now += pause
        try:
            held.ask(deletes, agreed, now)
        except TooManyDeletes:
            continue
        held.done(deletes, now)
        agreed -= deletes
        gone.append((now, deletes))
        recent = sum(count for when, count in gone if when > now - WINDOW_S)
        assert recent <= max(5, int((agreed + recent) * 0.2) + 1)
        assert len(held._done) <= 70
