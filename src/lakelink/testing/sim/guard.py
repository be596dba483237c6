"""The guard of a simulated lazy tree: stubs are marks on inodes, loads come from the simulated store, and whoever opens a stub waits for one.

What the kernel and the guard's own processes do is tested elsewhere, on real kernels. Here each of its calls is done whole or not at all; what is
played is how links, users and foreign clients get along with stubs that come, go and are loaded at any moment.
"""

from __future__ import annotations

import asyncio
import errno
import random
import stat as modes
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.links.hsm.base import Candidate, Event, Fill, MakeRoom, NewStub, Outcome, Result, Sight, Tier
from lakelink.links.hsm.lazy import Going, Living
from lakelink.links.hsm.leaving import Leaving
from lakelink.links.hsm.stub import LOADED, OWN, STUB, Flags, Stub
from lakelink.model.entry import Origin, Posix, Version
from lakelink.testing.sim.inode import Inode, fail
from lakelink.testing.sim.kernel import SimKernel
from lakelink.testing.sim.objects import StoredObject

NOTHING = Flags(0)
Fetch = Callable[[str], StoredObject | None]
"""What the store holds for a path of the link now."""


class SimGuard:
    """`Guard` for the process of one simulated kernel. `top` is the tree."""

    tier = Tier.PRE_CONTENT

    def __init__(self, kernel: SimKernel, top: Inode, fetch: Fetch) -> None:
        self._kernel = kernel
        self._disk = kernel.disk
        self._top = top
        self._fetch = fetch
        self.leaving = Leaving()

    async def start(self) -> None:
        """It is always there."""

    async def stop(self, *, keep: bool = False) -> None:
        """It is always there."""

    def protect(self, fds: Sequence[int]) -> None:
        """Marks are on the inodes."""

    def prepare(self, fd: int, stub: NewStub) -> Version:
        """See `Guard.prepare`."""
        self._kernel.fstat(fd)
        inode = self._kernel.files.inode(fd)
        make_stub(inode, stub.posix, stub.origin)
        self._disk.soil(inode)
        return version_of(inode)

    def make(self, stubs: Sequence[NewStub]) -> list[Version | LakelinkError]:
        """See `Guard.make`."""
        return [self._make(stub) for stub in stubs]

    def _make(self, stub: NewStub) -> Version | LakelinkError:
        top = self._kernel.open("/srv/files", 0o200000)
        parent, _, name = stub.path.rpartition("/")
        try:
            there = self._kernel.open_beneath(parent, 0o200000, dir_fd=top) if parent else top
            fd = self._kernel.open(".", 0o20200002, 0o600, dir_fd=there)
            version = self.prepare(fd, stub)
            self._kernel.link_fd(fd, name, dir_fd=there)
            self._kernel.close(fd)
        except OSError as error:
            return PreconditionFailed(f"{stub.path}: {error.strerror}")
        return version

    async def restore(self, paths: Sequence[str]) -> list[Result]:
        """See `Guard.restore`."""
        await asyncio.sleep(0.001)
        results = []
        for path in paths:
            self._kernel.between("restore", path)
            inode = find(self._top, path)
            if inode is None or not inode.is_file:
                results.append(Result(path, Outcome.GONE))
            elif not inode.has_no_bytes:
                results.append(Result(path, Outcome.ALREADY, version_of(inode)))
            else:
                loaded = load(inode, self._fetch)
                results.append(Result(path, Outcome.DONE if loaded else Outcome.CHANGED, version_of(inode)))
        return results

    async def release(self, candidates: Sequence[Candidate]) -> list[Result]:
        """See `Guard.release`."""
        with self.leaving.relying(wanted.origin.path for wanted in candidates) as sure:
            await asyncio.sleep(0.001)
            results = []
            for wanted in candidates:
                self._kernel.between("release", wanted.path)
                inode = find(self._top, wanted.path)
                outcome = release(inode, wanted) if wanted.origin.path in sure else Outcome.CHANGED
                results.append(Result(wanted.path, outcome))
        return results

    async def restub(self, candidates: Sequence[Candidate], stubs: Sequence[NewStub]) -> list[Result]:
        """See `Guard.restub`."""
        await asyncio.sleep(0.001)
        results = []
        for wanted, stub in zip(candidates, stubs, strict=True):
            self._kernel.between("restub", wanted.path)
            inode = find(self._top, wanted.path)
            if inode is None or not inode.is_file:
                results.append(Result(wanted.path, Outcome.GONE))
            elif version_of(inode) != wanted.files or not inode.has_no_bytes:
                results.append(Result(wanted.path, Outcome.DIRTY))
            elif inode.opens:
                results.append(Result(wanted.path, Outcome.IN_USE))
            else:
                make_stub(inode, stub.posix, stub.origin)
                inode.keep()
                results.append(Result(wanted.path, Outcome.DONE, version_of(inode)))
        return results

    async def flag(self, paths: Sequence[str], *, add: Flags = NOTHING, remove: Flags = NOTHING) -> list[Result]:
        """See `Guard.flag`."""
        results = []
        for path in paths:
            inode = find(self._top, path)
            if inode is None or inode.stub is None:
                results.append(Result(path, Outcome.GONE))
            else:
                inode.stub = replace(inode.stub, flags=(inode.stub.flags | add) & ~remove)
                results.append(Result(path, Outcome.DONE))
        return results

    async def accept(self, paths: Sequence[str]) -> list[Result]:
        """See `Guard.accept`."""
        results = []
        for path in paths:
            inode = find(self._top, path)
            if inode is None or not inode.is_file:
                results.append(Result(path, Outcome.GONE))
            elif inode.stub is not None or not inode.hole:
                results.append(Result(path, Outcome.ALREADY))
            else:
                version = Version(len(inode.data), inode.mtime_ns)
                inode.stub = Stub(Origin("lake", path, version), inode.mtime_ns, OWN)
                results.append(Result(path, Outcome.DONE))
        return results

    def state(self, paths: Sequence[str]) -> list[Sight | None]:
        """See `Guard.state`."""
        return [self._sight(path) for path in paths]

    def _sight(self, path: str) -> Sight | None:
        self._kernel.between("state", path)
        inode = find(self._top, path)
        if inode is None or not inode.is_file:
            return None
        stub, version = inode.stub, version_of(inode)
        flags = stub.flags if stub else NOTHING
        if stub and (stub.mtime_ns, stub.size_bytes) != (version.time_ns, version.size_bytes):
            flags |= Flags.DIRTY
        allocated = 0 if inode.hole else len(inode.data)
        unknown = stub is None and inode.hole and bool(inode.data)
        return Sight(path, version, stub, flags, allocated, inode.atime_ns, unknown)

    async def events(self) -> AsyncIterator[Event]:
        """Nothing is told."""
        await asyncio.Event().wait()
        yield Event(kind=None)  # type: ignore[arg-type]  # never reached

    def fill(self) -> Fill:
        """There is room."""
        return Fill(1 << 40, 1 << 39)

    def set_make_room(self, make_room: MakeRoom | None) -> None:
        """There is room."""


