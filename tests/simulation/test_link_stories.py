"""Links in simulated worlds: users and strangers write, machines fail, feeds lie; at the end every token is there, and nothing stirs any more."""

import pytest
from mutations import (
    journal_is_not_synced_with_each_commit,
    nothing_is_synced_before_it_is_remembered,
    put_without_condition,
)

from lakelink.testing.sim.bothways import play
from lakelink.testing.sim.shrink import shrunk
from lakelink.testing.sim.world import Told

SEEDS = 24
BUDGET = 60


@pytest.mark.parametrize("first", range(0, SEEDS, 6))
def test_nothing_is_lost_and_both_sides_come_to_rest_equal(first):
    for seed in range(first, first + 6):
        verdict = play(Told(seed))
        assert not verdict.faults, explained(seed)


def explained(seed):
    shortest, verdict = shrunk(play, Told(seed), tries=40)
    happened = "\n".join(f"  {happening.number} {happening.text}" for happening in verdict.happenings)
    return f"seed {seed}: {verdict.faults}\n{happened}\n{shortest}"


@pytest.mark.parametrize(
    "mutation",
    [nothing_is_synced_before_it_is_remembered, journal_is_not_synced_with_each_commit, put_without_condition],
    ids=lambda mutation: mutation.__name__,
)
def test_a_safeguard_that_is_taken_out_is_noticed(mutation):
    for seed in range(BUDGET):
        with mutation():
            verdict = play(Told(seed))
        if verdict.faults:
            assert not play(Told(seed)).faults, "it fails with the safeguard as well"
            return
    pytest.fail(f"{BUDGET} stories went well without the safeguard")
