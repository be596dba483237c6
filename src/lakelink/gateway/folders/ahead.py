"""Small files fetched ahead of whoever opens the files of a directory in the order in which it was listed.

A client that gets a directory asks for one file after the other, and each would cost a round trip to the store. So the next ones are fetched while
it works on the one before, bounded in number and bytes, each as the version that the listing named. What is fetched is served once, within
`FRESH_S`, to an opening that names the same version, and to none that begins after the path was changed through this process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from lakelink.errors import LakelinkError
from lakelink.gateway.folders.known import FRESH_S, Known
from lakelink.handles.reader import MemoryReader, Reader, open_reader
from lakelink.handles.room import Room
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Version
from lakelink.ports.clock import Clock

Key: TypeAlias = tuple[str, str]
"""The text of a location, and a path below it."""


@dataclass(eq=False, slots=True)
class _Fetched:
    key: Key
    version: Version
    size_bytes: int
    at_s: float
    task: asyncio.Task[Reader | None]
    timer: asyncio.TimerHandle | None = None


class Ahead:
    """What was fetched ahead for all sessions of a process."""

    def __init__(self, known: Known, room: Room, clock: Clock) -> None:
        self._known = known
        self._room = room
        self._clock = clock
        self._items: dict[Key, _Fetched] = {}
        self._by_name: dict[str, set[Key]] = {}

    def has(self, key: Key) -> bool:
        """Whether the file is on its way, or here."""
        return key in self._items

    def size_bytes(self, key: Key) -> int:
        """What of it is held, or will be."""
        found = self._items.get(key)
        return found.size_bytes if found else 0

    def fetch(self, key: Key, location: Location, entry: Entry) -> bool:
        """That version of a file is on its way; False where there is no room for it."""
        if entry.version is None or key in self._items or not self._room.take(entry.size_bytes):
            return False
        task = asyncio.create_task(self._read(key, location, entry))
        item = _Fetched(key, entry.version, entry.size_bytes, self._clock.monotonic(), task)
        item.timer = asyncio.get_running_loop().call_later(FRESH_S, self._drop_item, item)
        self._items[key] = item
        self._by_name.setdefault(_name(key[1]), set()).add(key)
        return True

    async def take(self, key: Key, entry: Entry) -> Reader | None:
        """The file, if it was fetched as that version not long ago. It is handed out once."""
        item = self._items.get(key)
        if item is None:
            return None
        if item.version != entry.version or self._clock.monotonic() - item.at_s >= FRESH_S:
            self._drop_item(item)
            return None
        self._forget(item)
        # An opening that waits here began before whatever changes the file meanwhile.
        return await item.task

    def changed(self, path: str) -> None:
        """Something of that name may be another one now. Locations may overlap, so the name counts, wherever it is."""
        for key in list(self._by_name.get(_name(path), ())):
            self.drop(key)

    def changed_all(self) -> None:
        """Many paths may be others now."""
        for key in list(self._items):
            self.drop(key)

    def drop(self, key: Key) -> None:
        """It is not served any more. Repeatable."""
        item = self._items.get(key)
        if item is not None:
            self._drop_item(item)

    async def aclose(self) -> None:
        """Nothing is fetched any more. Idempotent."""
        tasks = [item.task for item in self._items.values()]
        self.changed_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: Key, location: Location, entry: Entry) -> Reader | None:
        try:
            reader = await open_reader(location, key[1], entry, self._room)
        except LakelinkError:
            return None  # whoever opens it finds out by himself
        if isinstance(reader, MemoryReader):
            if key in self._items:
                self._known.saw(*key, reader.entry)
            return reader
        await reader.aclose()
        return None

    def _drop_item(self, item: _Fetched) -> None:
        if self._items.get(item.key) is item:
            self._forget(item)
            item.task.cancel()

    def _forget(self, item: _Fetched) -> None:
        del self._items[item.key]
        names = self._by_name[_name(item.key[1])]
        names.discard(item.key)
        if not names:
            del self._by_name[_name(item.key[1])]
        if item.timer is not None:
            item.timer.cancel()
        self._room.give(item.size_bytes)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
