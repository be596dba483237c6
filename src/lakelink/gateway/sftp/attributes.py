"""Attributes of files on the wire, and as `ls -l` writes them."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass, replace

from lakelink.gateway.sftp.wire import UINT32, UINT64, Fields, Malformed, string
from lakelink.model.entry import Entry, Kind, Posix, type_bits

SIZE = 0x01
OWNER = 0x02
PERMISSIONS = 0x04
TIMES = 0x08
EXTENDED = 0x80000000
SECOND_NS = 1_000_000_000
_MAX_EXTENDED = 64
_MAX_UINT32 = (1 << 32) - 1
_HALF_YEAR_S = 182 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a client names; None = not said. Times in seconds, as version 3 has them."""

    size_bytes: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    atime_s: int | None = None
    mtime_s: int | None = None

    @property
    def is_empty(self) -> bool:
        return self == _NOTHING

    def on(self, posix: Posix) -> Posix:
        """The metadata with what is said here. Owners are the gateway's business, never the client's."""
        changed = posix
        if self.mode is not None:
            changed = replace(changed, mode=stat.S_IMODE(self.mode) & 0o777)
        if self.mtime_s is not None:
            changed = replace(changed, mtime_ns=self.mtime_s * SECOND_NS)
        if self.atime_s is not None:
            changed = replace(changed, atime_ns=self.atime_s * SECOND_NS)
        return changed


_NOTHING = Attributes()


def read_attributes(fields: Fields) -> Attributes:
    """The attributes that stand next in the packet.

    Raises:
        Malformed: they are cut short, or have more extended pairs than any client sends.
    """
    flags = fields.uint32()
    size = fields.uint64() if flags & SIZE else None
    uid, gid = (fields.uint32(), fields.uint32()) if flags & OWNER else (None, None)
    mode = fields.uint32() if flags & PERMISSIONS else None
    atime, mtime = (fields.uint32(), fields.uint32()) if flags & TIMES else (None, None)
    if flags & EXTENDED:
        count = fields.uint32()
        if count > _MAX_EXTENDED:
            raise Malformed("too many extended attributes")
        for _ in range(count):
            fields.string(), fields.string()
    return Attributes(size_bytes=size, uid=uid, gid=gid, mode=mode, atime_s=atime, mtime_s=mtime)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client is shown of one path."""

    kind: Kind
    size_bytes: int
    posix: Posix

    def encode(self) -> bytes:
        """As the attributes of an answer."""
        p = self.posix
        return b"".join(
            (
                UINT32.pack(SIZE | OWNER | PERMISSIONS | TIMES),
                UINT64.pack(self.size_bytes),
                UINT32.pack(p.uid & _MAX_UINT32),
                UINT32.pack(p.gid & _MAX_UINT32),
                UINT32.pack(type_bits(self.kind) | p.mode),
                UINT32.pack(_seconds(p.atime_ns)),
                UINT32.pack(_seconds(p.mtime_ns)),
            )
        )

    def long_name(self, name: str, now_s: float) -> str:
        """The line of `ls -l`, which clients show, and some old ones parse."""
        p = self.posix
        mode = stat.filemode(type_bits(self.kind) | p.mode)
        seconds = _seconds(p.mtime_ns)
        recent = abs(now_s - seconds) < _HALF_YEAR_S
        when = time.strftime("%b %d %H:%M" if recent else "%b %d  %Y", time.gmtime(seconds))
        return f"{mode} {1:>4} {p.uid:<8} {p.gid:<8} {self.size_bytes:>8} {when} {name}"


def _seconds(time_ns: int) -> int:
    return min(max(time_ns // SECOND_NS, 0), _MAX_UINT32)


def encode_name(name: str, seen: Seen | None, now_s: float = 0.0) -> bytes:
    """One name of a NAME answer; without `seen` one that only says a path."""
    raw = name.encode("utf-8", "surrogateescape")
    if seen is None:
        return string(raw) + string(raw) + UINT32.pack(0)
    long_name = seen.long_name(name, now_s).encode("utf-8", "surrogateescape")
    return string(raw) + string(long_name) + seen.encode()


def seen_of(entry: Entry, default: Posix) -> Seen:
    """What is shown of an entry; `default` where nothing is known of its owner, mode or times."""
    posix = entry.posix
    if posix is None:
        time_ns = entry.version.time_ns if entry.version and entry.version.time_ns > 0 else default.mtime_ns
        posix = replace(default, mtime_ns=time_ns, atime_ns=time_ns)
    return Seen(entry.kind, entry.size_bytes, posix)
