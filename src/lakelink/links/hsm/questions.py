"""The worker's ear: one thread that reads events and never touches a file, and the answers.

What the worker itself opens and writes is asked about as well; that is allowed at once, in this thread, so that a load can go on while hundreds wait.
Everything else is written to the table of those who wait, and handed to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from lakelink.links.hsm.waiting import MAX_WAITING, NUMBERS, Waiting
from lakelink.ports import permission

READ_BYTES = 16_384  # some 250 events, or 680 without a range
_FULL_PAUSE_S = 0.05

Ask: TypeAlias = Callable[[list[tuple[int, bytes]]], None]
"""Called in the loop with (number, handle) of those who wait."""


class Questions:
    """Who waits, and for what. `answer` is for the loop, the rest for the thread."""

    def __init__(self, group_fd: int, waiting: Waiting, loop: asyncio.AbstractEventLoop, ask: Ask) -> None:
        self._group_fd = group_fd
        self._waiting = waiting
        self._loop = loop
        self._ask = ask
        self._pid = os.getpid()
        self._open = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen until the process ends."""
        threading.Thread(target=self._listen, name="questions", daemon=True).start()

    def adopt(self) -> list[tuple[int, bytes]]:
        """What a dead worker left unanswered. The numbers are taken by `take_numbers`, so that no new event gets one of them."""
        found = list(self._waiting.pending())
        self._open += len(found)
        return found

    def answer(self, number: int, code: int) -> None:
        """Let the one who waits go on (0), or fail with that errno."""
        if code:
            permission.deny(self._group_fd, number, code)
        else:
            permission.allow(self._group_fd, number)
        self._waiting.clear(number)
        with contextlib.suppress(OSError):
            os.close(number)
        with self._lock:
            self._open -= 1

    def _listen(self) -> None:
        while True:
            try:
                events = os.read(self._group_fd, READ_BYTES)
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                    time.sleep(_FULL_PAUSE_S)  # whoever asked was refused by the kernel
                    continue
                if error.errno in {errno.EROFS, errno.ETXTBSY, errno.ESTALE, errno.ENXIO, errno.EINTR}:
                    continue
                raise
            asked = [one for question in permission.questions(events) if (one := self._hear(question))]
            if asked:
                with self._lock:
                    self._open += len(asked)
                self._loop.call_soon_threadsafe(self._ask, asked)

    def _hear(self, question: permission.Permission) -> tuple[int, bytes] | None:
        fd = question.fd
        if fd < 0:
            return None
        if question.pid == self._pid:
            # Closed first: the thread that waits may want a lease next, which this descriptor would refuse it. The number cannot be given to another
            # event meanwhile, since only this thread reads them.
            os.close(fd)
            permission.allow(self._group_fd, fd)
            return None
        if self._open >= MAX_WAITING:
            permission.deny(self._group_fd, fd, errno.EAGAIN)
            os.close(fd)
            return None
        handle = permission.handle_of(fd)
        self._waiting.put(fd, handle)
        return fd, handle


def take_numbers(waiting: Waiting) -> None:
    """Occupy the numbers that a dead worker left unanswered. To be called before the process opens anything else."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, _ in waiting.pending():
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nothing, number, inheritable=False)
    os.close(nothing)


def sweep(group_fd: int, waiting: Waiting) -> None:
    """Deny whatever a dead worker had read and not written down: any number may be such a one, and the rest is refused by the kernel."""
    known = {number for number, _ in waiting.pending()}
    for number in range(NUMBERS):
        if number not in known:
            permission.deny(group_fd, number, errno.EIO)
