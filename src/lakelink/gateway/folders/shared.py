"""What the sessions of one process share: open locations, what was seen a moment ago, room for buffers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from lakelink.gateway.folders.ahead import Ahead
from lakelink.gateway.folders.known import Known
from lakelink.handles.open import Memory
from lakelink.handles.room import Room
from lakelink.handles.spool import Spool
from lakelink.locations.base import Location
from lakelink.ports.clock import Clock, SystemClock

MIB = 1 << 20
OnChanged: TypeAlias = Callable[[str, str, bool], None]
"""Hears, at once and without waiting, that something at this path of a location may be another than it was: `Folder.location`, path, all below it."""


def nobody(_location: str, _path: str, _subtree: bool) -> None:
    """Nobody wants to know."""


Opener: TypeAlias = Callable[[str], Awaitable[Location]]
"""The location that a text of `Folder.location` names, writable, ready for its verbs. Called once per text and process; closed by `Shared.aclose`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptions:
    """Bounds of a process, over all its sessions."""

    spool_directory: str = ""  # for uploads that do not come in order; "" = the system's temporary directory
    spool_bytes: int = 10 << 30  # of all spooled uploads together
    buffer_bytes: int = (
        256 * MIB
    )  # of all bytes held in memory for uploads and read ahead; beyond it uploads are spooled
    rename_replaces: bool = False  # a plain RENAME replaces what is there, as posix-rename@openssh.com always does
    makes_symlinks: bool = False  # clients may make symbolic links; they never lead out of the folder
    on_changed: OnChanged = nobody
    on_upload: OnChanged = nobody  # to a store: location, path, whether it is under way from now on or over


class Shared:
    """One per process. Close it after the last session has ended."""

    def __init__(self, options: SharedOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or SharedOptions()
        self.clock = clock or SystemClock()
        self.memory = Memory(
            Spool(self.options.spool_directory, Room(self.options.spool_bytes)), Room(self.options.buffer_bytes)
        )
        self.known = Known(self.clock)
        self.ahead = Ahead(self.known, self.memory.room, self.clock)
        self.usage: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()  # see `quota`
        self._locations: dict[str, Location] = {}
        self._opening = asyncio.Lock()

    async def location(self, text: str, opener: Opener) -> Location:
        """The open location of that text.

        Raises:
            LakelinkError: it cannot be opened; the next call tries again.
        """
        found = self._locations.get(text)
        if found is None:
            async with self._opening:
                found = self._locations.get(text)
                if found is None:
                    found = self._locations[text] = await opener(text)
        return found

    async def aclose(self) -> None:
        """Close all locations. Idempotent."""
        await self.ahead.aclose()
        while self._locations:
            await self._locations.popitem()[1].aclose()
