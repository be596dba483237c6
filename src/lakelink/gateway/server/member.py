"""One worker as its parent sees it: a process with a control socket, started again when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lakelink.config.gateway import GatewaySettings
from lakelink.errors import Unreachable
from lakelink.gateway.server.hub import SharedState
from lakelink.gateway.server.wire import (
    LINE_BYTES,
    Answer,
    Arrive,
    Change,
    Close,
    Drain,
    Failed,
    FromWorker,
    Hello,
    Moved,
    Open,
    Report,
    Settled,
    ToWorker,
    decode_from_worker,
    line_of,
)
from lakelink.gateway.telling import Changed
from lakelink.model.gateway import LiveSession
from lakelink.obs import log
from lakelink.obs.log import Event

READY_WITHIN_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
STEADY_S = 60.0  # who has lived so long is started again without a pause
KILLED_AFTER_S = 5.0  # beyond the deadline of a drain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrewPlan:
    """What workers are started with."""

    state_dir: Path
    config: str  # the settings file, absolute; "" = none
    text: str = ""  # what was in it when it was read and found right: a worker that is started again gets that, whatever is there by then
    settings: GatewaySettings
    log_form: str = "text"
    tells_changes: bool = False  # somebody wants to know what users change in the lake


class Member:
    """Keeps one worker running on its sockets until it is to end."""

    def __init__(self, plan: CrewPlan, shared: SharedState, sockets: Sequence[socket.socket]) -> None:
        self.pid = 0
        self._plan, self._shared, self._sockets = plan, shared, sockets
        self._writer: asyncio.StreamWriter | None = None
        self._ready = asyncio.Event()
        self._ending = False
        self._within_s = 0.0
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The worker listens when it returns; from then on it is started again whenever it ends.

        Raises:
            Unreachable: it did not come up.
        """
        self._keeper = asyncio.create_task(self._keep())
        waiting = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([waiting, self._keeper], timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self._ready.is_set():
            raise Unreachable(
                "a worker of the gateway does not come up", hint="What it said is above, or in the log of the daemon."
            )

    def tell(self, message: ToWorker) -> None:
        """Said without waiting; a worker that is not there hears nothing."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line_of(message))

    async def end(self, within_s: float) -> bool:
        """Drain it; True = it ended by itself. Idempotent."""
        self._ending, self._within_s = True, within_s
        self.tell(Drain(within_s))
        if self._keeper is None:
            return True
        try:
            async with asyncio.timeout(within_s + KILLED_AFTER_S):
                await asyncio.shield(asyncio.gather(self._keeper, return_exceptions=True))
        except TimeoutError:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            return False
        return True

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = time.monotonic()
            code = await self._run()
            if self._ending or not self._ready.is_set():  # the first start failed: whoever waits for it is told
                return
            log.emit(logging.ERROR, Event.WORKER_ENDED, {"pid": self.pid, "exit_code": code})
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_S else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _run(self) -> int:
        """One life of the worker; its exit code."""
        ours, theirs = socket.socketpair()
        fds = [each.fileno() for each in self._sockets]
        settings = _file_of(self._plan.text)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(theirs.fileno(), fds, settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), settings, *fds],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        finally:
            theirs.close()
            os.close(settings)
        self.pid = process.pid
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
            if self._ending:
                self.tell(Drain(self._within_s))
            await self._listen(reader, process.pid)
            return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            if self._writer is not None:
                self._writer.close()
            self._shared.worker_gone(process.pid)

    def _command(self, control: int, fds: Sequence[int], settings: int) -> list[str]:
        plan = self._plan
        command = [sys.executable, "-m", "lakelink.gateway.server.worker", "--control", str(control)]
        command += ["--listen", *map(str, fds), "--state", str(plan.state_dir), "--log", plan.log_form]
        command += ["--tell-changes"] if plan.tells_changes else []
        return [*command, "--config", plan.config, "--settings", str(settings)] if plan.config else command

    async def _listen(self, reader: asyncio.StreamReader, pid: int) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                await self._heed(decode_from_worker(line), pid)

    async def _heed(self, message: FromWorker, pid: int) -> None:
        shared = self._shared
        match message:
            case Hello():
                self._ready.set()
            case Arrive(number, token, address):
                self.tell(Answer(number, refusal=await shared.arrive(token, address, pid)))
            case Settled(token):
                shared.settled(token)
            case Failed(number, address, user):
                self.tell(Answer(number, delay_s=await shared.failed(address, user)))
            case Open(number, session, most):
                self.tell(Answer(number, refusal=await shared.open(_at(session, pid), most)))
            case Close(session_id):
                shared.close(session_id)
            case Report(sessions, counts):
                shared.report(sessions, counts, pid)
            case Moved(number, user, bytes_per_s, up_bytes, down_bytes):
                ahead = await shared.moved(user, bytes_per_s, up_bytes, down_bytes)
                self.tell(Answer(number, up_s=ahead.up_s, down_s=ahead.down_s))
            case Change(bucket, key, subtree):
                shared.changed(Changed(bucket, key, subtree))


def _file_of(text: str) -> int:
    """A descriptor from which it can be read once; it has no name."""
    fd = os.memfd_create("settings")
    with os.fdopen(os.dup(fd), "w", encoding="utf-8") as file:
        file.write(text)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _at(session: LiveSession, pid: int) -> LiveSession:
    return dataclasses.replace(session, worker=pid)
