"""What a run has done, and what the index may remember of it: nothing is remembered before the target has it on stable storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakelink.core.diff import row_of, seal
from lakelink.engine.transfer import Done
from lakelink.errors import LakelinkError, problem_of
from lakelink.locations.base import Location
from lakelink.model.change import Problem
from lakelink.model.entry import Entry, Row
from lakelink.model.path import display
from lakelink.model.task import Action, PathResult, Progress, Report, SyncResult
from lakelink.ports.clock import Clock

if TYPE_CHECKING:
    from lakelink.state.index import SyncIndex

_ROWS = 20_000
_INTERVAL_S = 10.0


class Ledger:
    """Counts, reports and remembers. One per run."""

    def __init__(
        self, target: Location, index: SyncIndex | None, clock: Clock, result: SyncResult, progress: Progress
    ) -> None:
        self._target = target
        self._listed = target.traits.posix_in_list
        self._index = index
        self._clock = clock
        self._committed_at = clock.monotonic()
        self._pending: list[tuple[str, str, str]] = []
        self._dirty = False
        self.result = result
        self.progress = progress
        self.report: Report | None = None

    def transferred(self, done: Done) -> None:
        """A step has ended."""
        step = done.step
        if done.error is not None:
            self.failed(step.path, done.error)
            return
        size = step.source.size_bytes
        self.result.transferred_files += 1
        self.result.transferred_bytes += size
        self.progress.done_files += 1
        self.progress.done_bytes += size
        self._note(step.path, step.action, size, step.reason)
        if done.written is not None:
            self.remember(step.path, step.source, done.written)

    def updated(self, path: str, source: Row, now: Entry) -> None:
        """Metadata of a path was set."""
        self.result.updated_metadata += 1
        self._note(path, Action.METADATA, 0, "metadata differs")
        self.remember(path, source, now)

    def made_directory(self, path: str, reason: str) -> None:
        """A directory was made."""
        self.result.created_directories += 1
        self._note(path, Action.CREATE, 0, reason)

    def deleted(self, row: Row, error: LakelinkError | None) -> None:
        """A path of the target was removed, or could not be."""
        if error is not None:
            self.failed(row.path, error)
            return
        self._dirty = True
        self.result.deleted += 1
        self.progress.deleted += 1
        self._note(row.path, Action.DELETE, row.size_bytes, "not in the source")

    def failed(self, path: str, error: LakelinkError) -> None:
        """A path could not be done; the run goes on."""
        self.problem(problem_of(path, error))

    def problem(self, problem: Problem) -> None:
        """A path could not be done; the run goes on."""
        self.result.failed.append(problem)
        self.progress.problems += 1
        self.progress.last_problem = f"{display(problem.path)}: {problem.message}"
        if self.report:
            self.report(PathResult(problem.path, "failed", problem=problem))

    def remember(self, path: str, source: Row, now: Entry) -> None:
        """Both sides of a path are equal now; the index learns it with the next `commit`."""
        self._dirty = True
        if self._index is not None:
            self._pending.append((path, seal(source), seal(row_of(path, now, listed=self._listed))))

    def learn(self, rows: list[tuple[str, str, str]]) -> None:
        """Paths that turned out equal, for the index."""
        if self._index is not None:
            self._index.remember(rows)

    async def commit_when_due(self) -> None:
        """Commit from time to time, so that a killed run has not worked for nothing."""
        due = self._clock.monotonic() - self._committed_at > _INTERVAL_S
        if self._pending and (due or len(self._pending) >= _ROWS):
            await self.commit()

    async def commit(self) -> None:
        """What was written is on stable storage, and then remembered."""
        rows, self._pending = self._pending, []
        self._committed_at = self._clock.monotonic()
        if self._dirty:
            self._dirty = False
            await self._target.flush()
        if rows and self._index is not None:
            self._index.remember(rows)

    def _note(self, path: str, action: Action, size_bytes: int, reason: str) -> None:
        if self.report:
            self.report(PathResult(path, action.value, size_bytes, reason=reason))
