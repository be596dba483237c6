"""Running a coroutine so that Ctrl-C, or a service manager's SIGTERM, stops it within a second and still says what is done."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from lakelink.cli.supervise import INTERRUPTED

T = TypeVar("T")

GRACE_S = 0.9  # what is left of a second after the request to stop
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_interruptible(
    work: Coroutine[object, object, T], on_interrupt: Callable[[], None], stop: asyncio.Event | None = None
) -> T | None:
    """Run `work` to its end and return what it returns; None when it was interrupted and had nothing to return.

    The first signal sets `stop`, or cancels `work` where there is none; it may finish what must not be left half done. If that takes
    longer than the grace, or a second signal comes, `on_interrupt` says what is done and the process ends with exit code 130 at once.
    That is as safe as losing power: nothing partial is ever visible at the target, and the next run finishes the work.
    """
    watch = _Watch(on_interrupt)

    async def main() -> T:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not inside a task")
        for number in SIGNALS:
            loop.add_signal_handler(number, watch.interrupt, stop.set if stop else task.cancel)
        try:
            return await work
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    try:
        # The runner waits for the threads of the loop as well; the watch bounds that wait too.
        with asyncio.Runner() as runner:
            return runner.run(main())
    except asyncio.CancelledError:
        return None
    finally:
        watch.close()


class _Watch:
    """Counts signals and ends the process when the grace is over."""

    def __init__(self, on_interrupt: Callable[[], None]) -> None:
        self._on_interrupt = on_interrupt
        self._timer: threading.Timer | None = None

    def interrupt(self, ask: Callable[[], object]) -> None:
        if self._timer is not None:
            self._give_up()
        # A thread and not the loop keeps the time, since a loop that hangs is one reason to be asked to stop.
        self._timer = threading.Timer(GRACE_S, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        ask()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _give_up(self) -> None:
        try:
            self._on_interrupt()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(INTERRUPTED)
