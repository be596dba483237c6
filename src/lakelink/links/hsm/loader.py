"""Those who wait, and the loads they wait for: one load per file, however many wait, each with a deadline, each ending in an answer."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from lakelink.errors import ChangedWhileRead, LakelinkError, NoSpace, NotFound, StorageError, Tampered
from lakelink.links.hsm.base import Event, Happened, Outcome, Result
from lakelink.links.hsm.filling import Filling
from lakelink.links.hsm.stub import Origin, Unreadable
from lakelink.links.hsm.turns import Turns
from lakelink.model.entry import Version

_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(slots=True)
class _Load:
    numbers: list[int] = field(default_factory=list)
    asked: list[asyncio.Future[LakelinkError | None]] = field(default_factory=list)


@dataclass(slots=True)
class Limits:
    """What a load may take."""

    timeout_s: float
    at_once: asyncio.Semaphore


class Loader:
    """All loads of one tree; for the loop's thread only."""

    def __init__(
        self,
        filling: Filling,
        turns: Turns,
        limits: Limits,
        answer: Callable[[int, int], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._filling = filling
        self._turns = turns
        self._limits = limits
        self._answer = answer
        self._tell = tell
        self._loads: dict[bytes, _Load] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, asked: list[tuple[int, bytes]]) -> None:
        """Somebody waits at each number for the file of the handle."""
        for number, handle in asked:
            self._of(handle).numbers.append(number)

    async def restore(self, path: str) -> Result:
        """See `Guard.restore`."""
        tree = self._filling.tree
        handle = tree.handle_at(path)
        if handle is None:
            return Result(path, Outcome.GONE)
        sight = tree.sight(path)
        if sight is not None and sight.stub is not None and not sight.flags.is_stub:
            return Result(path, Outcome.ALREADY, sight.version)
        future: asyncio.Future[LakelinkError | None] = asyncio.get_running_loop().create_future()
        self._of(handle).asked.append(future)
        error = await future
        if error is not None:
            return Result(path, _outcome(error), error=error)
        sight = tree.sight(path)
        return Result(path, Outcome.DONE, sight.version if sight else None)

    @property
    def under_way(self) -> int:
        return len(self._loads)

    def _of(self, handle: bytes) -> _Load:
        load = self._loads.get(handle)
        if load is None:
            load = self._loads[handle] = _Load()
            task = asyncio.get_running_loop().create_task(self._run(handle, load))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return load

    async def _run(self, handle: bytes, load: _Load) -> None:
        # Whatever ends this task, whoever waits gets an answer.
        code, error = errno.EIO, None
        try:
            code, error = await self._fill(handle)
        finally:
            del self._loads[handle]
            for number in load.numbers:
                self._answer(number, code)
            for future in load.asked:
                if not future.done():
                    future.set_result(error)

    async def _fill(self, handle: bytes) -> tuple[int, LakelinkError | None]:
        try:
            async with (
                asyncio.timeout(self._limits.timeout_s),
                self._limits.at_once,
                self._turns.turn(handle),
            ):
                event = await self._filling.fill(handle)
        except TimeoutError:
            error: LakelinkError = StorageError(f"no bytes within {self._limits.timeout_s:g} s")
        except Unreadable as trouble:
            error = Tampered(f"the attribute of a stub cannot be read: {trouble}")
        except LakelinkError as trouble:
            error = trouble
        except OSError as trouble:
            if trouble.errno == errno.ESTALE:
                return 0, None  # its last name and descriptor went while it waited; nobody reads it
            error = NoSpace(str(trouble)) if trouble.errno in _FULL else StorageError(str(trouble))
            self._report(handle, error)
            return trouble.errno or errno.EIO, error
        else:
            if event is not None:
                self._tell(event)
            return 0, None
        self._report(handle, error)
        return (errno.ENOSPC if isinstance(error, NoSpace) else errno.EIO), error

    def _report(self, handle: bytes, error: LakelinkError) -> None:
        path, inode, origin = self._look(handle)
        kind = Happened.FAILED
        if isinstance(error, ChangedWhileRead | NotFound):
            kind = Happened.CHANGED
        elif isinstance(error, Tampered):
            kind = Happened.TAMPERED
        self._tell(Event(kind, path, inode, origin, message=f"{error.code}: {error.message}"))

    def _look(self, handle: bytes) -> tuple[str, int, Origin | None]:
        tree = self._filling.tree
        try:
            fd = tree.open(handle, os.O_PATH)
        except OSError:
            return "", 0, None
        try:
            stub = tree.stub_of_path(fd)
            return tree.path_of(fd), os.fstat(fd).st_ino, stub.origin if stub else None
        except (OSError, Unreadable):
            return "", 0, None
        finally:
            os.close(fd)


def _outcome(error: LakelinkError) -> Outcome:
    if isinstance(error, ChangedWhileRead | NotFound):
        return Outcome.CHANGED
    return Outcome.NO_SPACE if isinstance(error, NoSpace) else Outcome.FAILED


def version_of(fd: int) -> Version:
    """The files side's version of an open file."""
    found = os.fstat(fd)
    return Version(found.st_size, found.st_mtime_ns, ino=found.st_ino)
