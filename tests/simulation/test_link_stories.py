"""Links in simulated worlds: users and strangers write, machines fail, feeds lie; at the end every token is there, and nothing stirs any more."""

import pytest
from mutations import (
    copy_without_condition,
    delete_without_condition,
    displaced_file_is_not_looked_at,
    journal_is_not_synced_with_each_commit,
    nothing_is_synced_before_it_is_remembered,
    put_without_condition,
)

from lakelink.testing.sim import rivals
from lakelink.testing.sim.bothways import play
from lakelink.testing.sim.shrink import shrunk
from lakelink.testing.sim.world import Told

SEEDS = 24
BUDGET = 60
RIVALS = 6
RIVALS_BUDGET = 24


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


def test_what_a_rival_wrote_in_the_last_moment_is_seen_by_everybody():
    for seed in range(RIVALS):
        assert not rivals.play(Told(seed)).faults, seed


@pytest.mark.parametrize(
    "mutation",
    [displaced_file_is_not_looked_at, delete_without_condition, copy_without_condition, put_without_condition],
    ids=lambda mutation: mutation.__name__,
)
def test_a_rival_is_noticed_to_be_overwritten_without_the_safeguard(mutation):
    for seed in range(RIVALS_BUDGET):
        with mutation():
            verdict = rivals.play(Told(seed))
        if verdict.faults:
            assert not rivals.play(Told(seed)).faults, "it fails with the safeguard as well"
            return
    pytest.fail(f"{RIVALS_BUDGET} stories went well without the safeguard")
