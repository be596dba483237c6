"""The holder: a program that keeps a fanotify group alive, and does next to nothing else, so that next to nothing can kill it.

As long as one process has the group open, whoever opens a stub waits. The worker has it open, and may crash; the daemon has it open, and is
upgraded; so has this. It listens on a socket and gives the group to whoever connects (SCM_RIGHTS) with three process numbers: of the worker, if one
is connected, its own, and that of its spare. A worker connects, sends `w`, and stays. Where no worker is there for `GRACE_S`, readers are not left hanging:
the holder itself denies them with EIO until one comes. It ends when it is sent `q` by a process of its own user.

The spare is a second process with the group and the socket that does nothing but wait for the end of the first. Then it is the holder, at once and by the
same socket, and makes itself a spare. So daemon, worker and holder may be killed in one stroke, and still nobody reads a hole.

Run as a script, by `python -I -S holder.py LISTENING_FD GROUP_FD`: standard library only, nothing of lakelink is imported.
"""

from __future__ import annotations

import array
import os
import selectors
import signal
import socket
import struct
import sys
import time

GRACE_S = 60.0
WORKER, QUIT = b"w", b"q"
_EVENT_BYTES = 4096
_metadata = struct.Struct("=IBBHQii")
_response = struct.Struct("=iI")
_credentials = struct.Struct("=iII")  # struct ucred
_DENY_EIO = 2 | 5 << 24
_DENY = 2
_NAMES = ("lakelink-holder", "lakelink-spare")  # as ps and killall see them


class _Succession(Exception):  # no error: this process was the spare, and is the holder from now on
    pass


class Holder:
    """The loop. `group_fd` is non-blocking for nobody: it is read only after poll says that there is something."""

    def __init__(self, listener: socket.socket, group_fd: int, grace_s: float = GRACE_S) -> None:
        self._listener = listener
        self._group_fd = group_fd
        self._grace_s = grace_s
        self._selector = selectors.DefaultSelector()
        self._workers: dict[socket.socket, int] = {}
        self._alone_since_s = time.monotonic()
        self._denying = False
        self._guests: set[socket.socket] = set()
        self._spare: socket.socket | None = None
        self._spare_pid = 0

    def run(self) -> None:
        """Until somebody sends `q`.

        Raises:
            _Succession: in the spare, once the holder is gone.
        """
        _call_this(_NAMES[0])
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            if self._spare is None:
                self._make_spare()
            for key, _ in self._selector.select(None if self._workers or self._denying else self._patience_s()):
                if key.fileobj is self._listener:
                    self._welcome()
                elif key.fileobj is self._spare:
                    self._lose_spare()
                elif key.fileobj == self._group_fd:
                    self._refuse()
                elif isinstance(key.fileobj, socket.socket) and self._hear(key.fileobj):
                    return
            self._judge()

    def _make_spare(self) -> None:
        mine, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:  # no room for it now: tried again with whatever happens next
            mine.close()
            theirs.close()
            return
        if pid == 0:
            # What only the holder may keep open: with it goes what tells others that it is gone.
            for connection in (mine, *self._guests):
                connection.close()
            self._selector.close()
            _call_this(_NAMES[1])
            if theirs.recv(1) == QUIT:
                os._exit(0)
            theirs.close()
            raise _Succession
        theirs.close()
        self._selector.register(mine, selectors.EVENT_READ)
        self._spare, self._spare_pid = mine, pid

    def _lose_spare(self) -> None:
        if self._spare is not None:
            self._selector.unregister(self._spare)
            self._spare.close()
            os.waitpid(self._spare_pid, 0)
        self._spare, self._spare_pid = None, 0

    def _patience_s(self) -> float:
        return max(0.0, self._alone_since_s + self._grace_s - time.monotonic())

    def _judge(self) -> None:
        wanted = not self._workers and self._patience_s() <= 0
        if wanted and not self._denying:
            self._selector.register(self._group_fd, selectors.EVENT_READ)
        elif self._denying and not wanted:
            self._selector.unregister(self._group_fd)
        self._denying = wanted

    def _welcome(self) -> None:
        guest, _ = self._listener.accept()
        guest.settimeout(1.0)
        try:
            worker = next(iter(self._workers.values()), 0)
            rights = array.array("i", [self._group_fd])
            numbers = b"%d %d %d\n" % (worker, os.getpid(), self._spare_pid)
            guest.sendmsg([numbers], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError:
            guest.close()
            return
        guest.setblocking(False)
        self._guests.add(guest)
        self._selector.register(guest, selectors.EVENT_READ)

    def _hear(self, guest: socket.socket) -> bool:
        """True: it is over."""
        try:
            word = guest.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            word = b""
        if word == WORKER:
            raw = guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _credentials.size)
            self._workers[guest] = _credentials.unpack(raw)[0]
        elif word == QUIT:
            if self._spare is not None:
                self._spare.send(QUIT)
            return True
        elif not word:
            self._selector.unregister(guest)
            self._guests.discard(guest)
            guest.close()
            if self._workers.pop(guest, None) is not None and not self._workers:
                self._alone_since_s = time.monotonic()
        return False

    def _refuse(self) -> None:
        try:
            events = os.read(self._group_fd, _EVENT_BYTES)
        except OSError:
            return
        at = 0
        while at < len(events):
            length, _, _, _, _, fd, _ = _metadata.unpack_from(events, at)
            at += length
            if fd < 0:
                continue
            for response in (_DENY_EIO, _DENY):
                try:
                    os.write(self._group_fd, _response.pack(fd, response))
                    break
                except OSError:
                    continue
            os.close(fd)


def main(arguments: list[str]) -> None:
    """Be nobody's child, the last to be killed, and deaf to signals meant for a terminal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123  # pathlib is more than is needed here
            score.write("-1000")
    except OSError:
        pass  # without CAP_SYS_RESOURCE; the unit may say OOMScoreAdjust=
    listening_fd, group_fd, grace_s = int(arguments[1]), int(arguments[2]), float(arguments[3])
    listener = socket.socket(fileno=listening_fd)
    while True:
        try:
            return Holder(listener, group_fd, grace_s).run()
        except _Succession:
            continue


def _call_this(name: str) -> None:
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:  # noqa: PTH123
            comm.write(name)
    except OSError:
        pass  # only for people


if __name__ == "__main__":
    main(sys.argv)
