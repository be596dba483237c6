"""Whether two paths hold the same bytes, asked in the cheapest way that is certain."""

from __future__ import annotations

import asyncio

from lakelink.engine.digest import digest
from lakelink.errors import LakelinkError
from lakelink.locations.base import Location, Read
from lakelink.locations.content import Content
from lakelink.model.entry import Entry

READABLE = frozenset({"md5", "sha256", "sha1"})
"""Digests of a store that hashlib can compute too."""


def known_digest(entry: Entry) -> tuple[str, bytes] | None:
    """(algorithm, digest) that a side already holds for its content (`Entry.digest` is `name:bytes`), or None."""
    name, colon, value = entry.digest.partition(b":")
    algorithm = name.decode("ascii")
    return (algorithm, value) if colon and algorithm in READABLE else None


def needs_bytes(source: Entry, target: Entry) -> int:
    """How many of the two sides have to be read in full: 0, 1 or 2."""
    mine, theirs = known_digest(source), known_digest(target)
    if mine and theirs and mine[0] == theirs[0]:
        return 0
    return 1 if mine or theirs else 2


async def same_content(path: str, source: tuple[Location, Entry], target: tuple[Location, Entry]) -> bool:
    """Compare the content of one path on both sides.

    Raises:
        LakelinkError: one side could not be read as the version observed; nothing is known.
    """
    mine, theirs = known_digest(source[1]), known_digest(target[1])
    if mine and theirs and mine[0] == theirs[0]:
        return mine[1] == theirs[1]
    if theirs:
        return await _digest_of(path, *source, theirs[0]) == theirs[1]
    if mine:
        return await _digest_of(path, *target, mine[0]) == mine[1]
    one, other = await asyncio.gather(_digest_of(path, *source, "xxh3"), _digest_of(path, *target, "xxh3"))
    return one == other


async def open_content(path: str, location: Location, entry: Entry) -> Content:
    """The content of the version that was observed."""
    (content,) = await location.read([Read(path, entry.size_bytes, entry.version)])
    if isinstance(content, LakelinkError):
        raise content
    return content


async def _digest_of(path: str, location: Location, entry: Entry, algorithm: str) -> bytes:
    return await digest(await open_content(path, location, entry), algorithm)
