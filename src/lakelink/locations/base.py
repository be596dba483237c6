"""The Location port: a tree of files somewhere, and the few verbs that lakelink needs of it.

Batches in, batches out: the verbs take sequences and answer with a list in the same order, in which the trouble of one path is a
value. Only what concerns the whole location (root gone, credentials refused, service unreachable) is raised. How an adapter is written is
in docs/ADAPTERS.md; `lakelink.testing.contract` is the contract as tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

from lakelink.errors import LakelinkError
from lakelink.locations.content import Content
from lakelink.model.change import Problem, Skipped
from lakelink.model.entry import Entry, Expect, Kind, Posix, Row, Version

Excludes: TypeAlias = Callable[[str, bool], bool]
"""(path, is_directory) -> the path and all below it are left out of a scan."""


class Guarantee(Enum):
    """How a mutating verb honours its `expect`."""

    ATOMIC = "atomic"  # the check and the change are one step: no other writer can come between
    CHECKED = "checked"  # checked right before; what was displaced is examined or kept, so nothing is lost silently
    BLIND = "blind"  # cannot be checked: the last writer wins


@dataclass(frozen=True, slots=True)
class Traits:
    """What a location can do; code branches on these, never on an adapter's name."""

    ordered_list: bool  # scan yields paths in UTF-8 byte order
    ranges: bool  # content can be read from the middle
    posix_in_list: bool  # scan rows carry mtime, mode and owner: no stat is needed to compare them
    posix: bool  # mode, owner and mtime can be stored
    symlinks: bool
    directories: bool  # a directory exists by itself, with its own metadata
    local: bool  # calls are kernel calls: batches run in threads, latency is microseconds
    write: Guarantee
    delete: Guarantee
    set_posix: Guarantee
    store: str = ""  # service and access: between two locations of the same one, not empty, `write` moves content without fetching it


@dataclass(frozen=True, slots=True)
class LocationSpec:
    """Everything needed to open the same location elsewhere: serialisable; credentials only by name."""

    url: str  # file:///abs/path, s3://bucket/prefix, memory:name
    name: str = ""  # of the [locations.NAME] section it came from
    options: Mapping[str, str] = field(default_factory=dict)  # endpoint, region, profile, addressing, ca_bundle …


@dataclass(slots=True)
class Batch:
    """Some rows of a scan. A directory that could not be read is a row of kind PROBLEM with a Problem: what is below is unknown."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    hard_links: list[str] = field(
        default_factory=list
    )  # files that have other names too; each is copied as a file of its own

    def add_notes(self, other: Batch) -> None:
        """Take over all but the rows."""
        self.problems.extend(other.problems)
        self.skipped.extend(other.skipped)
        self.hard_links.extend(other.hard_links)


@dataclass(slots=True)
class Sides:
    """Some of what a walk of two locations at once saw."""

    source: Batch
    target: Batch
    equal_files: int = (
        0  # on both sides with equal size, mtime, mode and (where it counts) owner: they are in neither batch
    )


@dataclass(frozen=True, slots=True)
class Read:
    """Wants the content of a path; with `expect`, of exactly that version. A content is always of one version, however often it is opened.

    `fetch` False: its bytes may well stay where they are (`Traits.store`), so that fetching them early would be in vain.
    """

    path: str
    size_bytes: int
    expect: Version | None = None
    fetch: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """Put a file, directory or symlink at `path`, whole or not at all.

    `content` is None for directories; for a symlink it is the target's bytes. `posix` None = do not keep it (defaults apply). `attributes`
    are foreign metadata that should survive (content type, user metadata …), ignored where they cannot be stored. What is replaced may be
    a file or a symlink, whichever is written; a directory has to be removed first, and a device or FIFO is never replaced.
    """

    path: str
    kind: Kind
    content: Content | None
    posix: Posix | None
    expect: Expect
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove what is at `path` if it is still the version named. Directories only when empty.

    For a directory the version names which one it is: what happens inside it (its times, its size) does not make it another.
    """

    path: str
    kind: Kind
    expect: Expect


