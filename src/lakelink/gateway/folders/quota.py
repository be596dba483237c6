"""How much may be stored below a folder.

What is there is counted by a listing, which is remembered for a while and kept up with what this process stores and removes. Several
processes count apart, so that together they may go over by what they store within that while.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.errors import NoSpace
from lakelink.gateway.folders.places import Place, Places
from lakelink.gateway.folders.shared import Shared
from lakelink.model.account import Folder
from lakelink.model.entry import Entry, Kind

COUNT_FRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class Quota:
    """How long one file may become."""

    folder: Folder
    limit_bytes: int | None

    @classmethod
    async def of(cls, places: Places, place: Place, before: Entry | None) -> Quota:
        """For a file that replaces `before`.

        Raises:
            NoSpace: nothing more may be stored.
        """
        if not place.folder.quota_bytes:
            return cls(place.folder, None)
        used = await used_bytes(places, place)
        left = place.folder.quota_bytes - used + (before.size_bytes if before else 0)
        if left <= 0:
            raise NoSpace(f"the quota of {place.folder.path} is used up")
        return cls(place.folder, left)

    def require(self, size_bytes: int) -> None:
        """The file may become so long.

        Raises:
            NoSpace: it may not.
        """
        if self.limit_bytes is not None and size_bytes > self.limit_bytes:
            raise NoSpace(f"the quota of {self.folder.path} is used up")


async def used_bytes(places: Places, place: Place) -> int:
    """All bytes of files below the folder."""
    shared, key = places.shared, (place.folder.location, "")
    found = shared.usage.get(key)
    if found is not None and shared.clock.monotonic() - found[0] < COUNT_FRESH_S:
        return found[1]
    total = 0
    async for batch in place.location.scan():
        total += sum(row.size_bytes for row in batch.rows if row.kind is Kind.FILE)
    shared.usage[key] = (shared.clock.monotonic(), total)
    return total


def count(shared: Shared, place: Place, change_bytes: int) -> None:
    """So much more, or less, is stored there now."""
    key = (place.folder.location, "")
    found = shared.usage.get(key)
    if found is not None:
        shared.usage[key] = (found[0], found[1] + change_bytes)
