"""Content digests, computed natively off the event loop; the bytes are never looked at in Python."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from typing import Protocol

from lakelink.locations.content import CHUNK_BYTES, Content


class Hash(Protocol):
    """What hashlib and xxhash have in common."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


def new_hash(algorithm: str) -> Hash:
    """A running hash: "md5", "sha256" or another name that hashlib knows, or "xxh3"."""
    if algorithm == "xxh3":
        import xxhash

        return xxhash.xxh3_128()
    return hashlib.new(algorithm, usedforsecurity=False)


async def digest(content: Content, algorithm: str) -> bytes:
    """The digest of all bytes, in memory that does not grow with them.

    Raises:
        what reading the content raises; ChangedWhileRead when a file moved while it was hashed.
    """
    file = await asyncio.to_thread(content.open_file)
    running = new_hash(algorithm)
    if file is None:
        async for chunk in content.chunks():
            if len(chunk) > CHUNK_BYTES // 4:
                await asyncio.to_thread(running.update, chunk)
            else:
                running.update(chunk)
        return running.digest()
    try:
        await _hash_in_thread(file.fd, running)
        file.check()
    finally:
        file.close()
    return running.digest()


async def _hash_in_thread(fd: int, running: Hash) -> None:
    """The descriptor is the caller's again when this returns, however it does."""
    stop = threading.Event()
    job = asyncio.ensure_future(asyncio.to_thread(_hash_file, fd, running, stop))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([job])
        raise


def _hash_file(fd: int, running: Hash, stop: threading.Event) -> None:
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    offset = 0
    while not stop.is_set() and (count := os.preadv(fd, [view], offset)):
        running.update(view[:count])
        offset += count
