"""What became of one side of a path since both sides were last equal: pure, from two observations of the same side."""

from __future__ import annotations

from enum import Enum

from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Unknown


class Delta(Enum):
    """A side, compared with its own past. Sides are never compared by their clocks."""

    SAME = "same"  # also: absent then and now
    NEW = "new"
    CONTENT = "content"  # other bytes, another link target, or another kind
    METADATA = "metadata"
    DELETED = "deleted"
    STALE = "stale"  # a stub of its own object, of another version than the one agreed on: no byte of this side's own
    UNKNOWN = "unknown"


def delta(then: Entry | None, now: Entry | Unknown | None) -> Delta:
    """How `now` differs from `then`, both of the same side."""
    if isinstance(now, Unknown) or (now is not None and now.kind is Kind.PROBLEM):
        return Delta.UNKNOWN
    if now is None:
        return Delta.SAME if then is None else Delta.DELETED
    if then is None:
        return Delta.NEW
    if then.kind is not now.kind:
        return Delta.CONTENT
    # The same kind of thing is there, then and now.
    if now.kind is Kind.FILE and not _same_bytes(then, now):
        return Delta.CONTENT
    if now.kind is Kind.SYMLINK and then.target != now.target:
        return Delta.CONTENT
    told = (
        then.posix is None and now.posix is not None
    )  # an object that had none was given metadata; one that lost it says nothing any more
    return Delta.SAME if same_posix(then, now) and not told else Delta.METADATA


def _same_bytes(then: Entry, now: Entry) -> bool:
    if then.size_bytes != now.size_bytes:
        return False
    if then.version is not None and now.version is not None:
        if now.version.etag or then.version.etag:
            # An ETag names content; Last-Modified also moves with a metadata-only copy.
            if then.version.etag == now.version.etag:
                return True
        elif then.version == now.version:
            return True
    return known_equal(then, now) is True


def known_equal(one: Entry, other: Entry) -> bool | None:
    """Whether two things hold the same content, as far as is known without reading: None = their digests do not tell."""
    if one.kind is not other.kind:
        return False
    if one.kind is Kind.DIR:
        return True
    if one.kind is Kind.SYMLINK:
        return one.target == other.target
    if one.size_bytes != other.size_bytes:
        return False
    if one.size_bytes == 0:
        return True
    if stands_for(one, other) or stands_for(other, one):
        return True
    if not (one.resident and other.resident):
        return None  # a stub has the bytes of the version that it names; nothing of it is ever read to find out more
    mine, theirs = one.digest.partition(b":"), other.digest.partition(b":")
    if mine[1] and theirs[1] and mine[0] == theirs[0]:
        return mine[2] == theirs[2]
    return None


def stands_for(file: Entry, object_: Entry) -> bool:
    """Whether a file's bytes, here or not, are known to be those of this object, as it was seen. An ETag names content."""
    origin, version = file.origin, object_.version
    if origin is None or version is None or not version.etag:
        return False
    return origin.version.etag == version.etag and file.size_bytes == origin.version.size_bytes == version.size_bytes


def same_posix(one: Entry, other: Entry) -> bool:
    """Whether both carry the same metadata, as far as both know it. Access times do not count, nor a symlink's mode, nor the time of a
    directory: what happens inside it moves that.
    """
    mine, theirs = one.posix, other.posix
    if mine is None or theirs is None:
        return True
    if (mine.uid, mine.gid) != (theirs.uid, theirs.gid):
        return False
    if one.kind is not Kind.DIR and mine.mtime_ns != theirs.mtime_ns:
        return False
    return one.kind is Kind.SYMLINK or mine.mode == theirs.mode
