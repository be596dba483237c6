"""Benchmarks of links: the work of `tests.bench.linked`, beside `lakelink sync` or rclone bisync."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lakelink.cli.demo_link import free_port, push_events
from lakelink.locations.embedded import EmbeddedStore
from tests.bench import peers
from tests.bench.cases import Bench, must, small
from tests.bench.measure import Contender
from tests.bench.peers import Store


def _linked(bench: Bench, work: str, url: str, root: Path, extra: str = "") -> Contender:
    """A link in a process of its own; `extra` is one more argument of its work."""
    contender = Contender(f"link: {work}", [], environment=bench.store.environment(bench.state))
    result = bench.place("result")

    def prepare() -> None:
        state = bench.place("journal")
        place = root if work in {"rest", "one-change"} else bench.place("root")
        place.mkdir(exist_ok=True)
        target = f"{url}-{next(bench.numbers)}" if work in {"follow", "closes", "arrives"} else url
        contender.command = [
            sys.executable, "-m", "tests.bench.linked", work, str(place), str(state), target, str(result),
            *([extra] if extra else []),
        ]  # fmt: skip

    def check() -> str | None:
        if not result.exists():
            return "no result"
        figures = json.loads(result.read_text())
        words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        contender.name = f"link: {work} ({words})"
        return None

    contender.prepare, contender.check = prepare, check
    return contender


def _sync(bench: Bench, source: str, target: str | None) -> Contender:
    contender = Contender("lakelink sync", [], environment=bench.store.environment(bench.state))

    def prepare() -> None:
        place = target
        if place is None:
            place = bench.store.url(f"sync-{next(bench.numbers)}") if not source.startswith("s3:") else ""
        if not place:
            empty = bench.place("down")
            place = str(empty)
        contender.command = peers.lakelink(source, place)

    contender.prepare = prepare
    return contender


def export(bench: Bench, count: int) -> list[Contender]:
    """`tar x` with a link behind it, and a sync of the same tree."""
    tree = small(bench, count, 10_240)
    tar = bench.place("tree").with_suffix(".tar")
    subprocess.run(["tar", "cf", str(tar), "-C", str(tree), "."], check=True)
    return [_linked(bench, "follow", bench.store.url("followed"), tree, str(tar)), _sync(bench, str(tree), None)]


def first_import(bench: Bench, count: int) -> list[Contender]:
    """A prefix that was there before, into an empty root."""
    tree = small(bench, count, 10_240)
    url = bench.store.url(f"full-{next(bench.numbers)}")
    must(bench, peers.lakelink(str(tree), url))
    return [_linked(bench, "nothing", url, bench.place("root")), _sync(bench, url, None)]


def latency(bench: Bench) -> list[Contender]:
    """Closes of small files, one after the other."""
    return [_linked(bench, "closes", bench.store.url(f"closes-{next(bench.numbers)}"), bench.place("root"))]


def arrivals(bench: Bench, stack: ExitStack) -> list[Contender]:
    """Objects that somebody else puts, one after the other, into a store that pushes its events."""
    place, port = bench.place("pushing"), free_port()
    push_events(place, port, "/lake/arrivals")
    store = stack.enter_context(EmbeddedStore(place))
    there = replace(bench, store=Store(store.endpoint, store.access_key, store.secret_key, store.bucket))
    return [_linked(there, "arrives", there.store.url("arrivals/in"), there.place("root"), str(port))]


def at_rest(bench: Bench, count: int) -> list[Contender]:
    """Many files, and nothing happens."""
    tree = small(bench, count, 16)
    url = bench.store.url(f"rest-{next(bench.numbers)}")
    must(bench, peers.lakelink(str(tree), url))
    return [_linked(bench, "rest", url, tree)]


def one_change(bench: Bench, count: int) -> list[Contender]:
    """One change among many files, beside rclone bisync with its options for large trees."""
    tree = small(bench, count, 16)
    url = bench.store.url(f"one-{next(bench.numbers)}")
    must(bench, peers.lakelink(str(tree), url))
    found = [_linked(bench, "one-change", url, tree)]
    program = peers.BIN / "rclone"
    if program.exists():
        copy, theirs = bench.place("bisync"), bench.store.url(f"bisync-{next(bench.numbers)}").replace("s3://", "s3:")
        shutil.copytree(tree, copy)
        command = [
            str(program), "bisync", str(copy), theirs, "--workdir", str(bench.place("bisync-work")), "--fast-list",
            "--compare", "size,checksum", "--checkers", "32", "--transfers", "32", "--s3-no-check-bucket",
        ]  # fmt: skip
        must(bench, [*command, "--resync"])
        file = next(iter(sorted(copy.rglob("*.bin"))))
        bisync = Contender("rclone bisync", command, environment=bench.store.environment(bench.state))
        bisync.prepare = lambda: file.write_bytes(b"%d" % next(bench.numbers) * 100) and None
        found.append(bisync)
    return found
