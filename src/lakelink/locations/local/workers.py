"""Blocking work for an event loop: a few threads with an owner."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
THREADS = 4


class Workers:
    """Runs jobs in threads. No job outlives the call that wanted it, nor `aclose`."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def start(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Begin a short job; the caller awaits the future, whatever happens."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lakelink-local")
        return asyncio.get_running_loop().run_in_executor(self._pool, job)

    async def run(self, job: Callable[[threading.Event], T], *, undo: Callable[[T], None] | None = None) -> T:
        """The job's result. A cancelled call sets the job's event and ends when the job has ended; `undo` then takes a result that came all the same."""
        stop = threading.Event()
        future = self.start(lambda: job(stop))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([future])
            # Looking at the error keeps the loop from reporting it: the cancellation is the answer.
            if not future.cancelled() and future.exception() is None and undo is not None:
                undo(future.result())
            raise

    async def ahead(self, steps: Generator[T, None, None]) -> AsyncIterator[T]:
        """What the generator yields, one step ahead. It is closed in the end, whatever happened."""
        step = functools.partial(next, steps, None)
        future = self.start(step)
        try:
            while (item := await asyncio.shield(future)) is not None:
                future = self.start(step)
                yield item
        finally:
            if not future.done():
                await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            steps.close()

    async def aclose(self) -> None:
        """Waits for the threads. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
