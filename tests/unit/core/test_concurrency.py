from __future__ import annotations

from lakelink.core.concurrency import ConcurrencyLimit, ConcurrencyPolicy


def run(limit: ConcurrencyLimit, rate_at, seconds: float, start_s: float = 0.0) -> float:
    """Finish requests as a line would whose throughput at `n` in flight is `rate_at(n)` per second."""
    now_s = start_s
    while now_s < start_s + seconds:
        now_s += 1 / rate_at(limit.limit)
        limit.finished(now_s, 1.0, saturated=True)
    return now_s


def test_a_far_store_gets_many_requests_in_flight():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, most=128))

    run(limit, lambda n: n / 0.08, 5.0)

    assert limit.limit == 128


def test_a_full_line_is_not_filled_further():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, probe_windows=1_000_000))

    run(limit, lambda n: min(n, 32) / 0.01, 5.0)

    assert limit.limit == 32


def test_at_rest_it_tries_upwards_now_and_then_and_comes_back():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, probe_windows=2))
    seen = set()

    now_s = 0.0
    for _ in range(100):
        now_s = run(limit, lambda n: min(n, 16) / 0.01, 0.05, now_s)
        seen.add(limit.limit)

    assert {16, 24} <= seen
    assert max(seen) == 32


def test_a_store_that_became_faster_is_used():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, probe_windows=2, most=64))
    now_s = run(limit, lambda n: min(n, 16) / 0.01, 2.0)
    assert limit.limit < 64

    run(limit, lambda n: n / 0.01, 10.0, now_s)

    assert limit.limit == 64


def test_complaints_halve_once_per_moment_and_never_below_the_least():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16))

    limit.complained(10.0)
    limit.complained(10.5)
    assert limit.limit == 8
    for second in range(11, 30):
        limit.complained(float(second))
    assert limit.limit == 1


def test_after_a_complaint_it_grows_only_slowly():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, probe_windows=3))
    limit.complained(0.0)

    now_s = run(limit, lambda n: n / 0.01, 0.5, 1.0)
    assert limit.limit == 8
    run(limit, lambda n: n / 0.01, 0.3, now_s)
    assert limit.limit == 12


def test_an_idle_client_learns_nothing():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16))

    for tick in range(1000):
        limit.finished(tick * 0.01, 1.0, saturated=False)

    assert limit.limit == 16


def test_a_fixed_limit_stays():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=4, most=4, probe_windows=1))

    run(limit, lambda n: n / 0.01, 5.0)

    assert limit.limit == 4


def far(limit: ConcurrencyLimit, seconds: float, took_s, start_s: float = 0.0) -> None:
    """Finish requests at a rate that does not change, each after `took_s(n)` at `n` in flight."""
    now_s = start_s
    while now_s < start_s + seconds:
        now_s += 0.001
        limit.finished(now_s, 1.0, saturated=True, took_s=took_s(limit.limit))


def test_a_far_store_that_answers_as_fast_as_ever_is_asked_more_whatever_the_rate():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, most=128))

    far(limit, 5.0, lambda _: 0.08)

    assert limit.limit == 128


def test_a_far_store_whose_answers_queue_is_not_asked_more():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, most=128, probe_windows=1_000_000))
    limit.finished(0.0, 1.0, saturated=False, took_s=0.03)

    far(limit, 5.0, lambda n: 0.03 if n < 64 else 0.09)

    assert 32 <= limit.limit <= 64


def test_answers_that_stop_queueing_are_noticed_at_rest():
    limit = ConcurrencyLimit(ConcurrencyPolicy(start=16, most=128, probe_windows=1_000_000))
    limit.finished(0.0, 1.0, saturated=False, took_s=0.03)
    far(limit, 5.0, lambda _: 0.09)
    assert limit.limit == 16

    far(limit, 5.0, lambda _: 0.04, 5.0)

    assert limit.limit == 128
