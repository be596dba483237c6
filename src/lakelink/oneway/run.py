"""`lakelink sync`: one location is made like another. Scan both, decide, check the brakes, then change the target."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from lakelink.core import safety
from lakelink.core.diff import Verdict
from lakelink.core.filters import Filter
from lakelink.engine.compare import Comparer
from lakelink.errors import Corrupt
from lakelink.model.change import Problem
from lakelink.model.path import display
from lakelink.model.task import PathResult, Progress, Report, SyncOptions, SyncResult, Verify
from lakelink.oneway.decide import Decider, announce_checksums
from lakelink.oneway.execute import Execution
from lakelink.oneway.ledger import Ledger
from lakelink.oneway.manifest import write_manifest
from lakelink.oneway.pair import Pair, open_pair
from lakelink.oneway.plan import Plan, make_plan
from lakelink.oneway.verify import differences
from lakelink.ports.clock import Clock, SystemClock

GRACE_S = 0.6
"""How long what is under way may still take when a run is asked to stop; the whole stop takes less than a second."""


async def sync(
    source: str,
    target: str,
    options: SyncOptions,
    *,
    config: str | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
    manifest: Path | None = None,
    stop: asyncio.Event | None = None,
) -> SyncResult:
    """Make `target` like `source`, and say what was done.

    Nothing partial is ever visible at the target. May be repeated at any time, also after a crash: the next run finishes the work. When
    `stop` is set, the run ends within a second; what is done stays done, and the result says `interrupted`.

    Raises:
        UsageError, ConfigError: the request is wrong. Refused, Busy: a safety rule says no. In both cases nothing was touched.
        RootMissing, NotPermitted, Unreachable: a side cannot be used; what was transferred before stays.
    """
    clock = SystemClock()
    started = clock.monotonic()
    result = SyncResult(source=source, target=target, dry_run=options.dry_run)
    progress = progress or Progress()
    async with open_pair(source, target, options, config=config, writes=not options.dry_run) as pair:
        ledger = Ledger(pair.target, pair.index, clock, result, progress)
        ledger.report = report
        run = Run(pair, options, ledger, clock, stop)
        result.interrupted = not await _until_stopped(run.all(manifest), stop)
        requests: dict[str, int] = {}
        for location in (pair.source, pair.target):
            for operation, count in location.requests.items():
                requests[operation] = requests.get(operation, 0) + count
        result.requests = requests
    progress.phase = "done"
    result.duration_s = clock.monotonic() - started
    return result


async def _until_stopped(work: Coroutine[Any, Any, bool], stop: asyncio.Event | None) -> bool:
    """Whether the work ran to its end. When `stop` comes first, what is under way may finish for a moment, so that it is counted and remembered;
    then it is cancelled.
    """
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait() if stop else asyncio.Event().wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        stopped = not task.done()
        if stopped:
            await asyncio.wait({task}, timeout=GRACE_S)
    finally:
        # Whatever ends this, the work has ended too: its locations and its lock are given up next.
        for one in (task, waiter):
            one.cancel()
        await asyncio.wait({task, waiter})
    if stopped and task.cancelled():
        return False
    return task.result()


class Run:
    """One run over an open pair: use once."""

    def __init__(
        self, pair: Pair, options: SyncOptions, ledger: Ledger, clock: Clock, stop: asyncio.Event | None = None
    ) -> None:
        self._pair = pair
        self._stop = stop
        self._options = options
        self._ledger = ledger
        self._clock = clock
        self._filters = Filter(options.filters)

    async def all(self, manifest: Path | None = None) -> bool:
        """Scan, decide, brake, change, verify; the ledger has what came of it. False: it was asked to stop before all was done."""
        options, pair, ledger = self._options, self._pair, self._ledger
        progress, result = ledger.progress, ledger.result
        progress.phase = "scanning"
        comparer = Comparer(pair.source, pair.target, pair.rule, pair.index, progress)
        comparison = await comparer.run(self._filters, make_target=True)
        result.hard_links = len(comparison.hard_links)
        result.skipped.extend(comparison.skipped)
        for skipped in comparison.skipped:
            if ledger.report:
                ledger.report(PathResult(skipped.path, "skipped", reason=skipped.reason.value))
        for problem in comparison.problems:
            ledger.problem(problem)
        safety.check_source(
            source_paths=comparison.source_paths + len(comparison.unknown_source),
            target_paths=comparison.target_paths,
            delete=options.delete,
            allow_empty=options.allow_empty_source,
        )
        progress.phase = "planning"
        if options.checksum and any(d.verdict is Verdict.LOOK for d in comparison.changed):
            progress.notes.append(announce_checksums(comparison.changed, pair.source, pair.target))
        decisions = await Decider(pair.source, pair.target, pair.rule).run(comparison.changed)
        comparison.changed = []
        result.unchanged = comparison.unchanged + decisions.same_files
        plan = make_plan(comparison, decisions, pair.target, delete=options.delete)
        for problem in plan.problems:
            ledger.problem(problem)
        safety.check_deletes(deletes=plan.removals, target_paths=comparison.target_paths, limit=options.max_delete)
        progress.planned_files, progress.planned_bytes = plan.files, plan.bytes
        if options.dry_run:
            _show(plan, result)
            return True
        ledger.learn(decisions.same)
        execution = Execution(pair.source, pair.target, ledger, self._clock, options, self._stop)
        if not await execution.run(plan, comparison):
            return False
        await self._verify()
        if manifest is not None:
            await write_manifest(pair.target, self._filters, manifest)
        return True

    async def _verify(self) -> None:
        ledger = self._ledger
        if self._options.verify is Verify.NONE:
            return
        ledger.result.verified = ledger.result.transferred_files
        if self._options.verify is Verify.ALL:
            ledger.progress.phase = "verifying"
            failed = {problem.path for problem in ledger.result.failed}
            found = await differences(self._pair.source, self._pair.target, self._filters, self._pair.rule)
            ledger.result.verified = found.compared
            for difference in found.differences:
                if difference.path not in failed and (self._options.delete or difference.what != "extra"):
                    ledger.problem(
                        Problem(
                            difference.path,
                            Corrupt.code,
                            f"after the run the target differs: {difference.what}",
                            f"Run it again; if {display(difference.path)} is in use, its source may have changed meanwhile.",
                        )
                    )


def _show(plan: Plan, result: SyncResult) -> None:
    result.plan = list(plan.lines())
    result.transferred_files, result.transferred_bytes = plan.files, plan.bytes
    result.updated_metadata = len(plan.decisions.metadata)
    result.deleted = plan.removals
    result.created_directories = sum(1 for step in plan.directories if step.reason == "new")
