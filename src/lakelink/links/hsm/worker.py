"""The worker of a guard: a process that answers whoever opens a stub. It may be killed at any moment, and another goes on where it was.

Started by the daemon as `python -m lakelink.links.hsm.worker GROUP_FD CONTROL_FD WAITING_PATH`. It outlives a daemon that dies, and goes on serving
until it is told to quit, or the next daemon starts another and ends this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from lakelink.links.hsm.questions import Questions, sweep, take_numbers
from lakelink.links.hsm.waiting import NUMBERS, Waiting

if TYPE_CHECKING:
    from lakelink.links.hsm.base import Event, Result
    from lakelink.links.hsm.control import Ask, Channel, Setup
    from lakelink.locations.base import Location

MAX_BACKLOG_BYTES = 4 << 20  # of events for a daemon that does not listen; more are dropped
EVICT_WITHIN_S = 60.0
RELEASES_AT_ONCE = 4
_REGISTER_AGAIN_S = 0.2
_TELL_AFTER_S = 0.05
_SWITCH_S = 0.0005  # the ear should not wait for the loop any longer than that


def main(arguments: list[str]) -> None:
    """Take over first, then import what is heavy: numbers that a dead worker left have to be free of everything else."""
    group_fd, control_fd, waiting_path = int(arguments[1]), int(arguments[2]), arguments[3]
    waiting = Waiting(waiting_path)
    take_numbers(waiting)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(NUMBERS, hard), hard))
    # The signal of a lease that somebody wants to break ends a process by default; those of a terminal are for the daemon.
    for number in (signal.SIGIO, signal.SIGURG, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_S)
    asyncio.run(_work(group_fd, socket.socket(fileno=control_fd), waiting))
    os._exit(0)  # the ear sits in read(2), and nothing is left to be done


async def _work(group_fd: int, control: socket.socket, waiting: Waiting) -> None:
    from lakelink.links.hsm.control import Channel

    channel = Channel(*await asyncio.open_connection(sock=control))
    setup = await channel.receive()
    if setup is not None:
        await Worker(group_fd, channel, waiting, setup).run()


class Worker:
    """Everything of one tree in one process."""

    def __init__(self, group_fd: int, channel: Channel, waiting: Waiting, setup: Setup) -> None:
        from lakelink.links.hsm.base import Tier
        from lakelink.links.hsm.filling import Filling
        from lakelink.links.hsm.loader import Limits, Loader
        from lakelink.links.hsm.places import Places
        from lakelink.links.hsm.quiet import Quiet
        from lakelink.links.hsm.releasing import Releasing
        from lakelink.links.hsm.room import DiskRoom
        from lakelink.links.hsm.settling import Settling
        from lakelink.links.hsm.tree import Tree
        from lakelink.links.hsm.turns import Turns

        self._setup = setup
        self._channel = channel
        self._waiting = waiting
        self._group_fd = group_fd
        self._numbers = itertools.count(1)
        self._roomed: dict[int, asyncio.Future[bool]] = {}
        self._locations: dict[str, Location] = {}
        self._opening = asyncio.Lock()
        self._quitting = asyncio.Event()
        self._alone = False
        self._news: list[Event] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._tree = Tree(setup.tree, Places(setup.state), group_fd, setup.tier)
        self._turns = Turns()
        self._settling = Settling(self._tree, self._turns)
        room = DiskRoom(self._tree.fill, setup.keep_free_bytes, self._evict)
        quiet = Quiet(self._tree)
        asks = setup.tier is Tier.PRE_CONTENT  # for each write, too
        filling = Filling(self._tree, self._location, room, self._settling.add, quiet.open if asks else None)
        limits = Limits(setup.load_timeout_s, asyncio.Semaphore(setup.loads_at_once))
        self._questions = Questions(group_fd, waiting, asyncio.get_running_loop(), self._asked)
        self._loader = Loader(filling, self._turns, limits, self._questions.answer, self._tell)
        self._settling.busy = lambda: self._loader.under_way > 0
        self._releasing = Releasing(self._tree, quiet)
        self._releases = asyncio.Semaphore(RELEASES_AT_ONCE)

    async def run(self) -> None:
        """Until it is told to quit."""
        pending = [] if self._setup.fresh else self._questions.adopt()
        if self._setup.fresh:
            self._waiting.forget()
        else:
            sweep(self._group_fd, self._waiting)
        registering = asyncio.create_task(self._stay_registered())
        self._questions.start()
        self._loader.ask(pending)
        for name in self._setup.locations:
            self._start(self._warm(name))
        settling = asyncio.create_task(self._settling.run())
        listening = asyncio.create_task(self._listen())
        await self._quitting.wait()
        for task in (settling, listening, registering):
            task.cancel()
        await self._settling.settle()
        for location in self._locations.values():
            await location.aclose()

    async def _stay_registered(self) -> None:
        """Be known to the holder as the worker. Where it died, the daemon starts another; where that died too, this does."""
        from lakelink.links.hsm.holder import WORKER
        from lakelink.links.hsm.holding import find_holder, start_holder

        loop = asyncio.get_running_loop()
        while True:
            held = await asyncio.to_thread(find_holder, self._setup.state)
            if held is not None:
                os.close(held.group_fd)
                with contextlib.suppress(OSError):
                    await loop.sock_sendall(held.connection, WORKER)
                    await loop.sock_recv(held.connection, 1)
                held.connection.close()
            elif self._alone:
                await asyncio.to_thread(start_holder, self._setup.state, self._group_fd)
            await asyncio.sleep(_REGISTER_AGAIN_S)

    def _asked(self, asked: list[tuple[int, bytes]]) -> None:
        self._loader.ask(asked)

    async def _location(self, name: str) -> Location:
        found = self._locations.get(name)
        if found is not None:
            return found
        from lakelink.locations.base import LocationSpec
        from lakelink.locations.resolve import OpenOptions, open_location

        async with self._opening:
            if name not in self._locations:
                url, section, options = self._setup.locations.get(name, (name, "", {}))
                spec = LocationSpec(url, section, options)
                self._locations[name] = await open_location(spec, OpenOptions(writable=False, one_file=False))
        return self._locations[name]

    async def _warm(self, name: str) -> None:
        """Have the location at hand before somebody waits for it."""
        from lakelink.errors import LakelinkError

        with contextlib.suppress(LakelinkError):
            await self._location(name)

    async def _listen(self) -> None:
        from lakelink.links.hsm.control import Ask, Roomed

        while True:
            message = await self._channel.receive()
            if isinstance(message, Ask):
                self._start(self._do(message))
            elif isinstance(message, Roomed):
                future = self._roomed.get(message.number)
                if future is not None and not future.done():
                    future.set_result(message.released)
            elif message is None:
                self._alone = True  # the daemon is gone; whoever opens a stub is still served
                for future in self._roomed.values():
                    if not future.done():
                        future.set_result(False)
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, ask: Ask) -> None:
        from lakelink.links.hsm.control import Answer, Verb
        from lakelink.links.hsm.flagging import accept, flag

        results: list[Result] = []
        change = (ask.add, ask.remove)
        match ask.verb:
            case Verb.RESTORE:
                results = list(await asyncio.gather(*(self._loader.restore(path) for path in ask.paths)))
            case Verb.RELEASE:
                results = list(await asyncio.gather(*(self._release(one) for one in ask.candidates)))
            case Verb.RESTUB:
                pairs = zip(ask.candidates, ask.stubs, strict=True)
                results = list(await asyncio.gather(*(self._release(one, new) for one, new in pairs)))
            case Verb.FLAG:
                results = [
                    await self._flag(path, lambda handle, path: flag(self._tree, handle, path, change))
                    for path in ask.paths
                ]
            case Verb.ACCEPT:
                (name, *_) = self._setup.locations
                results = [
                    await self._flag(path, lambda handle, path: accept(self._tree, handle, path, name))
                    for path in ask.paths
                ]
            case Verb.SETTLE:
                await self._settling.settle()
            case Verb.QUIT:
                self._tell_all()
                self._channel.send(Answer(ask.number, ()))
                self._quitting.set()
                return
        self._channel.send(Answer(ask.number, results))

    async def _release(self, candidate: Any, new: Any = None) -> Result:
        from lakelink.links.hsm.base import Event, Happened, Outcome, Result

        handle = self._tree.handle_at(candidate.path)
        if handle is None:
            return Result(candidate.path, Outcome.GONE)
        async with self._releases, self._turns.turn(handle):
            if new is not None:
                return await asyncio.to_thread(self._releasing.restub, handle, candidate, new)
            result = await asyncio.to_thread(self._releasing.release, handle, candidate)
        if result.outcome is Outcome.DONE:
            version = result.version
            inode = version.ino if version else 0
            self._tell(Event(Happened.RELEASED, candidate.path, inode, candidate.origin, result.freed_bytes))
        return result

    async def _flag(self, path: str, change: Callable[[bytes, str], Result]) -> Result:
        handle = self._tree.handle_at(path)
        if handle is None:
            from lakelink.links.hsm.base import Outcome, Result

            return Result(path, Outcome.GONE)
        async with self._turns.turn(handle):
            return change(handle, path)

    def _tell(self, event: Event) -> None:
        if not self._news:
            asyncio.get_running_loop().call_later(_TELL_AFTER_S, self._tell_all)
        self._news.append(event)

    def _tell_all(self) -> None:
        from lakelink.links.hsm.control import Happening

        news, self._news = self._news, []
        if news and not self._alone and self._channel.backlog_bytes < MAX_BACKLOG_BYTES:
            self._channel.send(Happening(news))

    async def _evict(self, size_bytes: int) -> bool:
        from lakelink.links.hsm.control import NeedRoom

        if self._alone:
            return False
        number = next(self._numbers)
        future = self._roomed[number] = asyncio.get_running_loop().create_future()
        self._tell_all()  # first: what was just loaded may be what can go
        self._channel.send(NeedRoom(number, size_bytes))
        try:
            async with asyncio.timeout(EVICT_WITHIN_S):
                released: bool = await future
        except TimeoutError:
            return False
        finally:
            del self._roomed[number]
        return released


if __name__ == "__main__":
    main(sys.argv)
