"""The guard of a lazy tree, as links see it: what keeps a stub from being read as zeros.

A lazy link has a *backing directory* (0700, a sibling of its ROOT on the same file system) in which the *tree* lies. The link works on the tree; users
work on the *view*, a bind mount of the tree at ROOT that exists only while the tree is guarded. Loading and release keep inode, size and mtime of
a file, so that its `Version` on the files side stays what the journal says.

Who opens a stub waits in the kernel until its bytes are there, or gets an errno. That holds for the link's own process too: it may `stat`, rename,
unlink, link and change the metadata of a stub at will, and never has to open one. Content of a stub is never exported: `Entry.resident` is False.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from lakelink.errors import LakelinkError
from lakelink.links.hsm.leaving import Leaving
from lakelink.links.hsm.stub import Flags, Origin, Stub
from lakelink.model.entry import Posix, Version

NOTHING = Flags(0)


class Tier(Enum):
    """How well this kernel, file system and user can guard a stub; found out on the spot by `hsm.probe`."""

    PRE_CONTENT = "pre-content"  # opens, and truncate(2) by path; refusals with the errno that fits
    OPEN = "open"  # opens only: truncate(2) of a stub by path is not seen, refusals are EPERM on old kernels
    NONE = "none"  # lazy links are refused


@dataclass(frozen=True, slots=True)
class NewStub:
    """A file to be made without its bytes. `path` is relative to the tree; parents exist. Its size is that of the origin's version."""

    path: str
    posix: Posix
    origin: Origin


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be released: what it was when both sides were last in step. Anything else now, and it stays."""

    path: str
    files: Version  # ino, size_bytes, time_ns (mtime)
    origin: Origin


class Outcome(Enum):
    """What became of one path."""

    DONE = "done"
    ALREADY = "already"  # it was so before
    DIRTY = "dirty"  # not the version that was agreed on
    IN_USE = "in use"  # open, mapped, running, or opened meanwhile
    NORELEASE = "norelease"
    GONE = "gone"  # nothing at this path, or no file
    CHANGED = "changed"  # the origin is of another version, or gone: look at the lake again
    NO_SPACE = "no space"  # the disk is full, and nothing may be released
    FAILED = "failed"  # anything else: `error` says


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one path. `version` is the file's version on the files side afterwards, where it is known."""

    path: str
    outcome: Outcome
    version: Version | None = None
    freed_bytes: int = 0
    error: LakelinkError | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What is at a path of the tree, seen without opening it. `stub` is None for a file that never was one.

    `flags` add what is derived: DIRTY where size or mtime are not the stub's. `unknown`: one hole of the size of an object, and none of our
    attributes: never exported, never read as content.
    """

    path: str
    version: Version
    stub: Stub | None
    flags: Flags
    allocated_bytes: int
    accessed_ns: int  # max of atime, ctime and mtime
    unknown: bool = False


class Happened(Enum):
    """Kinds of `Event`."""

    LOADED = "loaded"
    RELEASED = "released"
    CHANGED = "changed"  # a load found the origin changed or gone (412, 404): the reader got EIO; plan again
    FAILED = "failed"  # a load failed otherwise; readers got an errno
    TAMPERED = "tampered"  # a stub holds bytes that were written while nothing guarded it: EIO until somebody decides
    WORKER = "worker"  # the worker ended and was started anew, or the holder was


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the tree without being asked for. `path` is where the file was found then, "" where that is not known."""

    kind: Happened
    path: str = ""
    inode: int = 0
    origin: Origin | None = None
    size_bytes: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """How full the file system of the tree is."""

    total_bytes: int
    available_bytes: int  # to unprivileged users, as `df` counts

    @property
    def free_fraction(self) -> float:
        return self.available_bytes / self.total_bytes if self.total_bytes else 0.0


