"""What makes a link lazy, for everyone who carries its changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lakelink.links.hsm.base import Guard, Outcome, Result
from lakelink.links.hsm.files import LazyFiles
from lakelink.links.hsm.leaving import Leaving
from lakelink.model.entry import Entry, Origin, Posix, Version
from lakelink.model.linkspec import Lazy, Refresh

MOST_MADE = 20_000
MODE_OF_A_FILE = 0o644
"""Of an object that tells no mode, or has not been asked yet."""


@dataclass(frozen=True, slots=True)
class Going:
    """An object that is about to be replaced or removed, and the inode of the file that both sides knew it by."""

    path: str
    inode: int
    version: Version

    def is_origin(self, origin: Origin) -> bool:
        """Whether what stands for `origin` needs this object. What stands for an earlier version of it does not: that one is gone."""
        return origin.path == self.path and self.has_bytes_of(origin)

    def has_bytes_of(self, origin: Origin) -> bool:
        """Whether both hold the same content, as far as their versions tell."""
        mine, theirs = self.version, origin.version
        if mine.etag or theirs.etag:
            return mine.etag == theirs.etag and mine.size_bytes == theirs.size_bytes
        return mine == theirs


@dataclass(frozen=True, slots=True)
class Living:
    """A stub in the tree. `origin` is None where its attribute cannot be understood: it may stand for anything."""

    place: str
    origin: Origin | None


class Needed(Protocol):
    """Knows which stubs live of the files that were known for objects, when these are about to be replaced or removed."""

    async def living(self, objects: Sequence[Going]) -> list[list[Living]]:
        """For each, where its inode lives as a stub, and of what. Both are asked of the inode and not of a name, which may move meanwhile."""
        ...


class Made:
    """Names that the link itself has just given to stubs: that they appeared is no news. Whoever writes to one is seen to close it."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def add(self, paths: Iterable[str], until_s: float, now_s: float) -> None:
        """Of these it is no news until then."""
        if len(self._until_s) > MOST_MADE:
            self._until_s = {path: end_s for path, end_s in self._until_s.items() if end_s > now_s}
        self._until_s.update(dict.fromkeys(paths, until_s))

    def is_news(self, path: str, now_s: float) -> bool:
        """Whether it may be more than our own doing that the path appeared."""
        return self._until_s.get(path, 0.0) <= now_s


@dataclass(slots=True)
class Laziness:
    """The guard of the tree, and how the link uses it."""

    guard: Guard
    files: LazyFiles
    location: str  # the link's lake, as origins name it
    spec: Lazy
    uid: int  # the owner that files have until the lake tells another: that of the tree's top
    gid: int
    needed: Needed
    made: Made = field(default_factory=Made)

    @property
    def leaving(self) -> Leaving:
        """Objects that are about to go; nobody may begin to rely on one of them."""
        return self.guard.leaving

    def makes_stub(self, old: Entry | None) -> bool:
        """Whether the next version of a file comes as a stub. `old`: what is here now."""
        loads = self.spec.refresh is Refresh.LOAD and old is not None and old.resident
        return not loads

    def posix_of(self, lake: Entry) -> Posix:
        """What a stub is given for an object: its own metadata, or the defaults."""
        if lake.posix is not None:
            return lake.posix
        time_ns = lake.version.time_ns if lake.version else 0
        return Posix(MODE_OF_A_FILE, self.uid, self.gid, time_ns, time_ns)

    def origin_of(self, path: str, lake: Entry) -> Origin | None:
        """The origin of a stub for the object that was seen at `path`."""
        return Origin(self.location, path, lake.version) if lake.version else None

    async def load(self, paths: Sequence[str]) -> list[Result]:
        """Have the bytes of these files here, so that they can be read. What is not a stub stays as it is."""
        return await self.guard.restore(paths) if paths else []


def is_here(result: Result) -> bool:
    """Whether the file has its bytes now."""
    return result.outcome in {Outcome.DONE, Outcome.ALREADY}
