"""What a stub stands for, and how that is written into the one extended attribute that is its truth.

The attribute has to be small: a default ext4 inode has room for a value of 64 bytes under this name, and whatever does not fit takes a block of the
disk per stub. So the directory of the origin is a number of the table of places (`places`), an MD5 is 16 bytes, and numbers are varints.
docs/FORMAT.md specifies it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntFlag

from lakelink.model.entry import Origin as Origin  # noqa: PLC0414  # for those who speak of stubs
from lakelink.model.entry import Version

ATTRIBUTE = "trusted.lakelink"
FORMAT = 1
MAX_VALUE_BYTES = 4000

_SECOND_NS = 1_000_000_000
_TEXT, _MD5, _MULTIPART, _INODE = range(4)
_HEX = re.compile(r"([0-9a-f]{32})(?:-([1-9][0-9]{0,5}))?")


class Flags(IntFlag):
    """The state of a file, by the names and numbers of `lfs hsm_state`; the two of our own begin at 0x100."""

    EXISTS = 0x1  # a copy was begun in the lake, or is there
    DIRTY = 0x2  # changed here since; derived when looked at, never stored
    RELEASED = 0x4  # its bytes are not here: a stub
    ARCHIVED = 0x8  # the lake holds all of it
    NORELEASE = 0x10  # never released
    NOARCHIVE = 0x20
    LOST = 0x40  # what the stub stands for is gone from the lake
    MOVING = 0x100  # a load or a release is under way, or was when the power failed: the bytes are nobody's yet
    UNSYNCED = 0x200  # loaded and in use; not known to be on stable storage: after a power failure holes in it are missing bytes

    @property
    def is_stub(self) -> bool:
        return bool(self & Flags.RELEASED)


LOADED = Flags.EXISTS | Flags.ARCHIVED
STUB = LOADED | Flags.RELEASED
OWN = Flags.EXISTS
"""Alone, with a version that has no ETag: what is in the file is what it holds, holes and all. It never stood for anything, and somebody has said so."""


@dataclass(frozen=True, slots=True)
class Stub:
    """The content of the attribute: a stub, or a file that was one.

    `mtime_ns`: of the file here when it last was in step with its origin. A loaded file of another mtime or size is DIRTY; a load and a release
    keep mtime, size and inode, so that the file's `Version` here stays what the link has agreed on.
    """

    origin: Origin
    mtime_ns: int
    flags: Flags = STUB

    @property
    def size_bytes(self) -> int:
        return self.origin.version.size_bytes


@dataclass(frozen=True, slots=True)
class Coded:
    """A `Stub` with its place as a number."""

    place: int
    name: str
    version: Version
    mtime_ns: int
    flags: Flags


_DIRTY = int(Flags.DIRTY)
_BYTES = [bytes((number,)) for number in range(0x80)]


class Unreadable(ValueError):
    """The attribute is not one of ours, or of a later format: nothing may be concluded, and nothing done to the file."""


def encode(stub: Stub, place: int) -> bytes:
    """The value of the attribute; `place` is the number of the origin's location and directory.

    Raises:
        ValueError: longer than `MAX_VALUE_BYTES`.
    """
    version = stub.origin.version
    name = stub.origin.path.rpartition("/")[2]
    version_id = version.version_id.encode()
    value = b"%c%b%b%b%b%b%b%b%b%b" % (
        FORMAT,
        _number(int(stub.flags) & ~_DIRTY),
        _number(place),
        _number(version.size_bytes),
        _time(version.time_ns),
        _time(stub.mtime_ns - version.time_ns),
        _ident(version),
        _number(len(version_id)),
        version_id,
        name.encode("utf-8", "surrogateescape"),
    )
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"{len(value)} bytes do not fit into an attribute")
    return value


def decode(value: bytes) -> Coded:
    """What `encode` wrote.

    Raises:
        Unreadable: it did not.
    """
    if not value or value[0] != FORMAT:
        raise Unreadable(f"format {value[0] if value else 'none'}")
    try:
        flags, at = _read_number(value, 1)
        place, at = _read_number(value, at)
        size_bytes, at = _read_number(value, at)
        time_ns, at = _read_time(value, at)
        delta_ns, at = _read_time(value, at)
        (etag, ino), at = _read_ident(value, at)
        length, at = _read_number(value, at)
        version_id = _slice(value, at, length).decode()
        name = value[at + length :].decode("utf-8", "surrogateescape")
        version = Version(size_bytes, time_ns, ino=ino, etag=etag, version_id=version_id)
        return Coded(place, name, version, time_ns + delta_ns, Flags(flags))
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise Unreadable(str(error)) from error


def flags_of(value: bytes) -> Flags:
    """The flags alone, which is quick; nothing is said of the rest.

    Raises:
        Unreadable: `encode` did not write it.
    """
    if not value or value[0] != FORMAT:
        raise Unreadable(f"format {value[0] if value else 'none'}")
    try:
        return Flags(_read_number(value, 1)[0])
    except (IndexError, ValueError) as error:
        raise Unreadable(str(error)) from error


def _number(number: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first."""
    if number <= 0x7F:
        return _BYTES[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_number(value: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = value[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _time(time_ns: int) -> bytes:
    """Two low bits: 1 = negative, 2 = in nanoseconds; else in whole seconds, as Last-Modified is."""
    if not time_ns:
        return _BYTES[0]
    size_ns, sign = abs(time_ns), int(time_ns < 0)
    seconds, rest = divmod(size_ns, _SECOND_NS)
    return _number(size_ns << 2 | 2 | sign if rest else seconds << 2 | sign)


def _read_time(value: bytes, at: int) -> tuple[int, int]:
    number, at = _read_number(value, at)
    size_ns = (number >> 2) * (1 if number & 2 else _SECOND_NS)
    return -size_ns if number & 1 else size_ns, at


def _ident(version: Version) -> bytes:
    """Two low bits say what: a text, an MD5, one of a multipart upload with its number of parts, or the inode of a file."""
    etag = version.etag
    if version.ino and not etag:
        return _number(version.ino << 2 | _INODE)
    match = _HEX.fullmatch(etag)
    if match is None:
        raw = etag.encode()
        return _number(len(raw) << 2 | _TEXT) + raw
    digest, parts = match.groups()
    if parts is None:
        return _BYTES[_MD5] + bytes.fromhex(digest)
    return _number(int(parts) << 2 | _MULTIPART) + bytes.fromhex(digest)


def _read_ident(value: bytes, at: int) -> tuple[tuple[str, int], int]:
    """ETag and inode."""
    head, at = _read_number(value, at)
    kind, number = head & 3, head >> 2
    if kind == _INODE:
        return ("", number), at
    if kind == _TEXT:
        return (_slice(value, at, number).decode(), 0), at + number
    digest = _slice(value, at, 16).hex()
    return (f"{digest}-{number}" if kind == _MULTIPART else digest, 0), at + 16


def _slice(value: bytes, at: int, length: int) -> bytes:
    if at + length > len(value):
        raise IndexError("cut short")
    return value[at : at + length]
