"""The maker as the daemon has it: a second process for many stubs, started when it is first wanted, ended with the guard."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lakelink.links.hsm.maker import Row, receive, send
from lakelink.links.hsm.tree import Tree

ENDS_WITHIN_S = 10.0


@dataclass(slots=True)
class Theirs:
    """What the maker made, once the block of `Maker.making` is left."""

    inodes: list[int] = field(default_factory=list)


class Maker:
    """One process. Safe from any thread: one list at a time."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @contextlib.contextmanager
    def making(self, rows: list[Row]) -> Iterator[Theirs]:
        """The maker makes these while the block runs. Where it dies, what it did not answer is EIO: it may or may not be there."""
        theirs = Theirs()
        with self._lock:
            control = self._started()
            try:
                send(control, rows)
                yield theirs
                theirs.inodes = _numbers(receive(control), rows)
            except OSError:
                theirs.inodes = _numbers(None, rows)
            if len(theirs.inodes) != len(rows) or theirs.inodes == [-errno.EIO] * len(rows):
                self._end()

    @property
    def pid(self) -> int:
        """Its process, 0 while it is not wanted."""
        process = self._process
        return process.pid if process is not None else 0

    def close(self) -> None:
        with self._lock:
            self._end()

    def _started(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            with theirs:
                fds = (self._tree.fd, self._tree.group_fd, theirs.fileno())
                program = [sys.executable, "-m", "lakelink.links.hsm.maker"]
                arguments = [str(fds[0]), str(fds[1]), str(self._tree.mask), str(fds[2])]
                self._process = subprocess.Popen([*program, *arguments], pass_fds=fds, stdin=subprocess.DEVNULL)
            self._control = ours
        return self._control

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _numbers(answer: Sequence[int] | Sequence[Row] | None, rows: list[Row]) -> list[int]:
    if answer is None or len(answer) != len(rows):
        return [-errno.EIO] * len(rows)
    return [int(number) for number in answer if isinstance(number, int)]
