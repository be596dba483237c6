"""What the sessions of one process share: open locations, uploads in progress, attributes seen a moment ago, room for buffers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from lakelink.locations.base import Location

MIB = 1 << 20

Opener: TypeAlias = Callable[[str], Awaitable[Location]]
"""The location that a text of `Folder.location` names, ready for its verbs. Called once per text and process; closed by `Shared.aclose`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptions:
    """Bounds of a process, over all its sessions."""

    spool_directory: str = ""  # for uploads that do not come in order; "" = the system's temporary directory
    spool_bytes: int = 10 << 30  # of all spooled uploads together
    buffer_bytes: int = 256 * MIB  # of all bytes held in memory for uploads and read ahead


class Shared:
    """One per process. Close it after the last session has ended."""

    def __init__(self, options: SharedOptions | None = None) -> None:
        self.options = options or SharedOptions()
        self._locations: dict[str, Location] = {}

    async def aclose(self) -> None:
        """Close all locations. Idempotent."""
        while self._locations:
            await self._locations.popitem()[1].aclose()
