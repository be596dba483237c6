"""The socket of a state directory: `STATE/lakelink.sock`, for its owner alone.

A socket's address holds 107 bytes (unix(7)), and state directories may be deeper; so it is named through a descriptor of the directory.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = "lakelink.sock"
BACKLOG = 128


def listen(state_dir: Path) -> socket.socket:
    """A listening socket (0600). The caller holds the daemon's lock, so a socket that is there is a dead daemon's.

    Raises:
        OSError: the directory cannot be written.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _named(state_dir) as address:
            remove(state_dir)
            before = os.umask(0o177)  # from the first moment, not only after a chmod
            try:
                listener.bind(address)
            finally:
                os.umask(before)
            listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(state_dir: Path, timeout_s: float) -> socket.socket:
    """A connection to the daemon.

    Raises:
        OSError: nobody listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(timeout_s)
        with _named(state_dir) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def remove(state_dir: Path) -> None:
    """Take the socket away. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        (state_dir / SOCKET).unlink()


@contextmanager
def _named(state_dir: Path) -> Iterator[str]:
    fd = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET}"
    finally:
        os.close(fd)
