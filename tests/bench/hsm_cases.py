"""Benchmarks of lazy files: the work of `tests.bench.lazy`, beside s5cmd where a peer does the same. Needs root."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import peers
from tests.bench.cases import Bench, large, must, small
from tests.bench.measure import Contender

DISK_BYTES = 6 << 30
INODES = 1_200_000


def _lazy(bench: Bench, work: str, url: str, stack: ExitStack | None = None) -> Contender:
    """With `stack`, on a new ext4 for each round: where many files were removed in the last minutes, ext4 looks long for an inode to use."""
    contender = Contender(f"lazy: {work}", [], environment=bench.store.environment(bench.state))
    result, place = bench.place("result"), bench.place("lazy")
    rounds: list[dict[str, float]] = []
    if os.geteuid() != 0:
        contender.command = ["sh", "-c", "echo lazy files need root; exit 1"]
        return contender

    def prepare() -> None:
        result.unlink(missing_ok=True)
        if stack is not None:
            _new_disk(place, stack)
        else:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        contender.command = [sys.executable, "-m", "tests.bench.lazy", work, url, str(place), str(result)]

    def check() -> str | None:
        if not result.exists():
            return "no result"
        rounds.append(json.loads(result.read_text()))
        medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        words = ", ".join(f"{name} {value:.4g}" for name, value in medians.items())
        contender.name = f"lazy: {work} ({words})"
        return None

    contender.prepare, contender.check = prepare, check
    return contender


def _new_disk(place: Path, stack: ExitStack) -> None:
    """An empty ext4 of its own, in a file."""
    image = place.with_suffix(".img")
    if place.exists():
        for _ in range(100):  # a process of the last round may be about to end
            if subprocess.run(["umount", place], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
    else:
        place.mkdir()
        stack.callback(subprocess.run, ["umount", "-l", place], check=False)
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-N", str(INODES), image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)


def _filled(bench: Bench, tree: Path) -> str:
    url = bench.store.url(f"lazy-{next(bench.numbers)}")
    must(bench, peers.lakelink(str(tree), url))
    return url


def first(bench: Bench) -> list[Contender]:
    """First reads of small stubs by one reader."""
    return [_lazy(bench, "first", _filled(bench, small(bench, 400)))]


def crowd(bench: Bench) -> list[Contender]:
    """Sixteen readers on a thousand small stubs."""
    return [_lazy(bench, "crowd", _filled(bench, small(bench, 2000)))]


def cat(bench: Bench, mib: int) -> list[Contender]:
    """A large stub by `cat`, beside `s5cmd cp` and then `cat`."""
    tree = large(bench, mib)
    url = _filled(bench, tree)
    found = [_lazy(bench, "cat", url)]
    if (peers.BIN / "s5cmd").exists():
        found.append(_s5cmd_then_cat(bench, url, tree))
    return found


def _s5cmd_then_cat(bench: Bench, url: str, tree: Path) -> Contender:
    target = bench.place("s5cmd")
    name = next(path.name for path in tree.iterdir() if path.is_file())
    fetch = shlex.join(peers.s5cmd(bench.store, "cp", url, str(target)))
    contender = Contender(
        "s5cmd cp, then cat",
        ["sh", "-c", f"{fetch} && cat {target / name} > /dev/null"],
        environment=bench.store.environment(bench.state),
    )

    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()

    contender.prepare = prepare
    return contender


def loaded(bench: Bench) -> list[Contender]:
    """A loaded file against the same one in a plain directory."""
    return [_lazy(bench, "loaded", _filled(bench, large(bench, 256)))]


def create(bench: Bench, stack: ExitStack) -> list[Contender]:
    """Stubs from rows."""
    return [_lazy(bench, "create", bench.store.url("nothing"), stack)]


def idle(bench: Bench, stack: ExitStack) -> list[Contender]:
    """A million stubs, and nothing happens."""
    return [_lazy(bench, "idle", bench.store.url("nothing"), stack)]
