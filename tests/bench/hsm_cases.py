"""Benchmarks of lazy files: the work of `tests.bench.lazy`, beside s5cmd where a peer does the same. Needs root."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from tests.bench import peers
from tests.bench.cases import Bench, large, must, small
from tests.bench.measure import Contender


def _lazy(bench: Bench, work: str, url: str) -> Contender:
    contender = Contender(f"lazy: {work}", [], environment=bench.store.environment(bench.state))
    result = bench.place("result")
    if os.geteuid() != 0:
        contender.command = ["sh", "-c", "echo lazy files need root; exit 1"]
        return contender

    def prepare() -> None:
        place = bench.place("lazy")
        place.mkdir()
        contender.command = [sys.executable, "-m", "tests.bench.lazy", work, url, str(place), str(result)]

    def check() -> str | None:
        if not result.exists():
            return "no result"
        words = ", ".join(f"{name} {value:.4g}" for name, value in json.loads(result.read_text()).items())
        contender.name = f"lazy: {work} ({words})"
        return None

    contender.prepare, contender.check = prepare, check
    return contender


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


def create(bench: Bench) -> list[Contender]:
    """Stubs from rows."""
    return [_lazy(bench, "create", bench.store.url("nothing"))]
