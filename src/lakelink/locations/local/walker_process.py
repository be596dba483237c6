"""A second process for a walk of two large local trees: it takes some of the directories, compares there, and answers with what differs.

A process of its own and not a fork: whoever calls may have threads, and a fork copies their locks. It only reads, so it may be killed at any
time. Nothing is given to it before it has greeted; from then on every request has an answer, or the walk is not complete and says so.

Both pipes carry frames: four bytes of length (little-endian), then a value in Python's marshal format, the same interpreter at both ends.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import marshal
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lakelink
from lakelink.errors import Unreachable
from lakelink.locations.base import Batch, Sides
from lakelink.locations.local.beside import Side, Walk
from lakelink.locations.local.root import Root
from lakelink.locations.local.scan import Pending, Scanner
from lakelink.model.change import Problem, Skipped, SkipReason
from lakelink.model.entry import Kind, Row
from lakelink.model.task import Symlinks
from lakelink.ports.linux import LinuxKernel

_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from lakelink.locations.local.walker_process import serve; serve(sys.argv[2:])"
_LENGTH_BYTES = 4
_STDERR = 2
_AHEAD = 2  # requests that wait for it, so that it never waits for us
_REQUEST_PAIRS = 16
_WORTH_PAIRS = 4  # with fewer left, sharing costs more than it brings
_KINDS = tuple(Kind)
_new = tuple.__new__

Found = tuple[str, int]  # a directory still to be walked, and the device that holds it


class WalkerProcess:
    """The other process. Use from one thread at a time, and `close` it in the end."""

    def __init__(self, source: Side, target: Side, *, owner: bool) -> None:
        """Start it; it greets when it is ready, and until then costs the walk nothing.

        Raises:
            OSError: no process can be had.
        """
        self._greeted = False
        self._owed = 0
        child_in, self._requests = os.pipe()
        self._answers, child_out = os.pipe()
        try:
            self._pid = self._spawn(child_in, child_out, (source, target), owner=owner)
        except OSError:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        os.set_blocking(self._requests, False)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)

    def _spawn(self, child_in: int, child_out: int, sides: tuple[Side, Side], *, owner: bool) -> int:
        package = str(Path(lakelink.__file__).parents[1])
        command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, package, str(child_in), str(child_out)]
        for side in sides:
            st = os.fstat(side.root_fd)
            command += [f"{side.root_fd}:{st.st_dev}:{st.st_ino}", side.symlinks.value]
        handed = [child_in, child_out, *(side.root_fd for side in sides)]
        if min(handed) <= _STDERR:
            raise OSError(errno.EBADF, "a standard stream is closed, and its number taken")
        quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(_STDERR + 1)]
        return os.posix_spawn(
            sys.executable,
            [*command, "owner" if owner else ""],
            os.environ,
            # Duplicated to itself, a descriptor stays open over the exec.
            file_actions=[*quiet, *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in handed)],
            setsigmask=[
                signal.SIGINT
            ],  # Ctrl-C reaches the whole group; what becomes of the walk is for its owner to say
        )

    @property
    def owes(self) -> bool:
        """Whether answers are still to come."""
        return self._owed > 0

    def give(self, walk: Walk) -> None:
        """Hand over some of the pairs, from those that were found first: they are the highest, and so the largest.

        A request goes whole or not at all, and is never waited for: the other side may be waiting for us to take an answer.
        """
        count = _REQUEST_PAIRS
        while self._greeted and self._owed < _AHEAD and count and len(walk.pairs) >= _WORTH_PAIRS:
            count = min(count, len(walk.pairs) // _WORTH_PAIRS)
            frame = _frame([(mine.path, mine.device, theirs.device) for mine, theirs in walk.pairs[:count]])
            if len(frame) > select.PIPE_BUF:
                count //= 2
                continue
            try:
                os.write(self._requests, frame)
            except (BlockingIOError, BrokenPipeError):  # full, or gone: `answers` tells
                return
            del walk.pairs[:count]
            self._owed += 1

    def answers(self, walk: Walk, wait_s: float) -> Iterator[Sides]:
        """What has come, after at most `wait_s`; directories that were found go to the walk.

        Raises:
            Unreachable: it ended before it had answered: the walk is not complete.
        """
        while self._poll.poll(wait_s * 1000):
            answer = _receive(self._answers)
            if answer is None:
                self._lost()
                return
            wait_s = 0
            if not self._greeted:
                self._greeted = True
                continue
            source, target, equal_files, found = answer
            if found is not None:
                self._owed -= 1
                pairs, alone, other_alone = found
                walk.pairs.extend(
                    (Pending(path, None, device), Pending(path, None, other)) for path, device, other in pairs
                )
                walk.source.todo.extend(Pending(path, None, device) for path, device in alone)
                walk.target.todo.extend(Pending(path, None, device) for path, device in other_alone)
            yield Sides(_unpack(source), _unpack(target), equal_files)

    def _lost(self) -> None:
        self._greeted = False
        self._poll.unregister(self._answers)
        if self._owed:
            raise Unreachable(
                "the process that helped to scan ended before it was done",
                hint="Nothing was concluded from what it had seen. Was it killed for its memory? Run it again.",
            )

    def close(self) -> None:
        """End it, whatever it does: it only reads."""
        os.close(self._requests)
        os.close(self._answers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # somebody in this program waits for every child
            os.waitpid(self._pid, 0)


def serve(arguments: Sequence[str]) -> None:
    """The other process's own side: requests until there are no more."""
    gc.disable()  # rows are no cycles
    requests, answers = int(arguments[0]), int(arguments[1])
    kernel = LinuxKernel()
    source = Scanner(kernel, _root(kernel, arguments[2]), Symlinks(arguments[3]), None)
    target = Scanner(kernel, _root(kernel, arguments[4]), Symlinks(arguments[5]), None)
    walk = Walk(source, target, owner=arguments[6] == "owner")
    try:
        _send(answers, "ready")
        while (request := _receive(requests)) is not None:
            for path, device, other in request:
                for sides in walk.pair(Pending(path, None, device), Pending(path, None, other)):
                    _send(answers, (_pack(sides.source), _pack(sides.target), sides.equal_files, None))
            sides = walk.take()
            _send(answers, (_pack(sides.source), _pack(sides.target), sides.equal_files, _found(walk)))
    except BrokenPipeError:
        pass  # nobody wants to know any more


