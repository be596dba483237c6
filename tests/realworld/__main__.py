"""`python -m tests.realworld --seeds 20 --minutes 10`: long stories, one after the other, each from its seed. Ends with 1 at the first that fails."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.realworld.store import MortalStore
from tests.realworld.story import long, play, short
from tests.realworld.world import Failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.realworld", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many stories")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--minutes", type=float, default=0.5, help="how long each is; 0 = those that the tests play")
    parser.add_argument("--keep-going", action="store_true", help="play on after a failure")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started and mounted goes
    folder = Path(tempfile.mkdtemp(prefix="lakelink-stories-"))
    print(f"in {folder}", flush=True)
    failed = 0
    store = MortalStore(folder / "store")
    store.start()
    try:
        for seed in range(asked.first, asked.first + asked.seeds):
            told = long(seed, asked.minutes) if asked.minutes else short(seed)
            try:
                print(play(told, folder / str(seed), store), flush=True)
            except Failed as error:
                failed += 1
                print(f"FAILED {error}", flush=True)
                if not asked.keep_going:
                    break
                if not store.pid:
                    store.start()
    finally:
        store.stop()
    print(f"{failed} failed", flush=True)
    return int(failed > 0)


sys.exit(main())
