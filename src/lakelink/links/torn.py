"""Files that a power failure left torn: an import had put them in place, and their bytes had not reached the disk."""

from __future__ import annotations

from lakelink.engine.contents import open_content
from lakelink.locations.base import Location
from lakelink.locations.content import CHUNK_BYTES, Content
from lakelink.model.entry import Entry, Kind
from lakelink.model.plan import Verb

PLACING = frozenset({Verb.IMPORT.value, Verb.KEEP_BOTH.value, Verb.TAKE_LAKE.value})
"""Verbs that put the lake's version at the path."""
_BLOCK_BYTES = 512


async def is_torn_copy(path: str, files: tuple[Location, Entry], lake: tuple[Location, Entry]) -> bool:
    """Whether the file holds nothing but a part of the object, with zeros for what is missing: what a file system leaves that had written the
    name, and not the bytes yet. Nothing is lost with it.

    Raises:
        LakelinkError: a side could not be read as the version observed; nothing is known.
    """
    mine, theirs = files[1], lake[1]
    if not mine.resident or (mine.kind, theirs.kind) != (Kind.FILE, Kind.FILE) or mine.size_bytes > theirs.size_bytes:
        return False
    here, there = await open_content(path, *files), await open_content(path, *lake)
    for start in range(0, mine.size_bytes, CHUNK_BYTES):
        end = min(start + CHUNK_BYTES, mine.size_bytes)
        part = await _range(here, start, end)
        if part.count(0) != len(part) and not _is_part(part, await _range(there, start, end)):
            return False
    return True


async def _range(content: Content, start: int, end: int) -> bytes:
    return b"".join([bytes(chunk) async for chunk in content.chunks(start, end)])


def _is_part(torn: bytes, whole: bytes) -> bool:
    """Each block of one is that of the other, or zeros; the last may be cut, and then zeros."""
    if len(torn) != len(whole):
        return False
    if torn == whole:
        return True
    for at in range(0, len(torn), _BLOCK_BYTES):
        block = torn[at : at + _BLOCK_BYTES].rstrip(b"\0")
        if not whole.startswith(block, at):
            return False
    return True
