"""Lines of OpenSSH's settings split into words, and its patterns, as sshd reads them."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_WILD_V4 = re.compile(r"(?:\d{1,3}\.){1,3}\*")


def split(line: str) -> list[str]:
    """The words of a line: quotes hold a word together, a backslash takes a quote or itself literally, # starts a comment.

    Raises:
        ValueError: a quote is not closed.
    """
    words: list[str] = []
    at, end = 0, len(line)
    while at < end:
        if line[at] in " \t\r\n\f":
            at += 1
        elif line[at] == "#":
            break
        else:
            word, at = _word(line, at)
            words.append(word)
    return words


def _word(line: str, at: int) -> tuple[str, int]:
    word, quote = "", ""
    while at < len(line):
        char = line[at]
        if char == "\\" and at + 1 < len(line) and line[at + 1] in ("'", '"', "\\", *(() if quote else (" ",))):
            word, at = word + line[at + 1], at + 2
            continue
        if quote:
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char in "'\"":
            quote = char
        elif char in " \t\r\n\f":
            break
        else:
            word += char
        at += 1
    if quote:
        raise ValueError(f"a {quote} is not closed")
    return word, at


def matches(pattern: str, text: str) -> bool:
    """`*` and `?`, and nothing else: a bracket means itself."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def in_list(patterns: Iterable[str], text: str) -> bool:
    """Whether a pattern list names `text`: one negated pattern that matches decides against it, else one positive for it."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if matches(pattern[1:], text):
                return False
        elif matches(pattern, text):
            found = True
    return found


def network_of(pattern: str) -> Network | None:
    """The network that an address pattern means: an address, a CIDR, or whole octets and one star, as 10.1.*; None = it is no network.

    `*` alone means every IPv4 address here; who knows that it stands for both families asks before.
    """
    if _WILD_V4.fullmatch(pattern):
        octets = pattern.rstrip("*").rstrip(".").split(".")
        pattern = ".".join([*octets, "0", "0", "0"][:4]) + f"/{8 * len(octets)}"
    try:
        return ipaddress.ip_network(pattern.strip("[]"), strict=False)
    except ValueError:
        return None


def address_in_list(patterns: Iterable[str], address: str) -> bool:
    """As `in_list`, for addresses: networks and wildcards mixed."""
    found = False
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        network = network_of(bare)
        hit = _inside(address, network) if network else matches(bare, address)
        if hit and pattern.startswith("!"):
            return False
        found = found or hit
    return found


def _inside(address: str, network: Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False


def intersection(lists: Sequence[Sequence[str]]) -> list[str] | None:
    """The networks that are in each of the lists; an empty list means "anywhere". None = no address is in all of them."""
    bounded = [[ipaddress.ip_network(text, strict=False) for text in one] for one in lists if one]
    if not bounded:
        return []
    common: list[Network] = bounded[0]
    for other in bounded[1:]:
        common = [smaller for one in common for two in other if (smaller := _common(one, two)) is not None]
    return [str(network) for network in _collapsed(common)] if common else None


def _common(one: Network, two: Network) -> Network | None:
    if isinstance(one, ipaddress.IPv4Network) and isinstance(two, ipaddress.IPv4Network):
        return one if one.subnet_of(two) else two if two.subnet_of(one) else None
    if isinstance(one, ipaddress.IPv6Network) and isinstance(two, ipaddress.IPv6Network):
        return one if one.subnet_of(two) else two if two.subnet_of(one) else None
    return None


def _collapsed(networks: Iterable[Network]) -> list[Network]:
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]
