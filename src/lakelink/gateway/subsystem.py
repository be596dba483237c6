"""The `sftp` subsystem of an SSH connection: between asyncssh's channel and the engine.

A server returns one from `session_requested` for each session of an authenticated connection:

    shared = Shared(SharedOptions(...))                       # one per process
    view = await open_view(account, opener, shared)           # one per session
    SftpSubsystem(visitor, view, audit, SftpLimits(), on_stored)

Create the channel with `encoding=None`, so that it carries bytes. The subsystem closes its view when the connection ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncssh

from lakelink.gateway.base import Audit, Stored, Visitor
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.limits import SftpLimits


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
        self._audit = audit
        self._limits = limits
        self._on_stored = on_stored

    def subsystem_requested(self, subsystem: str) -> bool:
        """Whether that is what the client asks for."""
        return subsystem == "sftp"
