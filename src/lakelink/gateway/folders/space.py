"""How much fits: of a quota, of a file system, or more than anybody asks for."""

from __future__ import annotations

import asyncio
import os

from lakelink.gateway.folders.places import Places
from lakelink.gateway.folders.quota import used_bytes
from lakelink.locations.resolve import local_path

BOUNDLESS_BYTES = 1 << 50


async def space_of(places: Places, path: str) -> tuple[int, int]:
    """(all, free) bytes of the folder that holds the path.

    Raises:
        NotFound: nothing can be there.
    """
    if places.spot(path).folder is None:
        return BOUNDLESS_BYTES, BOUNDLESS_BYTES
    place = await places.place(path)
    if place.folder.quota_bytes:
        return place.folder.quota_bytes, max(0, place.folder.quota_bytes - await used_bytes(places, place))
    if not place.location.traits.local:
        return BOUNDLESS_BYTES, BOUNDLESS_BYTES
    try:
        found = await asyncio.to_thread(os.statvfs, local_path(place.location.spec))
    except OSError:
        return BOUNDLESS_BYTES, BOUNDLESS_BYTES
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
