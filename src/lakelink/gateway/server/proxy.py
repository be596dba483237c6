"""The PROXY protocol, versions 1 and 2 (haproxy.org, "The PROXY protocol"): a balancer says in front of the stream who the client is.

Bytes in, a value out. Only listeners that know the peer for a balancer of theirs ask for a header; from anybody else it would be a forgery.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_V1_BYTES = 107
LONGEST_V2_BYTES = 16 + 2048  # addresses and TLVs: certificates and the like, which are passed over
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, TCP over IPv6


class BadHeader(ValueError):
    """Not a header of the protocol: the connection is dropped."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a balancer said. An empty address: the connection is its own, as for its checks of health."""

    address: str
    port: int
    size_bytes: int  # of the header: what follows belongs to the stream


def parse_header(data: bytes) -> Header | None:
    """The header at the beginning of `data`; None = there is not enough of it yet.

    Raises:
        BadHeader: it is none, or a damaged one.
    """
    if data.startswith(SIGNATURE):
        return _v2(data)
    if data.startswith(b"PROXY "):
        return _v1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise BadHeader("no header of the PROXY protocol")


def _v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST_V1_BYTES)
    if end < 0:
        if len(data) >= LONGEST_V1_BYTES:
            raise BadHeader("a line without end")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Header("", 0, end + 2)
    if len(words) != 6 or words[1] not in {b"TCP4", b"TCP6"}:
        raise BadHeader("a line of another form")
    wanted = 4 if words[1] == b"TCP4" else 6
    return Header(_address(words[2], wanted), _port(words[4]), end + 2)


def _v2(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    size = 16 + int.from_bytes(data[14:16])
    if version != 2 or command > 1:
        raise BadHeader("a version or command that is not known")
    if size > LONGEST_V2_BYTES:
        raise BadHeader("a header that is too long")
    if len(data) < size:
        return None
    if command == 0:  # LOCAL: the balancer itself
        return Header("", 0, size)
    width = _ADDRESS_BYTES.get(data[13])
    if width is None:  # UNSPEC, a datagram, a Unix socket: the address is not one that rules could speak of
        raise BadHeader("a connection that is not TCP")
    if size < 16 + 2 * width + 4:
        raise BadHeader("addresses cut short")
    address = ipaddress.ip_address(data[16 : 16 + width])
    port = int.from_bytes(data[16 + 2 * width : 18 + 2 * width])
    return Header(plain(address), port, size)


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError as error:
        raise BadHeader("not an address") from error
    if address.version != version:
        raise BadHeader("an address of the other family")
    return plain(address)


def _port(word: bytes) -> int:
    if not word.isdigit() or int(word) > 65535:
        raise BadHeader("not a port")
    return int(word)


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address as rules know it: one of IPv4 that came in the clothes of IPv6 is one of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
