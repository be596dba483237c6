"""Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions (PROTOCOL): numbers, framing, fields."""

from __future__ import annotations

import struct
from enum import IntEnum

VERSION = 3
UINT32 = struct.Struct(">I")
UINT64 = struct.Struct(">Q")
_READ = struct.Struct(">QI")


class Op(IntEnum):
    """Kinds of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class OpenFlag(IntEnum):
    """What an OPEN asks for."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREAT = 0x08
    TRUNC = 0x10
    EXCL = 0x20


class Malformed(Exception):
    """A packet that does not hold what its kind demands."""


class TooLong(Exception):
    """A packet longer than the session allows: what follows in the stream cannot be trusted to be packets."""


class Framer:
    """Cuts a stream into packets. What waits is not moved around: bytes are joined once, when a packet is complete."""

    __slots__ = ("_at", "_chunks", "_limit", "_wanted", "held_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._chunks: list[bytes] = []
        self._at = 0  # in the first chunk
        self._wanted = 4  # bytes that the next look needs
        self.held_bytes = 0  # received and not handed out

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._chunks.append(data)
        self.held_bytes += len(data)

    def next(self) -> memoryview | None:
        """The next packet without its length; None = it is not complete yet.

        Raises:
            TooLong: it is longer than allowed, or empty.
        """
        if self.held_bytes < self._wanted:
            return None
        if len(self._chunks) > 1 and len(self._chunks[0]) - self._at < self._wanted:
            self._chunks[0] = self._chunks[0][self._at :]
            self._chunks = [b"".join(self._chunks)]
            self._at = 0
        data, start = self._chunks[0], self._at + 4
        size = int.from_bytes(data[self._at : start], "big")
        if not 0 < size <= self._limit:
            raise TooLong(f"a packet of {size} bytes")
        if 4 + size > self._wanted:
            self._wanted = 4 + size
            return self.next()
        self._wanted = 4
        self._at = start + size
        self.held_bytes -= 4 + size
        if self._at == len(data):
            self._chunks.pop(0)
            self._at = 0
        return memoryview(data)[start : start + size]


class Fields:
    """The fields of one packet, read in order.

    Every method raises Malformed where the packet ends too early.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._data = memoryview(data)
        self._at = at

    def uint32(self) -> int:
        try:
            (value,) = UINT32.unpack_from(self._data, self._at)
        except struct.error as error:
            raise Malformed("a number is cut short") from error
        self._at += 4
        return int(value)

    def uint64(self) -> int:
        try:
            (value,) = UINT64.unpack_from(self._data, self._at)
        except struct.error as error:
            raise Malformed("a number is cut short") from error
        self._at += 8
        return int(value)

    def string(self) -> bytes:
        return bytes(self.span())

    def span(self) -> memoryview:
        """As `string`, without a copy."""
        size = self.uint32()
        end = self._at + size
        if end > len(self._data):
            raise Malformed("a string is cut short")
        value = self._data[self._at : end]
        self._at = end
        return value

    def read_arguments(self) -> tuple[int, int]:
        """Offset and length of a READ."""
        try:
            offset, size = _READ.unpack_from(self._data, self._at)
        except struct.error as error:
            raise Malformed("a READ is cut short") from error
        self._at += _READ.size
        return offset, size

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)


def string(value: bytes) -> bytes:
    """A string field."""
    return UINT32.pack(len(value)) + value


def packet(kind: int, *fields: bytes) -> bytes:
    """A whole packet with its length."""
    body = b"".join(fields)
    return UINT32.pack(1 + len(body)) + bytes((kind,)) + body
