"""Starting a holder, and getting the group from one that lives."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lakelink.links.hsm import holder

SOCKET = "holder.sock"
ANSWER_WITHIN_S = 5.0


@dataclass(slots=True)
class Held:
    """A connection to a holder. `worker` is the process number of the worker connected to it, or 0; `pid` its own; `spare` that of its spare, or 0."""

    connection: socket.socket
    group_fd: int
    worker: int
    pid: int
    spare: int

    def close(self) -> None:
        """Let go of it and of the group."""
        os.close(self.group_fd)
        self.connection.close()

    def quit(self) -> None:
        """The holder ends; the group with it, unless somebody else has it."""
        with contextlib.suppress(OSError):
            self.connection.sendall(holder.QUIT)


@contextlib.contextmanager
def short_path(directory: str):  # type: ignore[no-untyped-def]  # noqa: ANN201  # a generator of one path
    """The socket's path through /proc: a socket's address has 108 bytes, a path may have more."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET}"
    finally:
        os.close(fd)


def find_holder(directory: str) -> Held | None:
    """The living holder of this directory; None where there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_WITHIN_S)
        with short_path(directory) as path:
            connection.connect(path)
        said, fds, _, _ = socket.recv_fds(connection, 32, 1)
        if not fds:
            raise ConnectionError
        os.set_inheritable(fds[0], False)
        connection.setblocking(False)
        worker, pid, spare = [*map(int, said.split()), 0][:3]
        return Held(connection, fds[0], worker, pid, spare)
    except (OSError, ValueError):
        connection.close()
        return None


def start_holder(directory: str, group_fd: int, grace_s: float = holder.GRACE_S) -> None:
    """Start a holder for this group; it is nobody's child. A socket that a dead one left is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(directory) as path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  # a path through /proc
            before = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(before)
        listener.listen(16)
        program = [sys.executable, "-I", "-S", str(Path(holder.__file__))]
        fds = (listener.fileno(), group_fd)
        # A child that starts the holder and ends: whoever waits for children of the daemon never meets it.
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, *program, *map(str, fds), str(grace_s)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        launcher.wait(ANSWER_WITHIN_S)
    finally:
        listener.close()


_LAUNCH = "import os, sys\nif os.fork() == 0:\n    os.setsid()\n    os.execv(sys.argv[1], sys.argv[1:])"
