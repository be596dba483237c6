"""Calls on files of this machine, off the event loop, with errors that say what they mean."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from lakelink.errors import LakelinkError, NoSpace, StorageError

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


async def call(job: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """What the job returns.

    Raises:
        NoSpace, StorageError: what its OSError means.
    """
    try:
        return await asyncio.to_thread(job, *arguments)
    except OSError as error:
        raise translated(error) from error


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of it, however little the kernel takes at a time (blocking)."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)


def translated(error: OSError) -> LakelinkError:
    """The error of the tree."""
    kind = NoSpace if error.errno in _FULL else StorageError
    return kind(f"the file cannot be read or written: {os.strerror(error.errno or 0)}")