class SimNeeded:
    """`Needed`: looks at every inode."""

    def __init__(self, kernel: SimKernel, top: Inode) -> None:
        self._kernel = kernel
        self._top = top

    async def living(self, objects: Sequence[Going]) -> list[list[Living]]:
        """See `Needed.living`."""
        self._kernel.between("living", " ".join(going.path for going in objects))
        return [
            [
                Living(name.decode("utf-8", "surrogateescape"), inode.stub.origin)
                for name, inode in self._kernel.disk.tree(self._top)
                if inode.ino == going.inode and inode.has_no_bytes and inode.stub is not None
            ]
            for going in objects
        ]


def find(top: Inode, path: str) -> Inode | None:
    """What is at a path of the tree."""
    here = top
    for component in path.encode("utf-8", "surrogateescape").split(b"/"):
        there = here.entries.get(component)
        if there is None:
            return None
        here = there
    return here


def version_of(inode: Inode) -> Version:
    """What names its state."""
    return Version(len(inode.data), inode.mtime_ns, inode.ino)


def make_stub(inode: Inode, posix: Posix, origin: Origin) -> None:
    """Size, times, mode, owner and mark; no byte."""
    inode.data = bytearray(origin.version.size_bytes)
    inode.hole = True
    inode.mode = modes.S_IFREG | posix.mode
    inode.uid, inode.gid = posix.uid, posix.gid
    inode.mtime_ns, inode.atime_ns = posix.mtime_ns, posix.atime_ns
    inode.stub = Stub(origin, posix.mtime_ns, STUB)


def load(inode: Inode, fetch: Fetch) -> bool:
    """The bytes of the version that the stub stands for are there now, and its time is what it was; False: that version is gone."""
    stub = inode.stub
    if stub is None:
        return True
    found = fetch(stub.origin.path)
    if found is None or found.etag.strip('"') != stub.origin.version.etag:
        return False
    inode.data = bytearray(found.body)
    inode.hole = False
    inode.stub = replace(stub, mtime_ns=inode.mtime_ns, flags=LOADED)
    inode.keep()
    return True


def release(inode: Inode | None, wanted: Candidate) -> Outcome:
    """The file becomes a stub, if it is what was agreed on and nobody has it open."""
    if inode is None or not inode.is_file:
        return Outcome.GONE
    if inode.has_no_bytes:
        return Outcome.ALREADY
    if inode.opens:
        return Outcome.IN_USE
    if version_of(inode) != wanted.files or wanted.files.size_bytes != wanted.origin.version.size_bytes:
        return Outcome.DIRTY
    inode.data = bytearray(len(inode.data))
    inode.hole = True
    inode.stub = Stub(wanted.origin, inode.mtime_ns, STUB)
    inode.keep()
    return Outcome.DONE


def opening_for_users(fetch: Fetch, choice: random.Random, trouble: float = 0.05) -> Callable[[Inode], None]:
    """What users meet: who opens a stub finds it loaded, or gets EIO; never zeros."""

    def at_open(inode: Inode) -> None:
        if inode.has_no_bytes and (choice.random() < trouble or not load(inode, fetch)):
            fail(errno.EIO)

    return at_open


def refuse(inode: Inode) -> None:
    """What the program meets: it never opens a stub."""
    if inode.has_no_bytes:
        fail(errno.ENODATA)
