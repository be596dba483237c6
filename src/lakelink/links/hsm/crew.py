"""Holder and worker of one guard, started and kept alive by the daemon, which has the group open as well.

Any of the three may die, and all of them: whoever opens a stub waits until a worker is there again, since the holder has a spare. Only if that dies in the
same moment as well, the kernel lets readers through to the holes; `start` finds that the group is new then, and the view goes before anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lakelink.errors import StorageError
from lakelink.links.hsm.base import Event, Happened
from lakelink.links.hsm.control import Channel, Setup
from lakelink.links.hsm.holding import Held, find_holder, start_holder
from lakelink.links.hsm.probe import open_group

WAITING = "waiting"
GONE_WITHIN_S = 10.0
STEADY_S = 3.0  # a worker that ran for so long is followed by another at once: readers wait
_LEFT: list[subprocess.Popen[bytes]] = []
"""Workers that go on without their guard; they are nobody's to wait for any more."""
_LATE_LOOKS, _LATE_POLL_S = 5, 0.1
_PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)


class Crew:
    """The processes of one guard. For one event loop."""

    def __init__(self, state: str, tell: Callable[[Event], None], heard: Callable[[Any], None]) -> None:
        self._state = state
        self._tell = tell
        self._heard = heard
        self.group_fd = -1
        self.fresh = False
        self._held: Held | None = None
        self._setup: Setup | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = asyncio.Event()

    def take_group(self) -> None:
        """Have the group: that of a living holder, whose worker is ended, or a new one with a new holder (blocking)."""
        held = find_holder(self._state)
        self.fresh = held is None
        if held is None:
            self.group_fd = open_group()
            start_holder(self._state, self.group_fd)
            held = find_holder(self._state)
            if held is None:
                raise StorageError("the holder of the guard does not start", hint="Is there a Python at its place?")
            os.close(held.group_fd)
        else:
            self.group_fd = held.group_fd
            _end(held.worker or _late_worker(self._state))
        self._held = held

    def start(self, setup: Setup) -> None:
        """Start the worker, and keep both alive until `stop`."""
        self._setup = setup
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_worker()), loop.create_task(self._keep_holder())]

    def send(self, message: Any) -> bool:
        """False: there is no worker at this moment."""
        if self._channel is None:
            return False
        self._channel.send(message)
        return True

    @property
    def worker_pid(self) -> int:
        return self._worker.pid if self._worker is not None else 0

    @property
    def holder_pid(self) -> int:
        return self._held.pid if self._held is not None else 0

    async def stop(self, *, keep: bool) -> None:
        """Let go; with `keep` holder and worker go on by themselves, else both end, and the group closes last."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel is not None:
            self._channel.close()
        worker, held = self._worker, self._held
        if worker is not None and keep:
            _LEFT.append(worker)
        elif worker is not None:
            await asyncio.to_thread(_end_child, worker)
        if held is not None:
            if not keep:
                held.quit()
            held.connection.close()
        if self.group_fd >= 0:
            os.close(self.group_fd)
            self.group_fd = -1
        self._held = self._worker = self._channel = None

    async def _keep_worker(self) -> None:
        failures = 0
        while True:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await self._one_worker()
            failures = failures + 1 if loop.time() - began_s < STEADY_S else 0
            self._tell(Event(Happened.WORKER, message="the worker ended, and is started again"))
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])

    async def _one_worker(self) -> None:
        if self._setup is None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            fds = (self.group_fd, theirs.fileno())
            waiting = os.path.join(self._state, WAITING)  # noqa: PTH118
            program = [sys.executable, "-m", "lakelink.links.hsm.worker", *map(str, fds), waiting]
            # Signals of a terminal, and of whoever ends the daemon with its group, are not for the worker.
            await self._spawned(program, fds)
        channel = self._channel = Channel(*await asyncio.open_connection(sock=ours))
        try:
            channel.send(self._setup)
            self._setup = replace(self._setup, fresh=False)
            self.ready.set()
            while (message := await channel.receive()) is not None:
                self._heard(message)
        finally:
            self.ready.clear()
            channel.close()
            self._channel = None
        if self._worker is not None:
            await asyncio.to_thread(_end_child, self._worker)
        self._heard(None)

    async def _spawned(self, program: list[str], fds: tuple[int, int]) -> None:
        """Also where this is cancelled meanwhile, the worker is known afterwards, so that it is ended and not left behind with the group."""
        spawning = asyncio.ensure_future(asyncio.to_thread(_spawn, program, fds))
        try:
            self._worker = await asyncio.shield(spawning)
        except asyncio.CancelledError:
            self._worker = await spawning
            raise

    async def _keep_holder(self) -> None:
        loop = asyncio.get_running_loop()
        while self._held is not None:
            with contextlib.suppress(OSError):
                await loop.sock_recv(self._held.connection, 1)
            self._held.connection.close()
            held = await asyncio.to_thread(find_holder, self._state)  # most often its spare, which is the holder now
            if held is None:
                await asyncio.to_thread(start_holder, self._state, self.group_fd)
                held = await asyncio.to_thread(find_holder, self._state)
            self._tell(Event(Happened.WORKER, message="the holder ended, and was replaced"))
            if held is None:
                await asyncio.sleep(1.0)
                continue
            os.close(held.group_fd)
            self._held = held


def _late_worker(state: str) -> int:
    """A worker whose daemon died while it began is known to the holder a moment later; two workers would not wait for each other's turns."""
    for _ in range(_LATE_LOOKS):
        time.sleep(_LATE_POLL_S)
        held = find_holder(state)
        if held is not None:
            held.close()
            if held.worker:
                return held.worker
    return 0


def _spawn(program: list[str], fds: tuple[int, int]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(program, pass_fds=fds, stdin=subprocess.DEVNULL, process_group=0)


def _end_child(worker: subprocess.Popen[bytes]) -> None:
    try:
        worker.wait(0.5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait(GONE_WITHIN_S)


def _end(pid: int) -> None:
    """End the worker of an earlier daemon: two ears would share the events of one group."""
    if not pid:
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"lakelink.links.hsm.worker" not in command:
            return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], GONE_WITHIN_S)
        for worker in [one for one in _LEFT if one.poll() is not None]:
            _LEFT.remove(worker)
    except (FileNotFoundError, ProcessLookupError):
        return
    finally:
        os.close(pidfd)
