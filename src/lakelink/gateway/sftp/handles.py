"""What a client has open: files and directories, by the handles that it was given."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from lakelink.errors import Declined, LakelinkError
from lakelink.gateway.folders.opening import Upload
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.attributes import Seen, encode_name, seen_of
from lakelink.handles.reader import Reader
from lakelink.model.entry import Entry

NAMES_AT_ONCE = 128


class OpenFile:
    """A file: read, or written, or (as long as its bytes have not been sent on) both."""

    def __init__(self, path: str, opened: Reader | Upload, *, append: bool = False) -> None:
        self.path = path
        self.reader = None if isinstance(opened, Upload) else opened
        self.upload = opened if isinstance(opened, Upload) else None
        self.append = append
        self.moved_bytes = 0
        self.trouble: LakelinkError | None = None  # of an earlier write: then CLOSE fails too

    @property
    def entry(self) -> Entry:
        """What FSTAT shows."""
        if self.upload is not None:
            return self.upload.entry
        if self.reader is None:
            raise Declined("It is closed")
        return self.reader.entry


class OpenDirectory:
    """A directory that is being listed."""

    def __init__(self, view: View, path: str) -> None:
        self.path = path
        self._view = view
        self._groups: AsyncIterator[list[tuple[str, Entry]]] = view.names(path)
        self._names: list[tuple[str, Seen]] = []  # the next one last
        self._over = False

    async def begin(self) -> None:
        """Whether there is such a directory is known.

        Raises:
            NotFound: there is not. Declined: it is something else.
        """
        group = await anext(self._groups, None) or []
        entry = await self._view.stat(self.path, follow=True)
        own = seen_of(entry, self._view.shown(entry))
        self._names = [*reversed(self._shown(group)), ("..", own), (".", own)]

    async def next(self, limit_bytes: int) -> list[bytes]:
        """Some more names, encoded; [] at the end."""
        while not self._names and not self._over:
            group = await anext(self._groups, None)
            self._over = group is None
            self._names = self._shown(group or [])[::-1]
        found: list[bytes] = []
        size = 0
        now_s = time.time()
        while self._names and len(found) < NAMES_AT_ONCE:
            name, seen = self._names[-1]
            raw = encode_name(name, seen, now_s)
            if found and size + len(raw) > limit_bytes:
                break
            self._names.pop()
            found.append(raw)
            size += len(raw)
        return found

    def _shown(self, group: list[tuple[str, Entry]]) -> list[tuple[str, Seen]]:
        return [(name, seen_of(entry, self._view.shown(entry))) for name, entry in group]
