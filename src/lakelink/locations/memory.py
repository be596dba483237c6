"""A complete location in memory: the reference that other adapters are compared with, the ground of tests and of the simulator.

`memory:NAME` is shared by everyone in the process who opens that name. Every verb checks and changes in one step without a pause
in between, so its guarantees are ATOMIC; its scan is ordered. `MemoryStore` is also the door for foreign writers: what they do
there happens behind the back of whoever uses the location.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lakelink.errors import (
    ChangedWhileRead,
    Corrupt,
    LakelinkError,
    NameUnsupported,
    NotFound,
    PreconditionFailed,
    RootMissing,
    Unsupported,
)
from lakelink.locations.base import (
    Batch,
    Copy,
    Delete,
    Excludes,
    Guarantee,
    LocationSpec,
    Read,
    SetPosix,
    Traits,
    Write,
)
from lakelink.locations.content import BytesContent, Content
from lakelink.model.change import Skipped, SkipReason
from lakelink.model.entry import Entry, Expect, Kind, Posix, Row, Version
from lakelink.model.path import ROOT, file_problem, is_own, split, to_bytes
from lakelink.ports.clock import Clock, SystemClock

_BATCH_ROWS = 1000
_DEFAULT_MODE = {Kind.FILE: 0o644, Kind.DIR: 0o755, Kind.SYMLINK: 0o777}
_T = TypeVar("_T")
_A = TypeVar("_A")

_TRAITS = Traits(
    ordered_list=True,
    ranges=True,
    posix_in_list=True,
    posix=True,
    symlinks=True,
    directories=True,
    local=False,
    write=Guarantee.ATOMIC,
    delete=Guarantee.ATOMIC,
    set_posix=Guarantee.ATOMIC,
)


@dataclass(frozen=True, slots=True)
class Node:
    """What is at one path. `serial` is drawn anew for every change of a file or symlink; a directory keeps the one of its making,
    since what happens below a directory does not make it another one.
    """

    kind: Kind
    data: bytes
    posix: Posix
    serial: int
    attributes: Mapping[str, str] | None = None

    @property
    def version(self) -> Version:
        return Version(len(self.data), self.posix.mtime_ns, ino=self.serial)

    @property
    def entry(self) -> Entry:
        target = self.data.decode("utf-8", "surrogateescape") if self.kind is Kind.SYMLINK else None
        return Entry(
            kind=self.kind,
            size_bytes=len(self.data),
            posix=self.posix,
            version=self.version,
            target=target,
            attributes=self.attributes,
        )


class MemoryStore:
    """The tree behind a memory location, with a direct door for foreign writers: these never look at what they replace."""

    _named: dict[str, MemoryStore] = {}  # noqa: RUF012  # shared within the process, on purpose

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._serials = itertools.count(1)
        self.nodes: dict[str, Node] = {}
        self.create_root()

    @classmethod
    def named(cls, name: str) -> MemoryStore:
        """The store of that name; made when first asked for, kept until the process ends."""
        return cls._named.setdefault(name, cls())

    def create_root(self) -> None:
        """The root exists afterwards; what was there stays."""
        self.nodes.setdefault(ROOT, self._node(Kind.DIR, b"", None))

    def remove_root(self) -> None:
        """Everything vanishes, as with an unmounted disk; the next verb raises RootMissing."""
        self.nodes.clear()

    def put(self, path: str, data: bytes = b"", *, kind: Kind = Kind.FILE, posix: Posix | None = None) -> Version:
        """Foreign write: whatever was at `path` is replaced; parents are made."""
        self.create_root()
        self._make_parents(path)
        self.nodes[path] = node = self._node(kind, data, posix)
        return node.version

    def remove(self, path: str) -> None:
        """Foreign delete of `path` and all below it; nothing there is no error."""
        for doomed in [p for p in self.nodes if p == path or p.startswith(path + "/")]:
            del self.nodes[doomed]

    def files(self) -> dict[str, bytes]:
        """Path and bytes of every file, for comparing whole trees."""
        return {path: node.data for path, node in self.nodes.items() if node.kind is Kind.FILE}

    def children(self, path: str) -> Iterator[str]:
        """Paths anywhere below `path`."""
        prefix = f"{path}/" if path else ""
        return (p for p in self.nodes if p.startswith(prefix) and p != path)

    def check(self, path: str, expect: Expect) -> Node | None:
        """The node at `path`, which is the one expected.

        Raises:
            PreconditionFailed: it is another one, or it is there and should not be, or the other way round.
        """
        node = self.nodes.get(path)
        if expect.version is None:
            if node is not None:
                raise PreconditionFailed(f"{path!r} exists already")
        elif node is None:
            raise PreconditionFailed(f"{path!r} is gone")
        elif node.serial != expect.version.ino:
            raise PreconditionFailed(f"{path!r} is not the version that was to be changed")
        return node

    def place(self, write: Write, data: bytes) -> Entry:
        """Check and write in one step. A directory that is there already is adopted and only gets its metadata."""
        path, kind, posix, expect = write.path, write.kind, write.posix, write.expect
        existing = self.nodes.get(path)
        if kind is Kind.DIR and existing is not None and existing.kind is Kind.DIR:
            if expect.version is not None:
                self.check(path, expect)
            return self._keep(path, replace(existing, posix=posix or existing.posix))
        self.check(path, expect)
        if existing is not None and Kind.DIR in {existing.kind, kind}:
            raise PreconditionFailed(f"{path!r} is of another kind")
        self._make_parents(path)
        return self._keep(path, replace(self._node(kind, data, posix), attributes=write.attributes))

    def change_posix(self, change: SetPosix) -> Entry:
        """Check and change the metadata in one step."""
        node = self.check(change.path, change.expect)
        if node is None or node.kind is not change.kind:
            raise PreconditionFailed(f"{change.path!r} is not there, or of another kind")
        serial = node.serial if node.kind is Kind.DIR else next(self._serials)
        return self._keep(change.path, replace(node, posix=change.posix, serial=serial))

    def discard(self, delete: Delete) -> None:
        """Check and delete in one step; gone already is done."""
        if delete.path not in self.nodes:
            return
        node = self.check(delete.path, delete.expect)
        if node is None or node.kind is not delete.kind:
            raise PreconditionFailed(f"{delete.path!r} is of another kind")
        if delete.path == ROOT:
            raise Unsupported("the root itself is never deleted")
        if node.kind is Kind.DIR and next(self.children(delete.path), None) is not None:
            raise PreconditionFailed(f"{delete.path!r} is not empty")
        del self.nodes[delete.path]

    def _keep(self, path: str, node: Node) -> Entry:
        self.nodes[path] = node
        return node.entry

    def _node(self, kind: Kind, data: bytes, posix: Posix | None) -> Node:
        now = self._clock.time_ns()
        return Node(kind, data, posix or Posix(_DEFAULT_MODE[kind], 0, 0, now, now), next(self._serials))

    def _make_parents(self, path: str) -> None:
        parent, _ = split(path)
        missing: list[str] = []
        while parent not in self.nodes:
            missing.append(parent)
            parent, _ = split(parent)
        if self.nodes[parent].kind is not Kind.DIR:
            raise PreconditionFailed(f"{parent!r}, above {path!r}, is not a directory")
        for directory in missing:
            self.nodes[directory] = self._node(Kind.DIR, b"", None)


class _MemoryContent(Content):
    """The bytes of one version: opening it after a change raises, however often it was opened before."""

    def __init__(self, store: MemoryStore, path: str, node: Node) -> None:
        self._store, self._path, self._serial = store, path, node.serial
        self.size_bytes = len(node.data)
        self.entry = node.entry

    def _data(self) -> bytes:
        node = self._store.nodes.get(self._path)
        if node is None:
            raise NotFound(f"{self._path!r} is gone")
        if node.serial != self._serial:
            raise ChangedWhileRead(f"{self._path!r} changed since it was observed")
        return node.data

    async def load(self) -> bytes:
        return self._data()

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in BytesContent(self._data()).chunks(start, end):
            yield chunk
            await asyncio.sleep(0)


class MemoryLocation:
    """See the module."""

    def __init__(self, store: MemoryStore, *, name: str = "") -> None:
        self.store = store
        self.spec = LocationSpec(f"memory:{name}")
        self.traits = _TRAITS
        self.requests: Mapping[str, int] = {}

    def name_problem(self, path: str, kind: Kind) -> str | None:
        del kind
        return file_problem(path) if path else None

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        await self._enter()
        batch = Batch()
        pruned: set[str] = set()
        for path, node in sorted(self.store.nodes.items(), key=lambda item: to_bytes(item[0])):
            if is_own(path) or _is_below(path, pruned):
                continue
            if excludes is not None and path and excludes(path, node.kind is Kind.DIR):
                pruned.add(path)
                batch.skipped.append(Skipped(path, SkipReason.EXCLUDED))
                continue
            batch.rows.append(_row(path, node))
            if len(batch.rows) >= _BATCH_ROWS:
                yield batch
                batch = Batch()
                await self._enter()
        yield batch

    async def list_directory(self, path: str) -> AsyncIterator[Batch]:
        """See `Browsable.list_directory`."""
        await self._enter()
        node = self.store.nodes.get(path)
        if node is None or node.kind is not Kind.DIR:
            raise NotFound(f"there is no directory {path!r}")
        names = [child for child in self.store.children(path) if split(child)[0] == path and not is_own(child)]
        yield Batch([_row(child, self.store.nodes[child]) for child in sorted(names, key=to_bytes)])

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        await self._enter()
        return [node.entry if (node := self.store.nodes.get(path)) else None for path in paths]

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        await self._enter()
        return [_attempt(self._open, each) for each in reads]

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        answers: list[Entry | LakelinkError] = []
        for write in writes:
            try:
                answers.append(await self._write(write))
            except RootMissing:
                raise
            except LakelinkError as error:
                answers.append(error)
        return answers

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        await self._enter()
        return [_attempt(self.store.discard, each) for each in deletes]

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        await self._enter()
        return [_attempt(self.store.change_posix, each) for each in changes]

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        await self._enter()
        return [_attempt(self._copy, each) for each in copies]

    async def flush(self) -> None:
        await self._enter()

    async def aclose(self) -> None:
        """Nothing is held."""

    async def _enter(self) -> None:
        """Let others run, as a location that is far away does."""
        await asyncio.sleep(0)
        self._require_root()

    def _require_root(self) -> None:
        if ROOT not in self.store.nodes:
            raise RootMissing(f"{self.spec.url} is not there", hint="Nothing is known about what it holds.")

    def _open(self, read: Read) -> Content:
        node = self.store.nodes.get(read.path)
        if node is None:
            raise NotFound(f"{read.path!r} is not there")
        if node.kind is Kind.DIR:
            raise Unsupported(f"{read.path!r} is a directory and has no content")
        if read.expect is not None and node.serial != read.expect.ino:
            raise ChangedWhileRead(f"{read.path!r} changed since it was observed")
        return _MemoryContent(self.store, read.path, node)

    async def _write(self, write: Write) -> Entry:
        await self._enter()
        if problem := self.name_problem(write.path, write.kind):
            raise NameUnsupported(f"{write.path!r}: {problem}")
        data = b""
        if write.content is not None:
            data = b"".join([chunk async for chunk in write.content.chunks()])
            if write.content.size_bytes not in {None, len(data)}:
                raise Corrupt(f"{write.path!r}: {len(data)} bytes came where {write.content.size_bytes} were announced")
        # Nothing may be awaited from here on: check and change are one step.
        self._require_root()
        return self.store.place(write, data)

    def _copy(self, copy: Copy) -> Entry:
        origin = self.store.nodes.get(copy.origin)
        if origin is None:
            raise NotFound(f"{copy.origin!r} is not there")
        if origin.serial != copy.origin_version.ino:
            raise ChangedWhileRead(f"{copy.origin!r} changed since it was observed")
        write = Write(copy.path, origin.kind, None, origin.posix, copy.expect, origin.attributes)
        return self.store.place(write, origin.data)


def _attempt(action: Callable[[_A], _T], argument: _A) -> _T | LakelinkError:
    try:
        return action(argument)
    except LakelinkError as error:
        return error


def _row(path: str, node: Node) -> Row:
    posix = node.posix
    return Row(
        path, node.kind, len(node.data), posix.mtime_ns, posix.mode, posix.uid, posix.gid, posix.mtime_ns, node.serial
    )


def _is_below(path: str, tops: set[str]) -> bool:
    while tops and path:
        path, _ = split(path)
        if path in tops:
            return True
    return False
