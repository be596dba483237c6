"""The workflows of one worker process: what it records, and its readiness to carry out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from lakelink.config.document import Document
from lakelink.config.gateway_workflows import read_workflows
from lakelink.errors import StorageError
from lakelink.gateway.base import Stored
from lakelink.gateway.telling import Telling
from lakelink.gateway.workflows.queue import Queue
from lakelink.gateway.workflows.runner import Recorder, Runner
from lakelink.gateway.workflows.steps import Steps, check_workflow
from lakelink.obs.log import Event, emit
from lakelink.ports.clock import SystemClock
from lakelink.ports.random import SystemRandom

PAUSE_S = 5.0


class WorkflowService:
    """One per process, over the gateway's directory that all of them share."""

    def __init__(self, document: Document, directory: Path, telling: Telling | None = None) -> None:
        """Nothing is carried out before `start`.

        Raises:
            ConfigError, UsageError: a workflow is wrong. StorageError: the records cannot be used.
        """
        workflows = read_workflows(document)
        for workflow in workflows:
            check_workflow(workflow, document)
        self._directory = directory
        self._clock = SystemClock()
        self._queue = Queue(directory) if workflows else None
        self._task: asyncio.Task[None] | None = None
        if self._queue is not None:
            self._recorder = Recorder(workflows, self._queue, self._clock)
            self._runner = Runner(workflows, self._queue, Steps(document, telling), self._clock, SystemRandom())

    async def stored(self, stored: Stored) -> None:
        """As `Recorder.stored`; without workflows nothing."""
        if self._queue is not None:
            await self._recorder.stored(stored)

    def start(self) -> None:
        """Carry out jobs, or stand by until the process that does so is gone."""
        if self._queue is not None and self._task is None:
            self._task = asyncio.create_task(self._keep_running())

    async def aclose(self) -> None:
        """Stop. What was under way is due as before. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    async def _keep_running(self) -> None:
        while True:
            try:
                await self._runner.run(self._directory, self._recorder.recorded)
            except* StorageError as group:
                emit(logging.ERROR, Event.WORKFLOWS_STOPPED, {"message": str(group.exceptions[0])})
            await self._clock.sleep(PAUSE_S)
