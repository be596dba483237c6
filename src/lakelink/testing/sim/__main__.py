"""`python -m lakelink.testing.sim`: many seeds, or one with its trace."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from lakelink.testing.sim import bothways, oneway
from lakelink.testing.sim.many import judged, verdicts
from lakelink.testing.sim.shrink import Play, shrunk
from lakelink.testing.sim.world import Told, Verdict

STORIES: dict[str, Play] = {"links": bothways.play, "lazy": bothways.play_lazy, "oneway": oneway.play}
_EVERY_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every promise was kept; 1: not."""
    parser = argparse.ArgumentParser(prog="python -m lakelink.testing.sim", description="Play simulated stories.")
    parser.add_argument("--story", choices=sorted(STORIES), default="oneway")
    parser.add_argument("--shape", default="", help="one kind of story, instead of one drawn from the seed")
    parser.add_argument("--seed", type=int, help="play this one, and print what happened in it")
    parser.add_argument("--trace", action="store_true", help="with --seed: every call and every request")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    chosen = parser.parse_args(arguments)
    play = STORIES[chosen.story]
    if chosen.seed is not None:
        return _one(play, Told(chosen.seed, shape=chosen.shape), trace=chosen.trace)
    return _many(play, range(chosen.first, chosen.first + chosen.seeds), chosen.jobs, chosen.shape)


def _one(play: Play, told: Told, *, trace: bool) -> int:
    verdict = judged(play, Told(told.seed, shape=told.shape, verbose=trace))
    again = judged(play, told)
    for line in verdict.trace:
        _say(line)
    if verdict.faults:
        told, verdict = shrunk(play, told)
    for happening in verdict.happenings:
        _say(f"{happening.number:6} {happening.text}")
    _report(verdict)
    if again.digest != verdict.digest and not verdict.faults:
        _say("the same seed gave another trace")
        return 1
    return 1 if verdict.faults else 0


def _many(play: Play, seeds: range, jobs: int, shape: str) -> int:
    begun = shown = time.monotonic()
    failed = done = 0
    for verdict in verdicts(play, seeds, jobs=jobs, shape=shape):
        done += 1
        if verdict.faults:
            failed += 1
            _report(verdict)
        if time.monotonic() - shown > _EVERY_S:
            shown = time.monotonic()
            sys.stderr.write(f"{done} of {len(seeds)} seeds, {failed} failed, {done / (shown - begun):.0f}/s\n")
    _say(f"{done} seeds, {failed} failed, in {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


def _report(verdict: Verdict) -> None:
    for fault in verdict.faults:
        _say(f"seed {verdict.seed}: {fault}")


def _say(line: str) -> None:
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")


if __name__ == "__main__":
    sys.exit(main())
