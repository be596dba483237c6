"""Calls of libc that Python has no name for."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)


def function(symbol: str, *argtypes: type) -> Callable[..., int]:
    """The function of that name. One that this libc lacks answers as a kernel without the call does, with ENOSYS."""
    found = getattr(LIBC, symbol, None)
    if found is None:
        return _absent
    found.argtypes = argtypes
    found.restype = ctypes.c_int
    return found  # type: ignore[no-any-return]


def checked(call: Callable[..., int], *args: object, name: str | bytes = b"") -> int:
    """The answer of a call; an interrupted one is made again.

    Raises:
        OSError: the kernel's errno, of `name` where the call is about one.
    """
    while True:
        result = call(*args)
        if result >= 0:
            return result
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), os.fsdecode(name) or None)


def _absent(*_: object) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1
