"""What a file without bytes of its own means to a link: pure, from what was seen.

A stub counts as its base until it is written to: it stands for one version of one object, and has no byte that the lake has not. A file that is one
hole, carries no mark of ours and has the size of its object may be a stub that lost its mark (a restored or copied tree): its bytes are unknown, and
nothing is concluded from it. Any other hole is what it looks like, zeros.
"""

from __future__ import annotations

from lakelink.core.delta import Delta, delta, same_posix, stands_for
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import UNKNOWN, Agreed, Unknown


def settled(files: Entry | Unknown | None, lake: Entry | Unknown | None, base: Agreed | None) -> Entry | Unknown | None:
    """What is known of the files side, once the other side and the base were seen too: UNKNOWN where a hole may stand for an object."""
    if not isinstance(files, Entry) or not is_doubtful_hole(files):
        return files
    objects = (lake, base.lake if base else None)
    if any(isinstance(each, Entry) and each.size_bytes == files.size_bytes for each in objects):
        return UNKNOWN
    return files


def is_doubtful_hole(entry: Entry | Unknown | None) -> bool:
    """Whether it is one hole and bears no mark: it may stand for an object, or be what it looks like."""
    return isinstance(entry, Entry) and not entry.resident and entry.origin is None


def is_stub(entry: Entry | Unknown | None) -> bool:
    """Whether it stands for bytes that are elsewhere."""
    return isinstance(entry, Entry) and not entry.resident and entry.origin is not None


def files_delta(path: str, base: Agreed | None, files: Entry | Unknown | None) -> Delta:
    """As `delta` of the files side, for what is or was a stub."""
    if not isinstance(files, Entry) or files.origin is None or base is None:
        return delta(base.files if base else None, files)
    # A stub, or what was loaded for one, where both sides agreed on something before.
    if base.files.kind is Kind.FILE and stands_for(files, base.lake):
        return Delta.SAME if same_posix(base.files, files) else Delta.METADATA
    if files.resident:
        return delta(base.files, files)
    return Delta.STALE if files.origin.path == path else Delta.CONTENT


def is_outdated(path: str, files: Entry, lake: Entry) -> bool:
    """Whether a stub names another version of its own object than the one that is there: the lake has moved on, and it has nothing to say."""
    origin = None if files.resident else files.origin
    return origin is not None and origin.path == path and not stands_for(files, lake)
