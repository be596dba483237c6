"""Runs commands to their end and takes the kernel's own accounting of each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 600


@dataclass(frozen=True)
class Run:
    """One finished process, children included."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    code: int


@dataclass
class Contender:
    """One tool doing the work of a case. `prepare` puts its target back to the start, `check` says what is wrong with its result."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], None] = lambda: None
    check: Callable[[], str | None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)
    server_cpu_s: Callable[[], float] | None = None  # of a server, so far: counted instead of the command's own
    runs: list[Run] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def run(contender: Contender, log: Path) -> Run:
    """Run it once. CPU and peak memory come from wait4: the process and all children it waited for."""
    environment = {**os.environ, **contender.environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # lakelink is measured as it is installed: compiled once
    # Nobody pays for what others left in the page cache: who makes its own work durable would write theirs, too.
    os.sync()
    before = contender.server_cpu_s() if contender.server_cpu_s else 0.0
    with log.open("ab") as out:
        started = time.perf_counter()
        process = subprocess.Popen(contender.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    cpu = contender.server_cpu_s() - before if contender.server_cpu_s else usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, usage.ru_maxrss / 1024, process.returncode)


def race(case: str, contenders: Sequence[Contender], rounds: int, log: Path) -> None:
    """All contenders in turn, round after round; the order turns with each round, so that none always follows the same one."""
    for number in range(rounds):
        turned = [*contenders[number % len(contenders) :], *contenders[: number % len(contenders)]]
        for contender in turned:
            contender.prepare()
            result = run(contender, log)
            trouble = contender.check() if result.code == 0 else f"exit code {result.code}"
            if trouble:
                contender.trouble.append(f"round {number + 1}: {trouble}")
            else:
                contender.runs.append(result)
            sys.stderr.write(
                f"  {case} {number + 1}/{rounds} {contender.name}: {result.wall_s:.2f} s {trouble or ''}\n"
            )


def table(case: str, contenders: Sequence[Contender]) -> str:
    """Medians, and the ratio of each peer to the first contender (over 1: the first is ahead)."""
    lines = [
        f"### {case}",
        "",
        "| tool | wall s (min–max) | CPU s | RSS MiB | wall ×, CPU × of lakelink |",
        "| --- | --- | --- | --- | --- |",
    ]
    mine = contenders[0].runs
    for contender in contenders:
        runs = contender.runs
        if not runs:
            lines.append(f"| {contender.name} | failed: {'; '.join(contender.trouble[:1])} | | | |")
            continue
        walls = sorted(one.wall_s for one in runs)
        wall, cpu = statistics.median(walls), statistics.median(one.cpu_s for one in runs)
        rss = statistics.median(one.rss_mib for one in runs)
        ratio = ""
        if mine and contender is not contenders[0]:
            my_wall = statistics.median(one.wall_s for one in mine)
            my_cpu = statistics.median(one.cpu_s for one in mine)
            ratio = f"{wall / my_wall:.2f}, {cpu / my_cpu:.2f}"
        failed = (
            f" ({len(contender.trouble)} of {len(runs) + len(contender.trouble)} runs failed: {contender.trouble[0]})"
            if contender.trouble
            else ""
        )
        lines.append(
            f"| {contender.name}{failed} | {wall:.2f} ({walls[0]:.2f}–{walls[-1]:.2f}) | {cpu:.2f} | {rss:.0f} | {ratio} |"
        )
    return "\n".join(lines) + "\n"
