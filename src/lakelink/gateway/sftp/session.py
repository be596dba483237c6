"""What one session is made of: whom it serves, what it has open, and what is written down about it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lakelink.errors import Declined
from lakelink.gateway.base import Audit, AuditRecord, Stored, Visitor
from lakelink.gateway.folders.paths import virtual_path
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.handles import OpenDirectory, OpenFile
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.gateway.sftp.wire import Malformed
from lakelink.model.path import display


@dataclass(slots=True)
class Session:
    """The state of one session."""

    visitor: Visitor
    view: View
    audit: Audit
    limits: SftpLimits
    on_stored: Callable[[Stored], Awaitable[None]]
    open: dict[bytes, OpenFile | OpenDirectory] = field(default_factory=dict)
    _next_handle: int = 0

    def path(self, raw: bytes) -> str:
        """The virtual path that the client means: relative to where the session began, and never above `/`.

        Raises:
            Declined: it is no path.
        """
        return virtual_path(raw, self.visitor.account.start)

    def remember(self, opened: OpenFile | OpenDirectory) -> bytes:
        """The handle that the client gets."""
        self._next_handle += 1
        handle = self._next_handle.to_bytes(4, "big")
        self.open[handle] = opened
        return handle

    def require_handle(self) -> None:
        """One more may be opened.

        Raises:
            Declined: too many are open.
        """
        if len(self.open) >= self.limits.handles:
            raise Declined("Too many open files")

    def file(self, handle: bytes) -> OpenFile:
        """The file of that handle.

        Raises:
            Malformed: there is none.
        """
        found = self.open.get(handle)
        if not isinstance(found, OpenFile):
            raise Malformed("no such handle")
        return found

    def directory(self, handle: bytes) -> OpenDirectory:
        """As `file`, of a directory."""
        found = self.open.get(handle)
        if not isinstance(found, OpenDirectory):
            raise Malformed("no such handle")
        return found

    def note(self, operation: str, path: str, size_bytes: int = 0, code: str = "", **detail: str) -> None:
        """One line of the audit log."""
        visitor = self.visitor
        record = AuditRecord(
            time_ns=time.time_ns(),
            session=visitor.session,
            user=visitor.account.name,
            address=visitor.address,
            operation=operation,
            path=display(path),
            size_bytes=size_bytes,
            code=code,
            detail=detail,
        )
        self.audit(record)

    async def aclose(self) -> None:
        """Give up everything that is open: what was not closed is not stored. Idempotent."""
        while self.open:
            _, opened = self.open.popitem()
            if isinstance(opened, OpenFile):
                if opened.reader is not None:
                    self.note("read", opened.path, opened.moved_bytes)
                    await opened.reader.aclose()
                elif opened.upload is not None:
                    self.note("abandon", opened.path, opened.moved_bytes)
                    await self.view.discard(opened.upload)
        await self.view.aclose()
