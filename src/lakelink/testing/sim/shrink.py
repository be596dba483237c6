"""A story that fails, told as shortly as it still fails: happenings are left out as long as something is still wrong at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lakelink.testing.sim.world import Told, Verdict

Play = Callable[[Told], Verdict]
_TRIES = 400


def shrunk(play: Play, told: Told, *, tries: int = _TRIES) -> tuple[Told, Verdict]:
    """The shortest telling that was found in so many tries, and its verdict. A story that does not fail comes back as it is."""
    verdict = play(told)
    if not verdict.faults:
        return told, verdict
    size = max(1, len(verdict.happenings) // 2)
    while tries > 0:
        numbers = [happening.number for happening in verdict.happenings]
        shorter = None
        for start in range(0, len(numbers), size):
            tries -= 1
            candidate = replace(told, without=frozenset(told.without) | set(numbers[start : start + size]))
            outcome = play(candidate)
            if outcome.faults and len(outcome.happenings) < len(verdict.happenings):
                shorter = candidate, outcome
                break
            if tries <= 0:
                break
        if shorter is not None:
            told, verdict = shorter
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return told, verdict
