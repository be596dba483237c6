"""A lazy tree on a simulated machine: who opens a stub, what is released when, and what becomes of a copy without its marks."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable
from contextlib import suppress

from lakelink.engine.supervise import together
from lakelink.errors import LakelinkError
from lakelink.links.hsm.files import LazyFiles
from lakelink.links.hsm.lazy import Laziness
from lakelink.links.hsm.policy import Releaser
from lakelink.links.hsm.tending import Tending
from lakelink.links.runtime import Link
from lakelink.locations.base import Location
from lakelink.model.entry import Origin
from lakelink.model.linkspec import Lazy, Refresh
from lakelink.ports.clock import Clock
from lakelink.state.holdings import Holdings
from lakelink.testing.sim.guard import SimGuard, SimNeeded, opening_for_users, refuse
from lakelink.testing.sim.inode import Inode, fail
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.ledger import tokens_in
from lakelink.testing.sim.objects import StoredObject
from lakelink.testing.sim.people import People
from lakelink.testing.sim.world import World

LAKE = "lake"


class LazyTree:
    """What of a lazy link outlives its process."""

    def __init__(self, world: World, prefix: str, name: str) -> None:
        self._world = world
        self._prefix = prefix
        self._name = name
        self._choice = world.chance.stream(f"lazy {name}")
        self._spec = Lazy(refresh=self._choice.choice(list(Refresh)))
        self._people: People | None = None
        self._top: Inode | None = None
        self._restored: list[tuple[str, Inode, set[int]]] = []
        self._suspects: dict[int, Origin] = {}  # holes without a mark, by serial number, and what they once stood for

    def settle(self, people: People, top: Inode) -> None:
        """These users live in the tree."""
        self._people, self._top = people, top
        opening = opening_for_users(self._fetch, self._choice)

        def at_open(inode: Inode) -> None:
            if inode.hole and inode.serial in self._suspects and inode.stub is None:
                fail(errno.EIO)  # as the guard does with what may stand for an object
            opening(inode)

        people.kernel.at_open = at_open
        people.bytes_of, people.meaning_of = self.bytes_of, self.meaning_of
        people.read_too()

    def bytes_of(self, inode: Inode) -> bytes | bytearray:
        """What a reader gets; of a stub whose object is gone: nothing, for he gets an error."""
        origin = inode.stub.origin if inode.has_no_bytes and inode.stub else None
        if inode.hole and inode.stub is None:
            origin = self._suspects.get(inode.serial)
        if origin is None:
            return inode.data
        found = self._fetch(origin.path)
        if found is not None and found.etag.strip('"') == origin.version.etag:
            return found.body
        return (
            b"" if inode.stub else inode.data
        )  # an error; or zeros, where nobody remembers that they stood for something

    def meaning_of(self, inode: Inode) -> bytes | bytearray:
        """What a file holds to its user, also where nobody can read it since its object was replaced: who removes it throws that away."""
        if inode.has_no_bytes and inode.stub is not None:
            etag = inode.stub.origin.version.etag
            for stored in self._world.store.objects.now.values():
                if stored.etag.strip('"') == etag:
                    return stored.body
        return self.bytes_of(inode)

    def laziness(self, files: Location, kernel: SimKernel) -> Laziness:
        """For a process that has just begun."""
        if self._top is None:
            raise AssertionError("nobody lives here")
        kernel.at_open = refuse
        guard = SimGuard(kernel, self._top, self._fetch)
        return Laziness(guard, LazyFiles(files, guard, LAKE), LAKE, self._spec, 0, 0, SimNeeded(kernel, self._top))

    def misfortunes(self) -> list[Callable[[random.Random], str]]:
        """What may happen to the tree at any time."""
        return [self._restore_without_marks]

    def unclear(self) -> set[str]:
        """Where a hole that lost its mark has got another name: there it is zeros to the link, and an error to whoever reads it."""
        return {
            path
            for path, inode in self._files()
            if inode.hole
            and inode.stub is None
            and inode.serial in self._suspects
            and self._suspects[inode.serial].path != path
        }

    def excuse(self) -> None:
        """A hole that lost its mark and was moved is zeros at its new path: that is told in the documentation, and who moved it threw its bytes away."""
        there = dict(self._files())
        for path, copy, tokens in self._restored:
            if there.get(path) is not copy or self._suspects[copy.serial].path != path:
                self._world.ledger.excuse(tokens, "a hole without its mark was moved")

    def _fetch(self, path: str) -> StoredObject | None:
        return self._world.store.objects.now.get(self._prefix + path)

    async def tend(self, link: Link, laziness: Laziness) -> None:
        """What runs beside the link; and somebody who releases files all the time."""
        parts, clock = link.parts, link.parts.clock
        holdings = Holdings(parts.journal)
        releaser = Releaser(laziness, parts.lake, parts.journal, holdings, clock, lambda path: path in link.dirty)
        tending = Tending(
            laziness, releaser, parts.journal, holdings, clock, lambda: link.dirty, lambda _code, _message: None
        )
        link.told.append(tending.outcome)
        await together(tending.run(), self._release(releaser, holdings, clock))

    async def _release(self, releaser: Releaser, holdings: Holdings, clock: Clock) -> None:
        while not self._world.chance.calm:
            await clock.sleep(self._choice.expovariate(1 / 2.0))
            agreed = holdings.agreed_files("", 100)
            if agreed:
                chosen = self._choice.sample(agreed, min(len(agreed), 2))
                with suppress(LakelinkError):  # the store cannot be asked
                    results = await releaser.release(chosen)
                    self._world.trace.add(
                        f"{self._name}: release of {chosen}: {[each.outcome.value for each in results]}"
                    )
        await asyncio.Event().wait()

    def _restore_without_marks(self, choice: random.Random) -> str:
        """A stub is replaced by a copy that is one hole and has lost its mark: a backup that knew nothing of it."""
        stubs = [(path, inode) for path, inode in self._files() if inode.has_no_bytes and inode.nlink == 1]
        if not stubs or choice.random() < 0.8:
            return f"{self._name}: nothing is restored"
        path, inode = choice.choice(stubs)
        copy = self._world_copy(inode)
        parent, name = self._parent(path)
        people = self._people
        if people is None or name not in parent.entries:
            return f"{self._name}: nothing is restored"
        people.disk.change([(parent, name, copy)])
        if inode.stub is not None and inode.stub.origin.path == path:
            self._suspects[copy.serial] = inode.stub.origin
            self._restored.append((path, copy, tokens_in(self.bytes_of(inode))))
        else:
            self._world.ledger.excuse(
                tokens_in(self.meaning_of(inode)), "a stub that was moved is restored without its mark"
            )
        return f"{self._name}: {path!r} is restored without its mark"

    def _world_copy(self, inode: Inode) -> Inode:
        people = self._people
        if people is None:
            raise AssertionError("nobody lives here")
        copy = people.disk.make(inode.mode)
        copy.data, copy.hole = bytearray(len(inode.data)), True
        copy.mtime_ns, copy.atime_ns, copy.uid, copy.gid = inode.mtime_ns, inode.atime_ns, inode.uid, inode.gid
        return copy

    def _parent(self, path: str) -> tuple[Inode, bytes]:
        here = self._top
        *above, name = path.encode("utf-8", "surrogateescape").split(b"/")
        for component in above:
            here = here.entries[component] if here is not None else None
        if here is None:
            raise AssertionError(path)
        return here, name

    def _files(self) -> list[tuple[str, Inode]]:
        if self._people is None:
            return []
        return [(path, inode) for path, inode in self._people.files().items() if inode.is_file]
