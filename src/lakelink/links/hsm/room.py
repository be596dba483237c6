"""Room on the disk for what is being loaded: what is promised to loads under way counts as taken, and who asks for more lets others be released."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lakelink.errors import NoSpace
from lakelink.links.hsm.base import Fill
from lakelink.model.units import format_bytes


class DiskRoom:
    """The room of one file system. `evict(bytes)` releases what it may, and answers whether anything was."""

    def __init__(self, fill: Callable[[], Fill], keep_free_bytes: int, evict: Callable[[int], Awaitable[bool]]) -> None:
        self._fill = fill
        self._keep_free_bytes = keep_free_bytes
        self._evict = evict
        self._promised_bytes = 0
        self._lock = asyncio.Lock()

    async def take(self, size_bytes: int) -> None:
        """There is room for so many bytes; `give` them back when they are written, or not wanted any more.

        Below what is kept free is only gone where nothing more may be released.

        Raises:
            NoSpace: there is none, and nothing may be released.
        """
        if self._missing(size_bytes) > 0:
            async with self._lock:
                while (missing := self._missing(size_bytes)) > 0 and await self._evict(missing):
                    pass
        left = self._fill().available_bytes - self._promised_bytes - size_bytes
        if left < 0:
            raise NoSpace(
                f"{format_bytes(-left)} are missing on the disk, and nothing may be released",
                hint="Remove files, or release some: lakelink link release.",
            )
        self._promised_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """These bytes count in the file system's own figures now, or will not come."""
        self._promised_bytes -= size_bytes

    def _missing(self, size_bytes: int) -> int:
        return self._keep_free_bytes - (self._fill().available_bytes - self._promised_bytes - size_bytes)
