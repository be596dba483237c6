"""The same seed is the same story, call by call, in every process."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from lakelink.testing.sim.__main__ import STORIES
from lakelink.testing.sim.world import Told
for seed in range(4):
    print(STORIES[sys.argv[1]](Told(seed)).digest)
"""


def digests(story, hash_seed):
    # Two processes whose sets of strings have different orders, and whose objects lie elsewhere.
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, story],
        env={"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
        timeout=110,
        text=True,
    )
    return run.stdout.split()


@pytest.mark.parametrize("story", ["oneway", "links"])
def test_the_same_seed_gives_the_same_trace_in_another_process(story):
    first = digests(story, 1)
    assert len(set(first)) == 4, "different seeds should give different traces"
    assert first == digests(story, 2)
