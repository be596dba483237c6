"""`make bench`, or `python -m tests.bench [CASE …] [--rounds N]`: prints a table per case and writes them to bench-results/."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from lakelink.locations.embedded import EmbeddedStore
from tests.bench import cases, gateway_cases, hsm_cases, link_cases, peers
from tests.bench.cases import Bench
from tests.bench.measure import Contender, race, table
from tests.bench.peers import Store

Case = Callable[[Bench, ExitStack], list[Contender]]


def _to_lake(store: Store, *no_change: str) -> cases.Commands:
    def commands(source: str, target: str) -> dict[str, list[str]]:
        found = {
            "lakelink": peers.lakelink(source, target),
            "s5cmd": peers.s5cmd(store, "sync" if no_change else "cp", source, target),
            "rclone": peers.rclone(source, target, *no_change),
            "juicefs": peers.juicefs(store, source, target),
        }
        return {name: command for name, command in found.items() if peers.installed(command)}

    return commands


def _local(source: str, target: str) -> dict[str, list[str]]:
    return {"lakelink": peers.lakelink(source, target), "rsync": peers.rsync(source, target)}


TUNED = ("--fast-list", "--update", "--use-server-modtime")


def _slow(bench: Bench, stack: ExitStack, source: Path) -> list[Contender]:
    there = stack.enter_context(cases.slow_line(bench.store, 80, 100))
    return cases.upload(Bench(there, bench.scratch, bench.numbers), source, _to_lake(there))


CASES: dict[str, tuple[str, Case]] = {
    "small-up": ("5,000 files of 4 KiB to S3", lambda b, _: cases.upload(b, cases.small(b, 5000), _to_lake(b.store))),
    "small-down": (
        "5,000 files of 4 KiB from S3",
        lambda b, _: cases.download(b, cases.small(b, 5000), _to_lake(b.store)),
    ),
    "large-up": ("one 512 MiB file to S3", lambda b, _: cases.upload(b, cases.large(b, 512), _to_lake(b.store))),
    "large-down": ("one 512 MiB file from S3", lambda b, _: cases.download(b, cases.large(b, 512), _to_lake(b.store))),
    "same-s3": (
        "100,000 files, nothing changed, local to S3",
        lambda b, _: cases.unchanged_lake(b, cases.small(b, 100_000, 16), _to_lake(b.store, *TUNED)),
    ),
    "copy-local": (
        "5,000 new files of 4 KiB, local to local",
        lambda b, _: cases.copy(b, cases.small(b, 5000), _local),
    ),
    "same-local": (
        "100,000 files, nothing changed, local to local",
        lambda b, _: cases.unchanged(b, cases.small(b, 100_000, 16), _local),
    ),
    "slow-small": ("5,000 files of 4 KiB over 80 ms and 100 Mbit/s", lambda b, s: _slow(b, s, cases.small(b, 5000))),
    "slow-large": ("one 100 MiB file over 80 ms and 100 Mbit/s", lambda b, s: _slow(b, s, cases.large(b, 100))),
    "links-export": ("20,000 files of 10 KB by tar x, with a link behind", lambda b, _: link_cases.export(b, 20_000)),
    "links-import": ("first import of 20,000 objects of 10 KB", lambda b, _: link_cases.first_import(b, 20_000)),
    "links-latency": ("close of a 4 KiB file to object visible", lambda b, _: link_cases.latency(b)),
    "links-arrivals": ("object put elsewhere to file visible, events pushed", link_cases.arrivals),
    "links-rest": ("100,000 files at rest, 30 s, then one survey", lambda b, _: link_cases.at_rest(b, 100_000)),
    "links-one-change": ("one change among 100,000 files", lambda b, _: link_cases.one_change(b, 100_000)),
    "hsm-first": ("first read of 4 KiB stubs, one reader", lambda b, _: hsm_cases.first(b)),
    "hsm-crowd": ("16 readers on 1,000 stubs of 4 KiB", lambda b, _: hsm_cases.crowd(b)),
    "hsm-cat": ("cat of a 512 MiB stub", lambda b, _: hsm_cases.cat(b, 512)),
    "hsm-loaded": ("a loaded file of 256 MiB beside a plain one", lambda b, _: hsm_cases.loaded(b)),
    "hsm-create": ("100,000 stubs from rows", hsm_cases.create),
    "hsm-idle": ("a million stubs at rest for 60 s, and marked anew", hsm_cases.idle),
    "gateway-local-large-up": (
        "SFTP, 512 MiB up, local home; CPU of the server",
        lambda b, s: gateway_cases.up(b, s, local=True, files=1),
    ),
    "gateway-local-large-down": (
        "SFTP, 512 MiB down, local home; CPU of the server",
        lambda b, s: gateway_cases.down(b, s, local=True, files=1),
    ),
    "gateway-local-small-up": (
        "SFTP, 1,000 files of 4 KiB up, local home; CPU of the server",
        lambda b, s: gateway_cases.up(b, s, local=True, files=1000),
    ),
    "gateway-local-small-down": (
        "SFTP, 1,000 files of 4 KiB down, local home; CPU of the server",
        lambda b, s: gateway_cases.down(b, s, local=True, files=1000),
    ),
    "gateway-s3-large-up": (
        "SFTP, 512 MiB up, S3 home; CPU of the server",
        lambda b, s: gateway_cases.up(b, s, local=False, files=1),
    ),
    "gateway-s3-large-down": (
        "SFTP, 512 MiB down, S3 home; CPU of the server",
        lambda b, s: gateway_cases.down(b, s, local=False, files=1),
    ),
    "gateway-s3-small-up": (
        "SFTP, 1,000 files of 4 KiB up, S3 home; CPU of the server",
        lambda b, s: gateway_cases.up(b, s, local=False, files=1000),
    ),
    "gateway-s3-small-down": (
        "SFTP, 1,000 files of 4 KiB down, S3 home; CPU of the server",
        lambda b, s: gateway_cases.down(b, s, local=False, files=1000),
    ),
    "start-up": ("start-up", lambda b, _: cases.start_up(b)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    results = Path("bench-results")
    results.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="lakelink-bench-") as scratch,
        EmbeddedStore(Path(scratch) / "store") as embedded,
    ):
        store = Store(embedded.endpoint, embedded.access_key, embedded.secret_key, embedded.bucket)
        bench = Bench(store, Path(scratch))
        print(
            f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}\n"
        )
        for name in arguments.cases or CASES:
            title, case = CASES[name]
            with ExitStack() as stack:
                contenders = case(bench, stack)
                race(name, contenders, arguments.rounds, results / f"{name}.log")
                text = table(title, contenders)
            (results / f"{name}.md").write_text(text)
            print(text, flush=True)


if __name__ == "__main__":
    main()
