from __future__ import annotations

import pytest

from lakelink.core.backoff import Backoff, RetryBudget


@pytest.mark.parametrize(
    ("attempt", "uniform", "retry_after_s", "expected_s"),
    [
        (0, 0.0, 0.0, 0.0),
        (0, 0.5, 0.0, 0.5),
        (3, 0.5, 0.0, 4.0),
        (10, 0.5, 0.0, 5.0),
        (100_000, 0.999, 0.0, 9.99),
        (0, 0.5, 2.0, 2.0),
        (3, 0.5, 2.0, 4.0),
        (0, 0.0, 3600.0, 30.0),
    ],
)
def test_the_pause_is_jittered_capped_and_at_least_what_was_asked_for(attempt, uniform, retry_after_s, expected_s):
    backoff = Backoff(base_s=1.0, cap_s=10.0)

    assert backoff.delay_s(attempt, uniform, retry_after_s) == pytest.approx(expected_s)


def test_attempts_are_counted_with_the_first_one():
    backoff = Backoff(attempts=3)

    assert [backoff.may_repeat(attempt) for attempt in range(4)] == [True, True, False, False]


def test_the_budget_runs_dry_and_success_fills_it_again_up_to_its_capacity():
    budget = RetryBudget(capacity=2.0, earned_per_success=0.5)

    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    for _ in range(100):
        budget.earn()
    assert budget.tokens == 2.0