MakeRoom: TypeAlias = Callable[[int], Sequence[Candidate]]
"""(bytes needed) -> what may be released for them, least recently used first; empty: nothing. Called in the daemon's loop, answers from memory or SQLite
within milliseconds, and is called again as long as it answers with candidates and room is short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSpec:
    """What a guard needs to know. `locations` maps the names in `Origin.location` to (url, name, options) of a `LocationSpec`."""

    tree: str  # BACKING/tree
    view: str  # ROOT
    state: str  # where sockets and the table of waiting readers are: BACKING, or another directory of mode 0700
    locations: Mapping[str, tuple[str, str, Mapping[str, str]]] = field(default_factory=dict)
    keep_free_bytes: int = 0  # loading evicts rather than going below
    load_timeout_s: float = 600.0  # of one file, from its first reader on; then EIO
    loads_at_once: int = 32


class Guard(Protocol):
    """The guard of one tree. All methods but `protect`, `make` and `adopt` are for one event loop; those three are blocking and safe from any thread."""

    @property
    def tier(self) -> Tier: ...

    @property
    def leaving(self) -> Leaving:
        """Objects that are about to go: nothing is released to one of them."""
        ...

    async def start(self) -> None:
        """The tree is guarded, then there is a view. All stubs below the tree carry their mark; readers who waited for a dead worker are served.

        With a holder alive from before, the marks are still there and nothing is walked. May be repeated.

        Raises:
            Unsupported: this kernel, file system or user cannot have lazy files; the hint names the alternative.
            Refused: something is mounted at the view, or it is not empty.
        """
        ...

    async def stop(self, *, keep: bool = False) -> None:
        """The view goes first, then the worker, the holder and the group. Where the view is in use, or with `keep` (an upgrade), holder and worker stay
        and go on serving: readers never meet an unguarded stub. Idempotent.
        """
        ...

    def protect(self, fds: Sequence[int]) -> None:
        """Mark these open files: from now on whoever opens one waits for its bytes. Call it before the file gets the name by which users find it.

        Raises:
            OSError: ENOMEM, or the group is gone: the file must not become visible.
        """
        ...

    def prepare(self, fd: int, stub: NewStub) -> Version:
        """Make an open, empty, nameless or staged file into a stub: size, owner, mode, times, attribute, mark. Give it its name afterwards.

        For the local adapter, which replaces a file by a stub as it replaces it by any other file.
        """
        ...

    def make(self, stubs: Sequence[NewStub]) -> list[Version | LakelinkError]:
        """Make many stubs under new names (blocking, many per call, no fsync: `flush` the files side afterwards). Never replaces: PreconditionFailed.

        A stub appears whole and marked, or not at all, a crash or power failure included.
        """
        ...

    async def restore(self, paths: Sequence[str]) -> list[Result]:
        """Load these now; ALREADY for what is not a stub."""
        ...

    async def release(self, candidates: Sequence[Candidate]) -> list[Result]:
        """Give up the bytes of each file that still is the version named, is not in use, and may be: it is a stub of its origin afterwards, durably."""
        ...

    async def restub(self, candidates: Sequence[Candidate], stubs: Sequence[NewStub]) -> list[Result]:
        """Each candidate (a stub, or clean and not in use) becomes a stub of the new origin, in place: size, times and attribute change, the inode stays."""
        ...

    async def flag(self, paths: Sequence[str], *, add: Flags = NOTHING, remove: Flags = NOTHING) -> list[Result]:
        """Set or clear NORELEASE, NOARCHIVE, LOST or ARCHIVED of files that have the attribute; GONE without it."""
        ...

    async def accept(self, paths: Sequence[str]) -> list[Result]:
        """Have files that are one hole without an attribute count as content: somebody says that their zeros are meant. ALREADY for all others."""
        ...

    def state(self, paths: Sequence[str]) -> list[Sight | None]:
        """What is at each path, without opening anything (blocking, quick); None = no file there."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """What happens, from the call on, until the guard is stopped. Bounded: the oldest are dropped when nobody reads."""
        ...

    def fill(self) -> Fill: ...

    def set_make_room(self, make_room: MakeRoom | None) -> None:
        """Who says what may be released when a load finds less than `keep_free_bytes` free."""
        ...
