"""Jobs are recorded by whoever stores a file, and carried out by one process at a time, a few at once.

Which process that is, a lock in the kernel decides: when it dies, another takes over, and what was under way is due as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lakelink.config.gateway_workflows import Workflow
from lakelink.core.backoff import Backoff
from lakelink.errors import LakelinkError, Retry
from lakelink.gateway.base import Stored
from lakelink.gateway.workflows.queue import Job, Queue
from lakelink.gateway.workflows.steps import Steps
from lakelink.gateway.workflows.upload import concerns, upload_of
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random

LOCK = "workflows.lock"
AT_ONCE = 4
LOOKS_EVERY_S = 0.5
"""Another worker records without a word to this one, so that it has to look."""
BASE_S, CAP_S = 1.0, 900.0
LEAST_PAUSE_S = 1.0


class Recorder:
    """Takes what was stored. One per process."""

    def __init__(self, workflows: Sequence[Workflow], queue: Queue, clock: Clock) -> None:
        self._workflows = workflows
        self._queue = queue
        self._clock = clock
        self.recorded = asyncio.Event()

    async def stored(self, stored: Stored) -> None:
        """Its jobs are on stable storage when this returns: only then may the client be told that its file is there.

        Raises:
            NoSpace, StorageError: they are not; the client has to be told that its upload failed, so that it sends the file again.
        """
        names = [workflow.name for workflow in self._workflows if concerns(workflow, stored)]
        if names:
            upload = upload_of(stored, self._clock.time_ns())
            await asyncio.to_thread(self._queue.record, names, upload)
            self.recorded.set()


class Runner:
    """Carries out jobs while it has the lock. Start it as a task and cancel it to stop: programs that run are ended, and their jobs stay due."""

    def __init__(self, workflows: Sequence[Workflow], queue: Queue, steps: Steps, clock: Clock, random: Random) -> None:
        self._workflows: Mapping[str, Workflow] = {workflow.name: workflow for workflow in workflows}
        self._queue = queue
        self._steps = steps
        self._clock = clock
        self._random = random

    async def run(self, directory: Path, recorded: asyncio.Event) -> None:
        """Wait for the lock, then carry out what is due, for ever.

        Raises:
            StorageError: the queue cannot be used.
        """
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor):
                await self._clock.sleep(LOOKS_EVERY_S)
            await self._work(recorded)
        finally:
            os.close(descriptor)

    async def _work(self, recorded: asyncio.Event) -> None:
        under_way: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                recorded.clear()
                for number in [number for number, task in under_way.items() if task.done()]:
                    del under_way[number]
                room = AT_ONCE - len(under_way)
                now_ns = self._clock.time_ns()
                jobs = await asyncio.to_thread(self._queue.due, now_ns, room, list(under_way)) if room else []
                for job in jobs:
                    under_way[job.id] = tasks.create_task(self._carry_out(job))
                if jobs and len(jobs) == room:
                    await asyncio.wait(under_way.values(), return_when=asyncio.FIRST_COMPLETED)
                    continue
                await _first(LOOKS_EVERY_S, recorded)

    async def _carry_out(self, job: Job) -> None:
        """The steps of a job from the first that was not done, until one fails."""
        workflow = self._workflows.get(job.workflow)
        if workflow is None:
            message = f"there is no workflow {job.workflow} in the settings any more"
            await asyncio.to_thread(self._queue.failed, job, message, self._clock.time_ns())
            return
        try:
            for step in _left(workflow.steps, job.step):
                await self._steps.do(workflow, step, job)
                await asyncio.to_thread(self._queue.stepped, job, step, self._clock.time_ns())
                job = replace(job, step=step, attempts=0)  # those of the next step count anew
        except LakelinkError as error:
            await self._not_done(workflow, job, error)
            return
        await asyncio.to_thread(self._queue.done, job, "", self._clock.time_ns())

    async def _not_done(self, workflow: Workflow, job: Job, error: LakelinkError) -> None:
        message = f"{error.code}: {error.message}"
        backoff = Backoff(base_s=BASE_S, cap_s=CAP_S, attempts=workflow.attempts)
        now_ns = self._clock.time_ns()
        if not backoff.may_repeat(job.attempts):
            await asyncio.to_thread(self._queue.failed, job, message, now_ns)
            return
        pause_s = max(
            LEAST_PAUSE_S if error.retry is Retry.NEVER else 0.0, backoff.delay_s(job.attempts, self._random.uniform())
        )
        await asyncio.to_thread(self._queue.again, job, now_ns + int(pause_s * 1e9), message, now_ns)


def _left(steps: Sequence[str], done: str) -> Sequence[str]:
    """The steps after the last one done; all of them where that one is no longer among them."""
    return steps[steps.index(done) + 1 :] if done in steps else steps


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def _first(seconds: float, event: asyncio.Event) -> None:
    """Until the event, or that time: a job that ends makes room, and nothing is lost by noticing that a moment later."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
