"""The `sftp` subsystem of an SSH connection: between asyncssh's channel and the engine.

A server returns one from `session_requested` for each session of an authenticated connection:

    shared = Shared(SharedOptions(...))                       # one per process
    view = await open_view(account, opener, shared)           # one per session
    SftpSubsystem(visitor, view, audit, SftpLimits(), on_stored)

Create the channel with `encoding=None`, so that it carries bytes. The subsystem closes its view when the channel is gone. `done` is awaited by
a server that drains its sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncssh

from lakelink.gateway.base import Audit, Stored, Visitor
from lakelink.gateway.coalescing import coalesce
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.engine import Answer, Engine
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.gateway.sftp.session import Session


class SftpSubsystem(asyncssh.SSHServerSession[bytes]):
    """One SFTP session. Anything but the subsystem `sftp` (shell, exec, pty) is refused."""

    def __init__(
        self,
        visitor: Visitor,
        view: View,
        audit: Audit,
        limits: SftpLimits,
        on_stored: Callable[[Stored], Awaitable[None]],
    ) -> None:
        self.visitor = visitor
        self.view = view
        self.done = asyncio.Event()
        self._session = Session(visitor, view, audit, limits, on_stored)
        self._flush: Callable[[], None] | None = None
        self._engine = Engine(self._session, self._send, self._sent)
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._running: asyncio.Task[None] | None = None
        self._paused = False

    @property
    def is_working(self) -> bool:
        """Whether a request is being worked on."""
        return self._engine.is_working

    @property
    def is_busy(self) -> bool:
        """Whether files are open, or a request is being worked on: who is cut off now loses something."""
        return bool(self._session.open) or self._engine.is_working

    async def ended(self) -> None:
        """Returns when nothing of the session is open any more. To be asked after its channel is gone."""
        if self._running is not None:
            await asyncio.wait([self._running])

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan
        self._flush = coalesce(chan.get_connection())
        limit = self._session.limits.unsent_bytes
        chan.set_write_buffer_limits(high=limit, low=limit // 4)

    def subsystem_requested(self, subsystem: str) -> bool:
        """Whether that is what the client asks for."""
        return subsystem == "sftp"

    def session_started(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        self._engine.feed(data)
        if self._engine.is_full and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self._engine.finish()
        return True  # the channel is closed when what the client said is worked on

    def pause_writing(self) -> None:
        self._engine.hold_back()

    def resume_writing(self) -> None:
        self._engine.let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        self._engine.end(exc)
        self._channel = None
        if self._running is not None:
            self._running.cancel()

    def _send(self, data: Answer) -> None:
        channel = self._channel
        if channel is not None and not channel.is_closing():
            channel.write(data)  # it copies whatever has a buffer
        if self._paused and not self._engine.is_full and channel is not None:
            self._paused = False
            # Not from here: it would hand over more before this answer is done with.
            asyncio.get_running_loop().call_soon(channel.resume_reading)

    def _sent(self) -> None:
        if self._flush is not None:
            self._flush()

    async def _run(self) -> None:
        try:
            await self._engine.run()
        finally:
            if self._channel is not None:
                self._channel.exit(0)
            self.done.set()