@dataclass(frozen=True, slots=True)
class SetPosix:
    """Replace the POSIX metadata of `path` without touching its content."""

    path: str
    kind: Kind
    posix: Posix
    expect: Expect


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy `origin` of version `origin_version` to `path` inside this location, without moving bytes through this machine."""

    origin: str
    origin_version: Version
    path: str
    expect: Expect


class Location(Protocol):
    """A tree of files somewhere. Safe to use from one event loop; verbs may run concurrently.

    Per-path errors, as values in the answers: PreconditionFailed (observe again, decide again), ChangedWhileRead, NotFound, Corrupt,
    NoSpace, Unsupported and NameUnsupported, NotPermitted (this path), StorageError. Raised, for the whole location: RootMissing, NotPermitted, Unreachable.
    """

    @property
    def spec(self) -> LocationSpec: ...

    @property
    def traits(self) -> Traits: ...

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests sent so far, by operation; empty for a location without a network."""
        ...

    def name_problem(self, path: str, kind: Kind) -> str | None:
        """Why this location cannot hold that name, or None. Pure; asked before anything is moved."""
        ...

    def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        """All paths below the root, the root itself ("") included where it has metadata; each path once, a directory's row at any time.

        Complete, or it raises. A path that appears or vanishes meanwhile may or may not be seen. lakelink's own names (`.lakelink`) are left out.
        """
        ...

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        """What is at each path now, with POSIX metadata, version and symlink target; None = nothing (sure, not unknown).

        For the lake a path is looked up as an object first, then as a directory marker, then as a prefix with keys below.
        """
        ...

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        """The content of each path, to be read soon; small files may be read at once, in one go. Nothing stays open."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        """Carry out each write; parents are made as needed. The answer is what is there now (its version, for the index).

        Never visible in part. May be repeated after any error: the same bytes leave one file. A cancelled call leaves old or new, never a mix.
        """
        ...

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        """Carry out each delete; None = it is gone (also when it already was)."""
        ...

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        """Carry out each change of metadata; the answer is what is there now."""
        ...

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        """Carry out each copy inside this location (renames of a link, duplicates)."""
        ...

    async def flush(self) -> None:
        """What was written is on stable storage when this returns: call it once per batch, before the index remembers it."""
        ...

    async def aclose(self) -> None:
        """Release everything, staging files included. Idempotent."""
        ...


@runtime_checkable
class Companion(Protocol):
    """A location that can walk itself and another of its kind in one go, which spares a row for each path that is equal on both."""

    async def beside(self, target: Location, *, owner: bool) -> AsyncIterator[Sides] | None:
        """Both scans, with this location as the source; None where they are better done one by one: nothing was done then.

        As `Location.scan` of each without excludes, but for plain files that are equal on both sides in size, mtime and mode, with `owner`
        in uid and gid too: those are only counted.
        """
        ...


@runtime_checkable
class Uploader(Protocol):
    """A location where large writes leave parts behind when their process is killed."""

    async def abort_uploads(self, paths: Sequence[str]) -> int:
        """Give up the unfinished uploads to these paths; returns how many there were. A writer who still is at it gets an error, and tries again."""
        ...


@runtime_checkable
class Attentive(Protocol):
    """A location that can tell whether somebody is writing."""

    async def being_written(self, paths: Sequence[str]) -> list[bool]:
        """Whether the file at each path is open for writing somewhere on this machine; False also where that cannot be told."""
        ...


@runtime_checkable
class Prompt(Protocol):
    """A location with a shorter way to a small file that somebody waits for."""

    async def fetch(self, read: Read) -> bytes | None:
        """All bytes of the version that `read` expects, checked as by `read`, which needs one question and one plain answer.

        None: it takes more than that, or something is wrong: `read` gets on, or tells what. Nothing is tried again here.
        """
        ...


@runtime_checkable
class Taggable(Protocol):
    """A location whose files carry tags beside their metadata."""

    async def tag(self, path: str, tags: Mapping[str, str]) -> None:
        """What is at `path` has these tags, and keeps others that it has. Of the version that is there now; a racing writer brings its own.

        Raises:
            NotFound: there is nothing. Unsupported: it would have more tags than it can. Others as for a path.
        """
        ...


@runtime_checkable
class Browsable(Protocol):
    """A location that can list one directory without all that is below it."""

    def list_directory(self, path: str) -> AsyncIterator[Batch]:
        """What is directly in the directory, as the rows of a scan (whole paths), without the directory itself and without lakelink's own.

        Complete, or it raises. What is both a file and a directory there is listed as what `stat` answers.

        Raises:
            NotFound: there is no such directory. As `scan`: RootMissing, NotPermitted, Unreachable.
        """
        ...


class StagedFile(Protocol):
    """A file of this machine that nobody sees yet: written through `fd` in any order, then put in place, whole, or thrown away."""

    @property
    def fd(self) -> int:
        """Open for reading and writing. Calls on it may block, and raise OSError."""
        ...

    async def place(self, write: Write) -> Entry:
        """Give it the metadata and the place that `write` names (its content is not looked at). As `Location.write` of one file, but errors are raised."""
        ...

    def discard(self) -> None:
        """Release it; what has no place yet is gone. Idempotent, quick."""
        ...


@runtime_checkable
class Stager(Protocol):
    """A location of this machine in which new files are filled in place, without a copy."""

    async def stage(self, path: str, like: Version | None = None) -> StagedFile:
        """An empty file that can become `path`; with `like`, one that holds the bytes of that version of `path` already. Parents are made.

        Raises:
            PreconditionFailed: `path` is not that version. NameUnsupported, NotPermitted, NoSpace, StorageError …: as `write`.
        """
        ...


@runtime_checkable
class Renamer(Protocol):
    """A location that gives something another path without copying it."""

    async def rename(self, path: str, version: Version, new_path: str, expect: Expect) -> Entry:
        """What was at `path`, of that version, is at `new_path` and nowhere else; a directory with all that is in it, and only where nothing is.

        Atomic where nothing is replaced. Otherwise what was displaced is examined as in `write`, and goes back if it was not the one named; a
        process killed in between leaves the file at both paths.

        Raises:
            PreconditionFailed: one of the two paths does not hold what was named. Unsupported: they are on different file systems.
            NameUnsupported, NotPermitted, StorageError: as `write`.
        """
        ...
