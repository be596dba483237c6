"""Many seeds, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator

from lakelink.testing.sim.shrink import Play
from lakelink.testing.sim.supervise import attempted
from lakelink.testing.sim.world import Told, Verdict

_CHUNK = 20


def judged(play: Play, told: Told) -> Verdict:
    """The verdict; an error that comes out of a story is a fault of it."""
    outcome = attempted(lambda: play(told))
    if isinstance(outcome, Verdict):
        return outcome
    return Verdict(seed=told.seed, faults=(f"{type(outcome).__name__}: {outcome}",), digest="", happenings=())


class _One:
    """A call that another process can be given."""

    def __init__(self, play: Play, shape: str) -> None:
        self._play = play
        self._shape = shape

    def __call__(self, seed: int) -> Verdict:
        return judged(self._play, Told(seed, shape=self._shape))


def verdicts(play: Play, seeds: range, *, jobs: int, shape: str = "") -> Iterator[Verdict]:
    """The verdict of each seed, in whatever order they come."""
    one: Callable[[int], Verdict] = _One(play, shape)
    if jobs <= 1:
        yield from map(one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(one, seeds, chunksize=_CHUNK)
