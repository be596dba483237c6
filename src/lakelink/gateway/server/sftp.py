"""From a login to its files: the subsystem of a session, over the locations that the settings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lakelink.config.document import Document
from lakelink.config.gateway import GatewaySettings
from lakelink.gateway.base import Audit, Stored, Visitor
from lakelink.gateway.folders.shared import OnChanged, Shared, SharedOptions, nobody
from lakelink.gateway.folders.view import open_view
from lakelink.gateway.server.unfinished import Unfinished
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.gateway.subsystem import SftpSubsystem
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, open_location, parse_location

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

OnStored = Callable[[Stored], Awaitable[None]]


async def nothing_more(_stored: Stored) -> None:
    """No workflow."""


class SftpSessions:
    """One per process. Close it after the last session."""

    def __init__(
        self,
        document: Document,
        settings: GatewaySettings,
        spool: Path,
        on_stored: OnStored = nothing_more,
        on_changed: OnChanged = nobody,
        unfinished: Unfinished | None = None,
    ) -> None:
        self._document = document
        self._on_stored = on_stored
        self._limits = SftpLimits(handles=settings.limits.max_handles)
        options = SharedOptions(
            spool_directory=str(spool),
            spool_bytes=settings.limits.spool_max_bytes,
            rename_replaces=settings.rename_replaces,
            makes_symlinks=settings.symlinks,
            on_changed=on_changed,
            on_upload=unfinished.note if unfinished else nobody,
        )
        self._unfinished = unfinished
        self._shared = Shared(options)

    async def open(self, visitor: Visitor, audit: Audit) -> SftpSubsystem:
        """The subsystem of one session.

        Raises:
            ConfigError: the folders of the account make no tree.
        """
        view = await open_view(visitor.account, self._open, self._shared)
        return SftpSubsystem(visitor, view, audit, self._limits, self._on_stored)

    async def sweep(self) -> int:
        """See `Unfinished.sweep`."""
        if self._unfinished is None:
            return 0
        return await self._unfinished.sweep(lambda text: self._shared.location(text, self._open))

    async def aclose(self) -> None:
        """Close the locations. Idempotent."""
        await self._shared.aclose()
        if self._unfinished is not None:
            self._unfinished.close()

    def _open(self, text: str) -> Coroutine[Any, Any, Location]:
        return open_location(parse_location(text, self._document), OpenOptions(writable=True))