def _root(kernel: LinuxKernel, text: str) -> Root:
    """The root that was handed over, if it is the one that was meant."""
    fd, device, ino = map(int, text.split(":"))
    st = os.fstat(fd)
    if (st.st_dev, st.st_ino) != (device, ino):
        raise SystemExit(1)
    return Root.held(kernel, fd)


def _found(walk: Walk) -> tuple[list[tuple[str, int, int]], list[Found], list[Found]]:
    """The directories that the request led to; the walk forgets them."""
    pairs = [(mine.path, mine.device, theirs.device) for mine, theirs in walk.pairs]
    alone, other_alone = ([(task.path, task.device) for task in side.todo] for side in (walk.source, walk.target))
    walk.pairs, walk.source.todo, walk.target.todo = [], [], []
    return pairs, alone, other_alone


def _pack(batch: Batch) -> tuple[Any, ...]:
    """As plain values, which is what marshal takes."""
    return (
        [(path, kind.value, *rest) for path, kind, *rest in batch.rows],
        [(p.path, p.code, p.message, p.hint) for p in batch.problems],
        [(s.path, s.reason.value) for s in batch.skipped],
        batch.hard_links,
    )


def _unpack(packed: tuple[Any, ...]) -> Batch:
    rows, problems, skipped, hard_links = packed
    return Batch(
        [_new(Row, (path, _KINDS[kind], *rest)) for path, kind, *rest in rows],
        [Problem(*fields) for fields in problems],
        [Skipped(path, SkipReason(reason)) for path, reason in skipped],
        hard_links,
    )


def _frame(value: Any) -> bytes:
    data = marshal.dumps(value)
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data


def _send(fd: int, value: Any) -> None:
    view = memoryview(_frame(value))
    while view:
        view = view[os.write(fd, view) :]


def _receive(fd: int) -> Any:
    """The next value; None at the end, also where that comes in the middle of a frame."""
    head = _exactly(fd, _LENGTH_BYTES)
    data = head and _exactly(fd, int.from_bytes(head, "little"))
    return marshal.loads(data) if data else None  # noqa: S302  # from our own process, over a pipe that nobody else has


def _exactly(fd: int, size_bytes: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size_bytes:
        piece = os.read(fd, size_bytes - len(pieces))
        if not piece:
            return b""
        pieces += piece
    return bytes(pieces)
