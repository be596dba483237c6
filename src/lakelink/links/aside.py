"""A blocking call that may never come back, kept from holding up the event loop, or the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from lakelink.errors import InternalError, LakelinkError

T = TypeVar("T")


class Aside:
    """Runs one call at a time in a thread of its own, which does not keep the process alive: a call on a dead file server cannot be taken back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stuck: asyncio.Future[None] | None = None

    async def run(self, job: Callable[[], T], deadline_s: float) -> T:
        """The job's result. One that is given up goes on by itself, and no other is started before it has ended.

        Raises:
            OSError, LakelinkError: as the job.
            TimeoutError: it has not ended within `deadline_s`, or the one before it has not.
        """
        async with asyncio.timeout(deadline_s):
            while self._stuck is not None:
                await asyncio.wait([self._stuck])
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[T] = loop.create_future()
            ended: asyncio.Future[None] = loop.create_future()
            self._stuck = ended
            ended.add_done_callback(self._free)
            threading.Thread(target=_work, args=(job, loop, answer, ended), name=self._name, daemon=True).start()
            return await answer

    def _free(self, _ended: asyncio.Future[None]) -> None:
        self._stuck = None


def _work(
    job: Callable[[], T], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], ended: asyncio.Future[None]
) -> None:
    result: T | None = None
    failure: Exception | None = InternalError("a look at the file system ended with an error of its own")

    def deliver() -> None:
        if not answer.done():
            if failure is None:
                answer.set_result(result)  # type: ignore[arg-type]  # T may be None
            else:
                answer.set_exception(failure)
        ended.set_result(None)

    try:
        result, failure = job(), None
    except (OSError, LakelinkError) as error:
        failure = error
    finally:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(deliver)
