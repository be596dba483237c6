"""One process of the program under test: it lives until a kill or a power failure takes it away between two of its calls."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import random
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, TypeVar

from lakelink.testing.sim.chance import Chance, Trace
from lakelink.testing.sim.inode import Crash, fail
from lakelink.testing.sim.loop import OWNER, SimLoop

T = TypeVar("T")
_CALL_S = 20e-6
_UNWINDING_ROUNDS = 200
_FAULTS: dict[str, tuple[int, ...]] = {
    "open": (errno.ENOSPC, errno.EMFILE, errno.EIO),
    "open_beneath": (errno.EMFILE, errno.EIO),
    "mkdir": (errno.ENOSPC, errno.EIO),
    "write": (errno.ENOSPC, errno.EIO),
    "pwrite": (errno.ENOSPC, errno.EIO),
    "link_fd": (errno.ENOSPC, errno.EIO),
    "rename": (errno.ENOSPC, errno.EIO),
    "symlink": (errno.ENOSPC,),
    "scandir": (errno.EIO, errno.EACCES),
    "stat": (errno.EIO,),
    "read": (errno.EIO,),
    "pread": (errno.EIO,),
    "utime": (errno.EIO,),
    "unlink": (errno.EIO,),
    "syncfs": (errno.EIO, errno.ENOSPC),
    "fdatasync": (errno.EIO, errno.ENOSPC),
}
"""What calls fail with, seldom."""


class End(Enum):
    """How a process ended before its time."""

    KILL = "kill"  # the kernel and what it holds go on
    POWER = "power"  # the machine is gone, and with it what was not synced


class Process:
    """Every call of it passes `between`. `aside` is what others do between two calls."""

    def __init__(self, name: str, loop: SimLoop, chance: Chance, trace: Trace, odds: Odds) -> None:
        self.name = name
        self.end: End | None = None
        self.failed = False  # its work ended by an error
        self._loop = loop
        self._chance = chance
        self._trace = trace
        self._odds = odds
        self._gap = chance.stream(f"gap {name}")
        self._pause = self._next_pause()
        self._tasks: list[asyncio.Task[Any]] = []
        self._ended: asyncio.Future[None] = loop.create_future()
        self.aside: Callable[[random.Random], str] = lambda _choice: "nothing"

    def between(self, call: str, about: str) -> None:
        """Time passes; now and then something happens.

        Raises:
            Crash: this process is gone. OSError: the call fails.
        """
        if self.end is not None:
            raise Crash(self.name)
        self._loop.tick(_CALL_S)
        self._trace.add(f"{self._loop.time():.6f} {self.name} {call} {about}")
        self._pause -= 1
        if self._pause <= 0:
            self._pause = self._next_pause()
            self._happen(call)

    def _next_pause(self) -> int:
        return int(self._gap.expovariate(1 / self._odds.calls_between)) + 1

    def _happen(self, call: str) -> None:
        drawn = self._chance.happening()
        if drawn is None:
            return
        number, choice = drawn
        what = choice.random()
        if what < self._odds.ends:
            end = choice.choice(list(End))
            self._chance.tell(number, f"{self.name}: {end.value} before {call}")
            self.die(end)
            raise Crash(self.name)
        if what < self._odds.ends + self._odds.faults:
            if call in _FAULTS:
                code = choice.choice(_FAULTS[call])
                self._chance.tell(number, f"{self.name}: {call} fails with {errno.errorcode[code]}")
                fail(code)
            return
        told = self.aside(choice)
        self._trace.add(told)
        self._chance.tell(number, f"before {call} of {self.name}: {told}")

    def die(self, end: End) -> None:
        """From now on nothing that it asks for is done."""
        if self.end is None:
            self.end = end
            self._trace.add(f"{self.name} {end.value}")
            if not self._ended.done():
                self._ended.set_result(None)

    async def live(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """The result of the work; None where the process ended first. Its errors are raised."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self._tasks)
        task = context.run(lambda: self._loop.create_task(work()))
        either: list[asyncio.Future[Any]] = [task, self._ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.end is None:
            self.failed = task.cancelled() or task.exception() is not None
            return task.result()
        for _ in range(_UNWINDING_ROUNDS):
            going = [one for one in self._tasks if not one.done()]
            if not going:
                return None
            for one in going:
                one.cancel()
            await asyncio.sleep(0.001)
        raise AssertionError(f"{self.name}: {len(going)} tasks do not end: {going[:3]}")


class Odds:
    """How often something happens. `calls_between` is the mean number of calls between two happenings."""

    def __init__(self, choice: random.Random) -> None:
        self.calls_between = choice.choice([4.0, 15.0, 60.0, 250.0])
        self.ends = choice.choice([0.0, 0.0, 0.02, 0.1])
        self.faults = choice.choice([0.0, 0.0, 0.1])
        self.weather = choice.choice([0.0, 0.0, 0.02, 0.15])
        self.slow = choice.choice([0.0, 0.05, 0.2])
