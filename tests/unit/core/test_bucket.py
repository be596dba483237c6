from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.core.bucket import TokenBucket


def test_a_burst_is_free_and_then_the_rate_is_kept():
    bucket = TokenBucket(rate=100, burst=50, now_s=0.0)

    assert bucket.take(50, 0.0) == 0.0
    assert bucket.take(100, 0.0) == pytest.approx(1.0)
    assert bucket.take(100, 1.0) == pytest.approx(1.0)


def test_a_pause_earns_no_more_than_the_burst():
    bucket = TokenBucket(rate=100, burst=50, now_s=0.0)

    assert bucket.take(60, 1000.0) == pytest.approx(0.1)


def test_a_clock_that_steps_back_adds_nothing():
    bucket = TokenBucket(rate=100, burst=50, now_s=10.0)
    bucket.take(50, 10.0)

    assert bucket.take(10, 5.0) == pytest.approx(0.1)
    assert bucket.take(10, 10.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_rate_that_is_no_rate_is_refused(rate, burst):
    with pytest.raises(ValueError, match="greater than zero"):
        TokenBucket(rate, burst, 0.0)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
def test_whoever_waits_as_told_never_exceeds_rate_times_time_plus_burst(amounts):
    bucket = TokenBucket(rate=100, burst=50, now_s=0.0)
    now_s = 0.0

    for amount in amounts:
        now_s += bucket.take(amount, now_s)

    assert sum(amounts) <= 50 + 100 * now_s + 1e-6
