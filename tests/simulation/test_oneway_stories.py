"""One-way runs in simulated worlds: nothing is lost, the sides become equal, and every safeguard that is taken out is noticed."""

import pytest
from mutations import (
    copy_without_condition,
    delete_without_condition,
    displaced_file_is_not_looked_at,
    nothing_is_synced_before_it_is_remembered,
    put_without_condition,
    writers_of_displaced_files_are_not_asked_for,
)

from lakelink.testing.sim.oneway import Way, play
from lakelink.testing.sim.shrink import shrunk
from lakelink.testing.sim.world import Told

SEEDS = 180
BUDGET = 400


@pytest.mark.parametrize("first", range(0, SEEDS, 30))
def test_nothing_is_lost_and_the_target_becomes_like_its_source(first):
    for seed in range(first, first + 30):
        verdict = play(Told(seed))
        assert not verdict.faults, explained(Told(seed))


def explained(told):
    shortest, verdict = shrunk(play, told)
    happened = "\n".join(f"  {happening.number} {happening.text}" for happening in verdict.happenings)
    return f"seed {told.seed}, shape {told.shape!r}: {verdict.faults}\n{happened}\n{shortest}"


@pytest.mark.parametrize(
    ("mutation", "way"),
    [
        (put_without_condition, Way.UP),
        (copy_without_condition, Way.ACROSS),
        (delete_without_condition, Way.UP),
        (displaced_file_is_not_looked_at, Way.DOWN),
        (writers_of_displaced_files_are_not_asked_for, Way.DOWN),
        (nothing_is_synced_before_it_is_remembered, Way.DOWN),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_safeguard_that_is_taken_out_is_noticed(mutation, way):
    for seed in range(BUDGET):
        with mutation():
            verdict = play(Told(seed, shape=way.value))
        if verdict.faults:
            assert not play(Told(seed, shape=way.value)).faults, "it fails with the safeguard as well"
            return
    pytest.fail(f"{BUDGET} stories went well without the safeguard")
