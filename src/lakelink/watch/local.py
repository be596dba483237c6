"""A local feed: one thread that reads the kernel's events as they come, and hands them to the loop in batches.

A thread of its own, since the kernel's queue is short (16,384 events: a sixth of a second of `tar x`) and a loop that is busy elsewhere would let
it run over. At rest the thread wakes once a second to look whether the root is still there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from lakelink.errors import InternalError, LakelinkError, StorageError
from lakelink.model.change import Problem
from lakelink.ports.clock import Clock
from lakelink.ports.notify import Notify
from lakelink.watch.feed import Delivery, Told
from lakelink.watch.gathering import Gathering
from lakelink.watch.mounts import mounts_below, parse_mounts
from lakelink.watch.root import WatchedRoot
from lakelink.watch.survey import Announce, Survey

TICK_S = 1.0
BATCHING_S = 0.01  # after each reading: the kernel merges what repeats, and one delivery carries more
CLOSE_DEADLINE_S = 10.0


class Source(Protocol):
    """What the thread drives. All but `kind` and the survey's `problems` is called on that thread only."""

    @property
    def kind(self) -> str: ...

    @property
    def survey(self) -> Survey: ...

    def open(self) -> None: ...

    def fileno(self) -> int: ...

    def drain(self) -> None: ...

    def tick(self, now: float, /) -> None: ...

    def close(self) -> None: ...


class LocalFeed:
    """`Feed` over a source."""

    closes = True

    def __init__(
        self,
        source: Source,
        root: WatchedRoot,
        gathering: Gathering,
        *,
        notify: Notify,
        clock: Clock,
        scan_interval_s: float,
    ) -> None:
        self._source = source
        self._root = root
        self._gathering = gathering
        self._notify = notify
        self._clock = clock
        self._scan_interval_s = scan_interval_s
        self._mounts = b""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._watching = threading.Event()
        self._closing = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._error: LakelinkError | None = None
        self._thread = threading.Thread(target=self._run, name="lakelink-watch", daemon=True)

    @property
    def kind(self) -> str:
        """Of its source."""
        return self._source.kind

    async def start(self) -> None:
        """Return when every directory is under watch, or cannot be (see `problems`): a scan that begins now misses nothing.

        Raises:
            WatchLimit, Unsupported: this kind of feed is not to be had here.
            RootMissing: the root went away meanwhile.
        """
        self._thread.start()
        try:
            while not self._watching.is_set():
                await self._changed.wait()
                self._changed.clear()
                self._raise_if_ended()
        except BaseException:
            await self.aclose()
            raise
        self._changed.set()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """As `Feed.deliveries`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while hints := self._gathering.take():
                yield Told(hints)
            if self._closing.is_set():
                return
            self._raise_if_ended()

    def _raise_if_ended(self) -> None:
        if self._error is not None:
            raise self._error
        if not self._thread.is_alive() and not self._closing.is_set():
            raise InternalError(f"the feed of {self._root.path} has stopped")

    def problems(self) -> Sequence[Problem]:
        """As `Feed.problems`."""
        return self._source.survey.problems()

    async def aclose(self) -> None:
        """As `Feed.aclose`. A thread that hangs in a dead network file system is left behind after `CLOSE_DEADLINE_S`."""
        self._changed.set()
        if self._closing.is_set():
            return
        self._closing.set()
        os.write(self._wake_write, b"\0")
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_DEADLINE_S)
        os.close(self._wake_write)
        if not self._thread.is_alive():
            os.close(self._wake_read)

    def _run(self) -> None:
        """The thread."""
        try:
            self._source.open()
            self._look_at_mounts(Announce.NOTHING)
            while self._source.survey.step() and not self._closing.is_set():
                self._source.drain()
            self._watching.set()
            self._tell()
            self._read_on()
        except LakelinkError as error:
            self._error = error
        except OSError as error:
            self._error = StorageError(f"{self._root.path} cannot be watched any more: {error.strerror}")
        finally:
            self._source.close()
            self._tell()

    def _read_on(self) -> None:
        tick_at = self._clock.monotonic()
        scan_at = tick_at + self._scan_interval_s
        more = False
        while not self._closing.is_set():
            now = self._clock.monotonic()
            if now >= tick_at:
                tick_at = now + TICK_S
                self._root.check()
                self._look_at_mounts(Announce.SUBTREE)
                self._source.tick(now)
            if now >= scan_at:
                scan_at = now + self._scan_interval_s
                self._source.survey.look_again()
            self._wait(0.0 if more else tick_at - now, self._source.fileno())
            self._source.drain()
            more = self._source.survey.step()
            if self._gathering:
                self._tell()
            if not more:
                self._wait(BATCHING_S)

    def _wait(self, seconds: float, *descriptors: int) -> None:
        """Until something can be read, at most so long; at once when the feed is closing."""
        poll = select.poll()
        for fd in (self._wake_read, *descriptors):
            poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    def _look_at_mounts(self, announce: Announce) -> None:
        """No event tells that a file system is mounted or unmounted below the root."""
        table = self._notify.mount_table()
        if table == self._mounts:
            return
        self._mounts = table
        with self._root.open() as fd:
            place = self._notify.place_of(fd).decode("utf-8", "surrogateescape")
        survey = self._source.survey
        tops = mounts_below(parse_mounts(table), place) | {""}
        for path in tops ^ survey.tops:
            survey.add(path, announce)
        survey.tops = tops

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._changed.set)
