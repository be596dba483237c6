"""Between the values of the model and the rows of a link's journal."""

from __future__ import annotations

from typing import Any

from lakelink.model.entry import Entry, Kind, Posix, Version
from lakelink.model.link import Agreed
from lakelink.model.path import is_utf8, to_bytes

SECOND_NS = 1_000_000_000
Stored = str | bytes
BaseRow = tuple[Any, ...]

BASE_COLUMNS = (
    "path, kind, f_size, f_ino, f_mtime, f_mode, f_uid, f_gid, "
    "l_size, l_time, l_etag, l_version, l_mode, l_uid, l_gid, l_mtime, digest, target"
)
YOUNG_NS = 3 * SECOND_NS
"""A version of the lake is young for so long: its Last-Modified is whole seconds, and a change of its metadata within the same one does not show in
a listing. The base of a young one has a time that no listing has (one nanosecond later), so that the next survey asks for it once more.
"""
_UNKNOWN_POSIX = (-1, -1, -1, -1)
_MAX_INTEGER = (1 << 63) - 1
_NO_POSIX = Posix(0, 0, 0, 0, 0)
_NO_VERSION = Version(0, 0)


def stored(path: str) -> Stored:
    """A path as SQLite holds it: text where it is UTF-8, else the bytes of the name."""
    return path if path.isascii() or is_utf8(path) else to_bytes(path)


def loaded(path: Stored) -> str:
    """The path that `stored` stands for."""
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


def bounds_below(path: str) -> tuple[Any, Any, Any, Any]:
    """The bounds of all paths below a directory: as text, and as bytes, which sort behind every text."""
    if not path:
        return "", b"", b"", b"\xff" * 4097  # any text sorts below every blob, and no path is as long
    raw = path.encode("utf-8", "surrogateescape")
    text = path if isinstance(stored(path), str) else None
    return (f"{text}/" if text else None, f"{text}0" if text else None, raw + b"/", raw + b"0")


def base_row(path: str, agreed: Agreed, now_ns: int) -> BaseRow:
    """The row of one path that both sides agree on."""
    files, lake = agreed.files, agreed.lake
    mine, theirs = files.version or _NO_VERSION, lake.version or _NO_VERSION
    posix, other = files.posix or _NO_POSIX, lake.posix
    # A foreign object can claim any time; what SQLite has no room for no file system can hold either.
    metadata = _UNKNOWN_POSIX if other is None else (other.mode, other.uid, other.gid, _bounded(other.mtime_ns))
    target = files.target if files.kind is Kind.SYMLINK else None
    return (
        stored(path),
        int(files.kind),
        files.size_bytes,
        mine.ino,
        posix.mtime_ns,
        posix.mode,
        posix.uid,
        posix.gid,
        lake.size_bytes,
        _settled_time(theirs, now_ns),
        theirs.etag,
        theirs.version_id,
        *metadata,
        lake.digest or files.digest,
        None if target is None else to_bytes(target),
    )


def _settled_time(version: Version, now_ns: int) -> int:
    whole = version.time_ns - version.time_ns % SECOND_NS
    return whole + 1 if version.etag and now_ns - whole < YOUNG_NS else whole


def _bounded(number: int) -> int:
    return min(max(number, -_MAX_INTEGER), _MAX_INTEGER)


def agreed_of(row: BaseRow) -> Agreed:
    """What `base_row` wrote. Access times are not remembered."""
    _, number, f_size, f_ino, f_mtime, f_mode, f_uid, f_gid, l_size, l_time, etag, version_id, *rest = row
    l_mode, l_uid, l_gid, l_mtime, digest, link = rest
    kind = Kind(number)
    target = None if link is None else loaded(link)
    files = Entry(
        kind=kind,
        size_bytes=f_size,
        posix=Posix(f_mode, f_uid, f_gid, f_mtime, f_mtime),
        version=Version(f_size, f_mtime, ino=f_ino),
        digest=digest,
        target=target,
    )
    lake = Entry(
        kind=kind,
        size_bytes=l_size,
        posix=None if l_mode < 0 else Posix(l_mode, l_uid, l_gid, l_mtime, l_mtime),
        version=Version(l_size, l_time, etag=etag, version_id=version_id) if etag else None,
        digest=digest,
        target=target,
    )
    return Agreed(files, lake)
