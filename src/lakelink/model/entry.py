"""What is at a path on one side."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What kind of thing is at a path. PROBLEM: something is there that could not be looked at; nothing is known below it."""

    FILE = 0
    DIR = 1
    SYMLINK = 2
    OTHER = 3  # device, FIFO, socket: reported, never synced
    PROBLEM = 4


_KIND_OF_FORMAT = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIR, stat.S_IFLNK: Kind.SYMLINK}
_FORMAT_OF_KIND = {kind: fmt for fmt, kind in _KIND_OF_FORMAT.items()}


def kind_of_mode(mode: int) -> Kind:
    """The kind that the type bits of an `st_mode` name."""
    return _KIND_OF_FORMAT.get(stat.S_IFMT(mode), Kind.OTHER)


def type_bits(kind: Kind) -> int:
    """The type bits of `st_mode` for a kind; 0 where there is none."""
    return _FORMAT_OF_KIND.get(kind, 0)


@dataclass(frozen=True, slots=True)
class Posix:
    """POSIX metadata. `mode` holds permission bits only (0o7777); times are nanoseconds since the epoch."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int


@dataclass(frozen=True, slots=True)
class Version:
    """Names one state of a path on one side, so that it can be required before a change.

    Files: `ino`, `size_bytes`, `time_ns` = mtime (ctime is a hint; st_dev changes over a remount, never use it).
    Lake: `etag`, `size_bytes`, `time_ns` = Last-Modified, `version_id` where there is one. A metadata-only copy moves
    Last-Modified and not the ETag: one HEAD tells.
    """

    size_bytes: int
    time_ns: int
    ino: int = 0
    etag: str = ""
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class Expect:
    """A precondition. `Expect(version)`: what is there is still that. `Expect(None)`: nothing is there."""

    version: Version | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes are of a file that holds none: a location, as its `LocationSpec` names it (NAME:url or url), a path in it, and the version there.

    `version.etag` "" means that whatever is there will do; `time_ns` is its Last-Modified (lake) or mtime.
    """

    location: str
    path: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is at a path on one side, as a value.

    `posix` is None where the side does not know it (a foreign object). `digest` is `algorithm:bytes` (b"md5:…"), b"" where it is not known, never "empty file".
    `attributes` are foreign metadata of an object (content type, user metadata …) that a rewrite keeps.
    `resident` False: its bytes are not here. With an `origin` it is a stub that stands for them; without, the file is one hole of which nobody
    knows whether zeros were meant. A resident file with an `origin` was loaded from there and not changed since. `target` is the target of a symlink,
    where it has been read.
    """

    kind: Kind
    size_bytes: int = 0
    posix: Posix | None = None
    version: Version | None = None
    digest: bytes = b""
    resident: bool = True
    origin: Origin | None = None
    target: str | None = None
    attributes: Mapping[str, str] | None = None


class Row(NamedTuple):
    """One path of a scan: the columns of an `Entry` that a listing gives for free. At a million paths an object each is what costs.

    `mtime_ns`, `mode` (permission bits), `uid`, `gid` are -1 where the listing does not carry them. `time_ns` and `ident` are the
    version: mtime and inode number for files, Last-Modified and ETag for the lake. In the lake a symlink is listed as a FILE, since only its
    metadata tells. An implicit directory of the lake (keys below it, no marker) has an empty `ident` and mtime -1.
    """

    path: str
    kind: Kind
    size_bytes: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int
    time_ns: int
    ident: int | str

    @property
    def version(self) -> Version:
        """The version that this row saw."""
        if isinstance(self.ident, int):
            return Version(self.size_bytes, self.time_ns, ino=self.ident)
        return Version(self.size_bytes, self.time_ns, etag=self.ident)
