"""Data repository tasks of one link: look at these paths, and carry what is found in one direction, with counters and a report.

One at a time; the others queue. Other links have queues of their own (FSx has one per file system). A task asks the link for a survey and counts what comes
of it, so there is one engine for changes that were noticed and for those that somebody asked to look for. Deletes are carried where the policy says so.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import Sequence

from lakelink.errors import Busy, NotFound, Refused, UsageError
from lakelink.links.events import Events
from lakelink.links.execution import Execution, Surveyed
from lakelink.links.report import check_report
from lakelink.model.linkspec import Direction
from lakelink.model.linktask import LinkTask, TaskState
from lakelink.model.path import display, file_problem, is_own
from lakelink.ports.clock import Clock
from lakelink.state.journal import Journal
from lakelink.state.task_table import TaskTable

MOST_PATHS = 100
MOST_WAITING = 50
NOTED_EVERY_S = 5.0
"""Counters are durable that often, and at the end; `get` has them at once."""


class Tasks:
    """The queue of a link. Used from the link's loop; `run` carries the tasks out."""

    def __init__(self, link: Surveyed, journal: Journal, clock: Clock, events: Events) -> None:
        """`journal`: the link's, where tasks are remembered."""
        self._link = link
        self._journal = journal
        self._table = TaskTable(journal.db)
        self._clock = clock
        self._events = events
        self._woken = asyncio.Event()
        self._current: Execution | None = None

    def submit(self, kind: Direction, paths: Sequence[str] = (), report: str = "") -> LinkTask:
        """Queue a task; it is remembered over restarts when this returns.

        Raises:
            UsageError: a path is none, there are too many, or the report cannot be written there.
            Refused: the same task is waiting or running.
            Busy: too many wait.
        """
        wanted = _checked(paths)
        if report:
            check_report(report)
        waiting = self._table.unfinished()
        same = next((task for task in waiting if (task.kind, task.paths) == (kind, wanted)), None)
        if same is not None:
            raise Refused(
                f"{same.id} does the same already", hint="Wait for it, or cancel it with `lakelink link cancel`."
            )
        if len(waiting) >= MOST_WAITING:
            raise Busy(f"{len(waiting)} tasks of this link are waiting", hint="Wait for some, or cancel them.")
        # First come, first served, whatever the clock does.
        created_ns = max([self._clock.time_ns(), *(task.created_ns + 1 for task in waiting)])
        task_id = f"task-{secrets.token_hex(9)[:17]}"
        task = LinkTask(id=task_id, kind=kind, paths=wanted, report=report, created_ns=created_ns)
        self._table.put(task)
        self._woken.set()
        return task

    def cancel(self, task_id: str) -> LinkTask:
        """Cancel a task: what is done stays done, what is under way ends. May be repeated.

        Raises:
            NotFound: there is none of that name.
            Refused: it has ended.
        """
        task = self.get(task_id)
        if task.state in {TaskState.CANCELING, TaskState.CANCELED}:
            return task
        if task.state.is_final:
            raise Refused(f"{task_id} has ended: {task.state}", hint="What it did is not undone.")
        if self._current is not None and self._current.task.id == task_id:
            self._current.cancel()
            self._table.put(self._current.task)
            return self._current.task
        task = dataclasses.replace(task, state=TaskState.CANCELED, ended_ns=self._clock.time_ns())
        self._table.put(task)
        return task

    def get(self, task_id: str) -> LinkTask:
        """The task as it stands.

        Raises:
            NotFound: there is none of that name.
        """
        if self._current is not None and self._current.task.id == task_id:
            return self._current.task
        task = self._table.get(task_id)
        if task is None:
            raise NotFound(f"there is no task {display(task_id)}", hint="`lakelink link tasks` lists them.")
        return task

    def newest(self, limit: int = 100) -> list[LinkTask]:
        """The newest first."""
        current = self._current.task if self._current is not None else None
        return [current if current and task.id == current.id else task for task in self._table.newest(limit)]

    async def run(self) -> None:
        """Carry out one task after the other until cancelled. One that was under way when the last process ended begins anew: it looks at what is there now.

        Raises:
            StorageError: the journal cannot be written.
        """
        for task in self._table.unfinished():
            if task.state is TaskState.CANCELING:
                self._table.put(dataclasses.replace(task, state=TaskState.CANCELED, ended_ns=self._clock.time_ns()))
            elif task.state is TaskState.EXECUTING:
                self._table.put(dataclasses.replace(task, state=TaskState.PENDING, total=0, succeeded=0, failed=0))
        while True:
            self._woken.clear()
            waiting = self._table.unfinished()
            if waiting:
                await self._execute(waiting[0])
            else:
                await self._woken.wait()

    async def _execute(self, task: LinkTask) -> None:
        execution = Execution(task, self._clock, self._journal.problems)
        self._current = execution
        try:
            self._table.put(execution.task)
            noting = asyncio.ensure_future(self._note(execution))
            try:
                ended = await execution.run(self._link)
            finally:
                noting.cancel()
                await asyncio.gather(noting, return_exceptions=True)
            self._table.put(ended)
            self._table.prune()
            self._tell(ended)
        finally:
            self._current = None
            execution.discard()

    async def _note(self, execution: Execution) -> None:
        while True:
            await self._clock.sleep(NOTED_EVERY_S)
            self._table.put(execution.task)

    def _tell(self, task: LinkTask) -> None:
        counts = f"{task.succeeded} of {task.total} paths, {task.failed} failed"
        level = logging.INFO if task.state is TaskState.SUCCEEDED else logging.WARNING
        self._events.note(
            f"Task{task.state.title()}", f"{task.id} ({task.kind}): {counts}. {task.message}".strip(), level=level
        )


def _checked(paths: Sequence[str]) -> tuple[str, ...]:
    if len(paths) > MOST_PATHS:
        raise UsageError(
            f"{len(paths)} paths are too many for one task", hint=f"At most {MOST_PATHS}; name a directory above them."
        )
    wanted = tuple(dict.fromkeys(path.strip("/") for path in paths))
    for path in wanted:
        problem = (is_own(path) and "it is lakelink's own") or (path and file_problem(path))
        if problem:
            raise UsageError(
                f"{display(path)} is no path of a link: {problem}", hint="Relative to the link's directory."
            )
    return () if "" in wanted else wanted
