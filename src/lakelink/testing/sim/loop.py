"""An event loop without a world: virtual time, one thread, and a seeded choice of which ready callback runs next.

Nothing waits: when no callback is ready, time jumps to the next timer. Jobs for threads run inside the loop, as one step each, so that whatever
comes between two of their calls comes through the simulated kernel. Tasks and futures hash by their number: sets of them have the same order in
every process.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import heapq
import random
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any, TypeVar

from lakelink.testing.sim.supervise import fulfil

T = TypeVar("T")
OWNER: ContextVar[list[asyncio.Task[Any]] | None] = ContextVar("OWNER", default=None)
"""The tasks of a simulated process: each task made in its context joins them."""


class Stuck(Exception):
    """Nothing is ready and no timer is set: what is awaited will never come. Or the story goes on for longer than its bound."""


class _Future(asyncio.Future[Any]):
    number = 0

    def __hash__(self) -> int:
        return self.number


class _Task(asyncio.Task[Any]):
    number = 0

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """`steps_most` bounds a run: a story that does not end is a failure, not a hang."""

    def __init__(self, seed: int, *, steps_most: int = 2_000_000) -> None:
        super().__init__()
        self._choice = random.Random(seed)
        self._now_s = 0.0
        self._numbers = 0
        self.steps = 0
        self._steps_most = steps_most
        # A list, since any of it may be next; BaseEventLoop appends to it under its own name.
        self._queue: list[events.Handle] = []
        self._ready = self._queue
        self.complaints: list[str] = []
        self.set_exception_handler(lambda _loop, context: self.complaints.append(str(context.get("message"))))
        self.set_task_factory(self._numbered)  # type: ignore[arg-type]

    # What BaseEventLoop asks of its subclasses
    def time(self) -> float:
        return self._now_s

    def tick(self, seconds: float) -> None:
        """Time that work takes: a system call, a sleep in a job."""
        self._now_s += seconds

    def _run_once(self) -> None:
        scheduled: list[events.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001  # as BaseEventLoop does
        queue = self._queue
        if not queue:
            if not scheduled:
                raise Stuck("nothing is ready, and no timer is set")
            self._now_s = max(self._now_s, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001
            queue.append(handle)
        self.steps += 1
        if self.steps > self._steps_most:
            raise Stuck(f"no end after {self.steps} steps, {self._now_s:.0f} s")
        count = len(queue)
        chosen = queue.pop(int(self._choice.random() * count) if count > 1 else 0)
        if not chosen.cancelled():
            chosen._run()  # noqa: SLF001  # as BaseEventLoop does

    def _write_to_self(self) -> None:
        """Nobody sleeps who could be woken."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    # What adapters ask of the loop
    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # noqa: ARG002
        """The job as one step of this loop."""
        future = self.create_future()
        self.call_soon(fulfil, future, functools.partial(func, *args))
        return future

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._numbers += 1
        future.number = self._numbers
        return future

    def _numbered(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], **options: Any) -> _Task:
        # The number first: a task puts itself into a set when it is made.
        self._numbers += 1
        made = _Task.__new__(_Task)
        made.number = self._numbers
        made.__init__(work, loop=loop, **options)  # type: ignore[misc]
        owner = OWNER.get()
        if owner is not None:
            owner.append(made)
        return made


def simulate(seed: int, story: Callable[[SimLoop], Coroutine[Any, Any, T]], *, steps_most: int = 2_000_000) -> T:
    """Run a story to its end on a loop of its own; its result.

    The collector of garbage stays away meanwhile: when it comes depends on what this process did before.

    Raises:
        Stuck: the story waits for what never comes, or does not end.
    """
    loop = SimLoop(seed, steps_most=steps_most)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(story(loop))
    finally:
        if collecting:
            gc.enable()
