"""Files that a power failure left torn: an import had put them in place, and their bytes had not reached the disk."""

from __future__ import annotations

from lakelink.core.delta import Delta, delta
from lakelink.core.residency import is_stub
from lakelink.engine.contents import open_content
from lakelink.engine.digest import digest
from lakelink.errors import LakelinkError
from lakelink.links.observe import Look
from lakelink.locations.base import Location
from lakelink.locations.content import CHUNK_BYTES, Content
from lakelink.model.entry import Entry, Kind, Version
from lakelink.model.link import Agreed
from lakelink.model.plan import Verb

PLACING = frozenset({Verb.IMPORT.value, Verb.KEEP_BOTH.value, Verb.TAKE_LAKE.value})
"""Verbs that put the lake's version at the path."""
APART = frozenset({Verb.EXPORT, Verb.TAKE_FILES, Verb.HOLD, Verb.STAND})
"""Verbs that take a file for what somebody wrote. One that may be torn is kept apart instead: a conflict copy holds it, and the lake's side stays."""
_BLOCK_BYTES = 512


async def is_doubtful(look: Look, etag: str, files: Location) -> bool:
    """Whether the file may be a part of the object with that ETag, which an import was putting there when it was cut off; whatever the lake holds
    by now. Both sides were looked at.

    What both sides agreed on before says nothing about such a file, and `look.base` is cleared. A file that is the whole object is what both
    would have agreed on, and becomes `look.base`.
    """
    mine, base = look.files, look.base
    if base is not None and delta(base.files, mine) is Delta.SAME:
        return False  # it had not come that far
    if mine is None:
        if isinstance(look.lake, Entry):
            look.base = None  # making way for it may be what took the file away: no deletion of anybody's
        return False
    if not isinstance(mine, Entry) or mine.kind is not Kind.FILE or not mine.resident or is_stub(mine):
        return False
    if not await is_object(look.path, files, mine, etag):
        look.base = None
        return True
    theirs = look.lake.version if isinstance(look.lake, Entry) else None
    if theirs is None or theirs.etag != etag:
        version = Version(mine.size_bytes, 0, etag=etag)
        look.base = Agreed(mine, Entry(kind=Kind.FILE, size_bytes=mine.size_bytes, version=version))
    return False


async def is_object(path: str, location: Location, entry: Entry, etag: str) -> bool:
    """Whether the file has surely the bytes of the object with this ETag."""
    if entry.kind is not Kind.FILE or not is_md5(etag):
        return False
    try:
        found = await digest(await open_content(path, location, entry), "md5")
    except LakelinkError:
        return False  # it moved again: whoever works on it finds out
    return found.hex() == etag


def is_md5(etag: str) -> bool:
    """Whether it looks like one."""
    return len(etag) == 32 and not etag.strip("0123456789abcdef")


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
