"""Carries out a plan, phase by phase."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import takewhile

from lakelink.engine.compare import Comparison
from lakelink.engine.supervise import together, workers
from lakelink.engine.transfer import GroupSize, Step, Transfer, groups
from lakelink.errors import LakelinkError
from lakelink.locations.base import Location, SetPosix
from lakelink.model.entry import Row
from lakelink.model.task import SyncOptions
from lakelink.oneway.directories import Directories
from lakelink.oneway.ledger import Ledger
from lakelink.oneway.plan import Plan
from lakelink.oneway.removal import clear, remove
from lakelink.ports.clock import Clock

LOCAL_GROUP = GroupSize(files=256, bytes=64 << 20)
LOCAL_WORKERS = 2
SMALL_FILE_BYTES = 256 << 10
"""Up to this size on average, one local worker is enough: calls cost more than bytes, and two threads would fight for the interpreter."""
LARGE_BYTES = 8 << 20
LARGE_WORKERS = 4
LAKE_GROUP = GroupSize(files=16, bytes=4 << 20)
LAKE_WORKERS = 16
_METADATA_AT_ONCE = 64


class Execution:
    """One run's changes to its target."""

    def __init__(
        self,
        source: Location,
        target: Location,
        ledger: Ledger,
        clock: Clock,
        options: SyncOptions,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._ledger = ledger
        self._options = options
        self._stop = stop
        self._transfer = Transfer(source, target, clock, posix=options.posix)
        self._directories = Directories(source, target, ledger, posix=options.posix)

    async def run(self, plan: Plan, comparison: Comparison) -> bool:
        """All phases; False when asked to stop before their end. Otherwise ends early only by cancellation or when a location as a whole
        fails. What was done by then stays done and counted.
        """
        progress = self._ledger.progress
        try:
            plan.give_up(await clear(plan.replacements, self._source, self._target, self._deleted))
            await together(self._move_large(plan), self._fill(plan))
            if self._stopping():
                return False
            await self._set_metadata(plan)
            if plan.deletes:
                progress.phase = "deleting"
                await remove(plan.deletes, self._source, self._target, self._deleted)
            await self._directories.finish(comparison.target_directories)
        finally:
            progress.phase = "committing"
            await self._ledger.commit()
        return True

    def _stopping(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _deleted(self, row: Row, error: LakelinkError | None) -> None:
        self._directories.touch(row.path)
        self._ledger.deleted(row, error)

    async def _fill(self, plan: Plan) -> None:
        await self._directories.make(plan.directories)
        self._ledger.progress.phase = "transferring"
        await self._move(plan)

    async def _move(self, plan: Plan) -> None:
        both_local = self._source.traits.local and self._target.traits.local
        size = LOCAL_GROUP if both_local else LAKE_GROUP
        small = plan.bytes <= plan.files * SMALL_FILE_BYTES
        count = (1 if small else LOCAL_WORKERS) if both_local else LAKE_WORKERS
        if self._options.concurrency is not None:
            count = min(count, self._options.concurrency)
            size = GroupSize(max(1, min(size.files, self._options.concurrency // count)), size.bytes)
        steps = takewhile(lambda _: not self._stopping(), plan.transfers())
        await workers(groups(steps, size), self._move_group, count)

    async def _move_large(self, plan: Plan) -> None:
        """New large files to a lake need not wait until its directories have markers: they appear later than those anyway."""
        if self._target.traits.local or self._options.concurrency is not None:
            return
        steps = takewhile(lambda _: not self._stopping(), plan.large(LARGE_BYTES))
        await workers(([step] for step in steps), self._move_group, LARGE_WORKERS)

    async def _move_group(self, steps: Sequence[Step]) -> None:
        for done in await self._transfer.copy(steps):
            self._directories.touch(done.step.path)
            self._ledger.transferred(done)
        await self._ledger.commit_when_due()

    async def _set_metadata(self, plan: Plan) -> None:
        changes = plan.decisions.metadata

        async def batch(some: Sequence[tuple[Row, SetPosix]]) -> None:
            outcomes = await self._target.set_posix([change for _, change in some])
            for (row, change), outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, LakelinkError):
                    self._ledger.failed(change.path, outcome)
                else:
                    self._ledger.updated(change.path, row, outcome)

        batches = [changes[i : i + _METADATA_AT_ONCE] for i in range(0, len(changes), _METADATA_AT_ONCE)]
        await workers(batches, batch, LAKE_WORKERS)
