"""How one path of the source relates to the same path of the target: pure, from two rows of two scans and what was remembered.

The source rules. What the index remembers is only ever used to say "nothing changed on either side since both were equal"; it is never a
reason to write. Whatever the rows alone cannot decide is LOOK: ask the side that does not list its metadata, then compare entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lakelink.model.entry import Entry, Kind, Posix, Row, Version

LAKE_TIME_SLACK_NS: Final = 2_000_000_000
"""A store's Last-Modified is whole seconds, and a write's own answer gives only its Date, which comes after it: so much earlier than that
is the same time. Later never is: somebody else changed the metadata right after the write.
"""

LAKE_KINDS: Final = frozenset({Kind.FILE, Kind.SYMLINK})
"""A listing of the lake cannot tell these apart; metadata does."""


_LETTER: Final = ("f", "d", "l", "o", "p")  # by Kind
_LAKE_FIELDS: Final = 3


class Verdict(Enum):
    """What has to happen to the target's path."""

    SAME = "same"
    COPY = "copy"  # content, and metadata with it
    METADATA = "metadata"
    REPLACE = "replace"  # another kind of thing is there
    LOOK = "look"  # the rows do not tell: stat, then `compare_entries`
    CONTENT = "content"  # same size, nothing else known: compare the bytes


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as a difference in this run."""

    posix: bool = True  # mode and times (and owner) are kept
    owner: bool = True  # the target can hold an owner (root, or a lake)
    checksum: bool = False  # compare content whenever sizes are equal


def seal(row: Row) -> str:
    """A row's state as text without its path: equal text, equal state. `sealed` reads it back.

    Where the listing tells the metadata, the time of the version is the mtime; where it does not, there is only that time.
    """
    _, kind, size, mtime, mode, uid, gid, time, ident = row
    if mode < 0:
        return f"{_LETTER[kind]} {size} {time} {ident}"
    return f"{_LETTER[kind]} {size} {mtime} {mode} {uid} {gid} {ident}"


def sealed(path: str, text: str) -> Row:
    """The row that `seal` wrote."""
    letter, *fields = text.split(" ")
    kind = Kind(_LETTER.index(letter))
    if len(fields) == _LAKE_FIELDS:
        size, time, etag = fields
        return Row(path, kind, int(size), -1, -1, -1, -1, int(time), etag)
    size, mtime, mode, uid, gid, ino = fields
    return Row(path, kind, int(size), int(mtime), int(mode), int(uid), int(gid), int(mtime), int(ino))


def settled(text: str, before_ns: int) -> str:
    """The seal, without its time where it is a version of the lake as young as `before_ns`: no row matches that."""
    fields = text.split(" ")
    if len(fields) == _LAKE_FIELDS + 1 and int(fields[2]) >= before_ns:
        fields[2] = "0"
        return " ".join(fields)
    return text


def matches(now: Row, then: Row) -> bool:
    """Whether a side is still in the state remembered for it, within what its listing can tell."""
    if now[1:] == then[1:]:
        return True
    return (
        isinstance(now.ident, str)
        and now.ident == then.ident
        and now.ident != ""
        and now.size_bytes == then.size_bytes
        and now.kind == then.kind
        and 0 <= then.time_ns - now.time_ns <= LAKE_TIME_SLACK_NS
    )


def same_kind(source: Row, target: Row) -> bool:
    """Whether both rows can be the same kind of thing, as far as listings tell."""
    if source.kind == target.kind:
        return True
    lists_metadata = source.mode >= 0 and target.mode >= 0
    return not lists_metadata and source.kind in LAKE_KINDS and target.kind in LAKE_KINDS


def compare_rows(source: Row, target: Row, rule: Rule) -> Verdict:
    """The verdict without a memory. Both rows have the same path; neither is a PROBLEM."""
    if not same_kind(source, target):
        return Verdict.REPLACE
    if source.kind is Kind.DIR and (not rule.posix or source.ident == ""):
        return Verdict.SAME  # an implicit directory of the lake has no metadata to demand
    # Neither is a directory of which only existence counts; a size says nothing about a directory.
    if source.kind is not Kind.DIR:
        if source.size_bytes != target.size_bytes and source.kind == target.kind:
            return Verdict.COPY
        if rule.checksum or not rule.posix:
            return Verdict.LOOK
    if source.mode < 0 or target.mode < 0 or source.kind is Kind.SYMLINK:
        return Verdict.LOOK
    # Both list their metadata, and the sizes are equal.
    if source.kind is Kind.FILE and source.mtime_ns != target.mtime_ns:
        return Verdict.COPY
    return Verdict.SAME if _same_metadata_rows(source, target, rule) else Verdict.METADATA


def _same_metadata_rows(source: Row, target: Row, rule: Rule) -> bool:
    if source.mode != target.mode or source.mtime_ns != target.mtime_ns:
        return False
    return not rule.owner or (source.uid == target.uid and source.gid == target.gid)


def entry_of(row: Row, atime_ns: int | None = None) -> Entry:
    """The entry that a row with listed metadata describes. An access time that nobody tells is taken to be that of the last change."""
    atime_ns = row.mtime_ns if atime_ns is None else atime_ns
    posix = Posix(row.mode, row.uid, row.gid, row.mtime_ns, atime_ns) if row.mode >= 0 else None
    return Entry(kind=row.kind, size_bytes=row.size_bytes, posix=posix, version=row.version)


def row_of(path: str, entry: Entry, *, listed: bool) -> Row:
    """The row that a scan would show for this entry, on a side that lists its metadata or does not."""
    version = entry.version or Version(entry.size_bytes, 0)
    if listed and entry.posix is not None:
        posix = entry.posix
        return Row(
            path,
            entry.kind,
            entry.size_bytes,
            posix.mtime_ns,
            posix.mode,
            posix.uid,
            posix.gid,
            version.time_ns,
            version.ino,
        )
    kind = Kind.FILE if entry.kind is Kind.SYMLINK else entry.kind
    return Row(path, kind, entry.size_bytes, -1, -1, -1, -1, version.time_ns, version.etag)


def compare_entries(source: Entry, target: Entry, rule: Rule) -> Verdict:
    """The verdict after both sides were looked at closely: kinds, sizes, link targets and metadata are known as far as they exist."""
    if source.kind is not target.kind:
        return Verdict.REPLACE
    if source.kind is Kind.SYMLINK and source.target != target.target:
        return Verdict.COPY
    if source.kind is Kind.FILE:
        if source.size_bytes != target.size_bytes:
            return Verdict.COPY
        if rule.checksum or not rule.posix:
            return Verdict.CONTENT
        if source.posix is None or target.posix is None:
            # A foreign object: its time of writing is not the file's. Only the bytes can tell.
            return Verdict.CONTENT
        if source.posix.mtime_ns != target.posix.mtime_ns:
            return Verdict.COPY
    if not rule.posix:
        return Verdict.SAME
    return Verdict.SAME if same_metadata(source, target, rule) else Verdict.METADATA


def same_metadata(source: Entry, target: Entry, rule: Rule) -> bool:
    """Whether the target holds the metadata that the source has. A source without metadata demands none."""
    mine, theirs = source.posix, target.posix
    if mine is None:
        return True
    if theirs is None:
        return False
    if mine.mtime_ns != theirs.mtime_ns:
        return False
    # A symlink's mode means nothing on Linux and cannot be set.
    if source.kind is not Kind.SYMLINK and mine.mode != theirs.mode:
        return False
    return not rule.owner or (mine.uid == theirs.uid and mine.gid == theirs.gid)
