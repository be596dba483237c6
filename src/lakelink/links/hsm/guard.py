"""The guard of a tree on this kernel: `base.Guard`, as the daemon has it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from lakelink.errors import LakelinkError, StorageError, Unsupported
from lakelink.links.hsm import making, view
from lakelink.links.hsm.base import (
    NOTHING,
    Candidate,
    Event,
    Fill,
    GuardSpec,
    MakeRoom,
    NewStub,
    Outcome,
    Result,
    Sight,
    Tier,
)
from lakelink.links.hsm.control import Answer, Ask, Happening, NeedRoom, Roomed, Setup, Verb
from lakelink.links.hsm.crew import Crew
from lakelink.links.hsm.leaving import Leaving
from lakelink.links.hsm.making_process import Maker
from lakelink.links.hsm.marking import Marked, Marking, Suspect
from lakelink.links.hsm.places import Places
from lakelink.links.hsm.probe import probe
from lakelink.links.hsm.stub import Flags
from lakelink.links.hsm.tree import Tree
from lakelink.model.entry import Version

MAX_EVENTS = 65_536
EARS_S = 0.005  # what was told before a load needed room is heard first: what was just loaded may be what can go
PATHS_AT_ONCE = 512
ALTERNATIVE = "Use `lakelink mount`, or a link that is not lazy and a preload of what a job needs."


class KernelGuard:
    """See `base.Guard`. Make one per lazy link."""

    def __init__(self, spec: GuardSpec) -> None:
        self._spec = spec
        self._tier = Tier.NONE
        self._tree: Tree | None = None
        self._maker: Maker | None = None
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._news = asyncio.Event()
        self._stopped = False
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Sequence[Result]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._make_room: MakeRoom | None = None
        self._suspect: Suspect | None = None
        self.leaving = Leaving()
        self.marked = Marked()
        self.crew = Crew(spec.state, self._tell, self._heard)

    @property
    def tier(self) -> Tier:
        return self._tier

    @property
    def tree(self) -> Tree:
        """The tree, once the guard was started."""
        if self._tree is None:
            raise StorageError("the tree is not guarded", hint="Start its guard first.")
        return self._tree

    @property
    def maker_pid(self) -> int:
        """The maker's process, 0 where there is none."""
        return self._maker.pid if self._maker is not None else 0

    def set_make_room(self, make_room: MakeRoom | None) -> None:
        self._make_room = make_room

    def set_suspect(self, suspect: Suspect | None) -> None:
        """Who says, while marks are set, whether a hole without attribute may stand for an object. Called in a thread."""
        self._suspect = suspect

    async def start(self) -> None:
        spec = self._spec
        if self._tree is not None:
            return
        found = await asyncio.to_thread(probe, spec.tree)
        if found.tier is Tier.NONE:
            raise Unsupported(f"{spec.view} cannot be lazy here: {found.why}", hint=ALTERNATIVE)
        self._tier = found.tier
        await asyncio.to_thread(self.crew.take_group)
        try:
            await self._guard()
        except BaseException:
            await self.crew.stop(keep=not self.crew.fresh)
            self._close_tree()
            raise

    async def _guard(self) -> None:
        spec, crew = self._spec, self.crew
        if crew.fresh:
            # The group before this one is gone, and with it all marks: whoever looks at the view now may read holes.
            await asyncio.to_thread(view.withdraw, spec.view, spec.tree, detach=True)
        self._tree = Tree(spec.tree, Places(spec.state), crew.group_fd, self._tier)
        self._maker = Maker(self._tree)
        crew.start(
            Setup(
                tree=spec.tree,
                state=spec.state,
                tier=self._tier,
                locations=spec.locations,
                keep_free_bytes=spec.keep_free_bytes,
                load_timeout_s=spec.load_timeout_s,
                loads_at_once=spec.loads_at_once,
                fresh=crew.fresh,
            )
        )
        await crew.ready.wait()
        if crew.fresh:
            self.marked = await asyncio.to_thread(Marking(self._tree, self._suspect).run)
        await asyncio.to_thread(view.expose, spec.view, spec.tree)

    async def stop(self, *, keep: bool = False) -> None:
        if self._tree is None:
            return
        spec = self._spec
        if not keep:
            gone = await asyncio.to_thread(view.withdraw, spec.view, spec.tree)
            keep = not gone or bool(await asyncio.to_thread(view.exposed, spec.tree))
            if not keep:
                await self._ask(Verb.QUIT)
        await self.crew.stop(keep=keep)
        self._heard(None)
        self._close_tree()
        self._stopped = True
        self._news.set()

    def _close_tree(self) -> None:
        if self._maker is not None:
            self._maker.close()
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def protect(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self.tree.protect(fd)

    def prepare(self, fd: int, stub: NewStub) -> Version:
        return making.prepare(self.tree, fd, stub)

    def make(self, stubs: Sequence[NewStub]) -> list[Version | LakelinkError]:
        return making.make(self.tree, stubs, self._maker)

    async def restore(self, paths: Sequence[str]) -> list[Result]:
        return await self._in_parts(paths, lambda part: self._ask(Verb.RESTORE, paths=part))

    async def release(self, candidates: Sequence[Candidate]) -> list[Result]:
        return await self._in_parts(candidates, self._release)

    async def _release(self, part: Sequence[Candidate]) -> Sequence[Result]:
        with self.leaving.relying(wanted.origin.path for wanted in part) as sure:
            going = [Result(one.path, Outcome.CHANGED) for one in part if one.origin.path not in sure]
            asked = [one for one in part if one.origin.path in sure]
            results = iter([*await self._ask(Verb.RELEASE, candidates=asked)] if asked else [])
            gone = iter(going)
            return [next(results if one.origin.path in sure else gone) for one in part]

    async def restub(self, candidates: Sequence[Candidate], stubs: Sequence[NewStub]) -> list[Result]:
        pairs = list(zip(candidates, stubs, strict=True))
        return await self._in_parts(
            pairs,
            lambda part: self._ask(Verb.RESTUB, candidates=[one for one, _ in part], stubs=[new for _, new in part]),
        )

    async def flag(self, paths: Sequence[str], *, add: Flags = NOTHING, remove: Flags = NOTHING) -> list[Result]:
        return await self._in_parts(paths, lambda part: self._ask(Verb.FLAG, paths=part, add=add, remove=remove))

    async def accept(self, paths: Sequence[str]) -> list[Result]:
        return await self._in_parts(paths, lambda part: self._ask(Verb.ACCEPT, paths=part))

    async def settle(self) -> None:
        """What was loaded until now is on stable storage, and its attributes say so."""
        await self._ask(Verb.SETTLE)

    def state(self, paths: Sequence[str]) -> list[Sight | None]:
        return [self.tree.sight(path) for path in paths]

    def fill(self) -> Fill:
        return self.tree.fill()

    async def events(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._stopped:
                return
            self._news.clear()
            await self._news.wait()

    async def _in_parts(self, items: Sequence[Any], ask: Any) -> list[Result]:
        results: list[Result] = []
        for at in range(0, len(items), PATHS_AT_ONCE):
            results.extend(await ask(items[at : at + PATHS_AT_ONCE]))
        return results

    async def _ask(self, verb: Verb, **what: Any) -> Sequence[Result]:
        """Ask the worker; where it dies meanwhile, the next one is asked again: all that is asked may be repeated."""
        while True:
            await self.crew.ready.wait()
            number = next(self._numbers)
            future = self._asked[number] = asyncio.get_running_loop().create_future()
            try:
                self.crew.send(Ask(number, verb, **what))
                results: Sequence[Result] = await future
            except ConnectionResetError:
                if verb is Verb.QUIT:
                    return ()
            else:
                return results
            finally:
                self._asked.pop(number, None)

    def _heard(self, message: Any) -> None:
        match message:
            case Answer(number, results):
                future = self._asked.get(number)
                if future is not None and not future.done():
                    future.set_result(results)
            case Happening(events):
                self._events.extend(events)
                self._news.set()
            case NeedRoom(number, size_bytes):
                task = asyncio.get_running_loop().create_task(self._room(number, size_bytes))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case None:
                for future in self._asked.values():
                    if not future.done():
                        future.set_exception(ConnectionResetError())

    async def _room(self, number: int, size_bytes: int) -> None:
        released = False
        await asyncio.sleep(EARS_S)
        candidates = list(self._make_room(size_bytes)) if self._make_room is not None else []
        if candidates:
            results = await self.release(candidates)
            released = any(result.outcome is Outcome.DONE for result in results)
        self.crew.send(Roomed(number, released))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self._news.set()


def prepare_backing(backing: str) -> None:
    """Make the backing directory, 0700, and the tree in it. May be repeated."""
    os.makedirs(backing, mode=0o700, exist_ok=True)  # noqa: PTH103
    os.chmod(backing, 0o700)  # noqa: PTH101
    os.makedirs(os.path.join(backing, "tree"), mode=0o755, exist_ok=True)  # noqa: PTH103, PTH118
