"""The first steps of a coroutine at once, the rest in a task: for work that most often has nothing to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

_Result = TypeVar("_Result")


class Begun(Coroutine[Any, Any, _Result]):
    """Work that has run up to where it has to wait. To be awaited in the task that it was begun for, and there only.

    The work runs as if that task did it: its time limits and groups belong to it. Another task that runs now is left for so long.
    """

    __slots__ = ("_waits_for", "_was_begun", "_work")

    def __init__(self, work: Coroutine[Any, Any, _Result], task: asyncio.Task[Any]) -> None:
        """Take the first steps.

        Raises:
            StopIteration: there is nothing to wait for; its value is the result. Others as the work.
        """
        loop = task.get_loop()
        running = asyncio.current_task(loop)
        _switch(loop, running, task)
        try:
            self._waits_for = work.send(None)
        finally:
            _switch(loop, task, running)
        self._work = work
        self._was_begun = True

    def cancel(self) -> None:
        """Before it was awaited: that then ends as a cancelled task does."""
        cancel = getattr(self._waits_for, "cancel", None)
        if cancel is None or not cancel():
            self._waits_for = self._work.throw(asyncio.CancelledError())

    def send(self, value: Any) -> Any:
        if self._was_begun:
            self._was_begun = False
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)


def _switch(loop: asyncio.AbstractEventLoop, old: asyncio.Task[Any] | None, new: asyncio.Task[Any] | None) -> None:
    """As the documentation of asyncio has it for own kinds of tasks ("Extending", Task lifetime support)."""
    if old is new:
        return
    if old is not None:
        asyncio.tasks._leave_task(loop, old)  # noqa: SLF001
    if new is not None:
        asyncio.tasks._enter_task(loop, new)  # noqa: SLF001
