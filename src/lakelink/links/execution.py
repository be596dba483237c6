"""One data repository task at work: a survey of its paths, and what came of them counted and written down."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from lakelink.errors import LakelinkError, StorageError, all_errors
from lakelink.links.codes import direction_of, direction_of_name
from lakelink.links.report import Report
from lakelink.model.linktask import LinkTask, TaskState
from lakelink.ports.clock import Clock
from lakelink.state.findings import Trouble

MOST_FAILURES = 100_000
"""So many failed paths are remembered, to be struck out where a later attempt succeeds; those beyond stand as they came."""


class Outcomes(Protocol):
    """As `links.parts.Observer`: what came of one path."""

    def __call__(self, path: str, verb: str, error: LakelinkError | None) -> None: ...


class Surveyed(Protocol):
    """What a task needs of a link."""

    @property
    def told(self) -> list[Outcomes]: ...

    async def survey(self, paths: Sequence[str] = ()) -> None: ...


class Execution:
    """A task from its start to its end."""

    def __init__(self, task: LinkTask, clock: Clock, standing: Callable[[int], Sequence[Trouble]]) -> None:
        """`standing`: the journal's list of paths that cannot be carried, so many at most."""
        self._task = dataclasses.replace(task, state=TaskState.EXECUTING, started_ns=clock.time_ns())
        self._clock = clock
        self._standing = standing
        self._report: Report | None = None
        self._survey: asyncio.Future[None] | None = None
        self._succeeded = 0
        self._failed = 0  # beyond those remembered
        self._failures: dict[str, tuple[str, LakelinkError]] = {}
        self._message = ""

    @property
    def task(self) -> LinkTask:
        """The task as it stands."""
        failed = self._failed + len(self._failures)
        return dataclasses.replace(
            self._task,
            total=self._succeeded + failed,
            succeeded=self._succeeded,
            failed=failed,
            message=self._message,
        )

    def cancel(self) -> None:
        """Stop counting. What the link has under way ends; what is done stays done."""
        self._task = dataclasses.replace(self._task, state=TaskState.CANCELING)
        if self._survey is not None:
            self._survey.cancel()

    async def run(self, link: Surveyed) -> LinkTask:
        """To its end, whatever that is: the task as it ended. Raises only when cancelled itself: then it is to be begun anew."""
        link.told.append(self._outcome)
        try:
            if self._task.report:
                self._report = Report(self._task.report, self._task.kind)
            self._survey = asyncio.ensure_future(link.survey(self._task.paths))
            await asyncio.wait([self._survey])
            if not self._survey.cancelled():
                self._survey.result()
                self._add_standing()
        except LakelinkError as error:
            self._message = error.message
        finally:
            link.told.remove(self._outcome)
            if self._survey is not None:
                self._survey.cancel()
        return self._ended()

    def discard(self) -> None:
        """Leave nothing of an unfinished report behind. May be repeated."""
        if self._report is not None:
            self._report.discard()

    def _add_standing(self) -> None:
        """What a survey knows without trying it again: names that the other side cannot have, what could not be read."""
        kinds = {cls.code: cls for cls in all_errors()}
        for trouble in self._standing(MOST_FAILURES):
            problem = trouble.problem
            error = kinds.get(problem.code, StorageError)(problem.message, hint=problem.hint)
            if problem.path not in self._failures and direction_of_name(problem.path, error) in {None, self._task.kind}:
                self._outcome(problem.path, "", error)

    def _ended(self) -> LinkTask:
        for path, (verb, error) in self._failures.items():
            self._write(path, verb, error)
        try:
            if self._report is not None:
                self._report.finish()
        except StorageError as error:
            self._message = self._message or error.message
        if self._task.state is TaskState.CANCELING:
            state = TaskState.CANCELED
        else:
            bad = self._message or self._failed or self._failures
            state = TaskState.FAILED if bad else TaskState.SUCCEEDED
        return dataclasses.replace(self.task, state=state, ended_ns=self._clock.time_ns())

    def _outcome(self, path: str, verb: str, error: LakelinkError | None) -> None:
        """An observer of the link. A path that is retried is told again: its last outcome counts."""
        direction = direction_of(verb)
        if direction not in {None, self._task.kind} or not self._covers(path):
            return
        if error is None:
            self._failures.pop(path, None)
            if direction is not None:
                self._succeeded += 1
                self._write(path, verb, None)
        elif len(self._failures) < MOST_FAILURES or path in self._failures:
            self._failures[path] = verb, error
        else:
            self._failed += 1
            self._write(path, verb, error)

    def _covers(self, path: str) -> bool:
        paths = self._task.paths
        return not paths or any(path == each or path.startswith(f"{each}/") for each in paths)

    def _write(self, path: str, verb: str, error: LakelinkError | None) -> None:
        if self._report is None:
            return
        try:
            self._report.add(path, verb, error)
        except StorageError as failure:
            self._message = self._message or failure.message
            self._report.discard()
