"""The steps that copy, move and tag, through the Location port: whole or not at all, and each change names the version that it replaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lakelink.engine.digest import digest
from lakelink.errors import InTheWay, LakelinkError, NotFound, RootMissing, Unsupported
from lakelink.gateway.workflows.upload import fill
from lakelink.locations.base import Delete, Location, Read, Taggable, Write
from lakelink.model.entry import Entry, Expect, Kind

T = TypeVar("T")
Opener = Callable[[str], Awaitable[Location]]


@dataclass(frozen=True, slots=True)
class Place:
    """A file: the location that holds it, as text, and its path below."""

    location: str
    path: str


def place_of(template: str, known: Mapping[str, str]) -> Place:
    """The file that a template means. Its location is what stands before the first placeholder, so that a few serve all files.

    Raises:
        Unsupported: it names no file below that.
    """
    head, brace, rest = template.partition("{")
    location, _, start = head.rpartition("/") if brace else template.rpartition("/")
    path = fill(start + brace + rest if brace else start, known)
    if not location or not path or path.endswith("/") or {"", ".", ".."} & set(path.split("/")):
        raise Unsupported(
            f"{template} names no file with {path!r} in it",
            hint="A target ends in the name of the file, such as {name} or {relative}.",
        )
    return Place(location, path)


async def copy(source: Place, target: Place, opener: Opener, *, replaces: bool) -> Entry:
    """The file is at the target afterwards as well. Doing it again is no harm. Returns what was copied.

    Raises:
        NotFound: the source is not there. InTheWay: something else is at the target, and it may not be replaced.
        LakelinkError: as the locations say.
    """
    here, there = await opener(source.location), await opener(target.location)
    entry = await _look(here, source.path)
    if entry is None or entry.kind is not Kind.FILE or entry.version is None:
        raise NotFound(
            f"{source.path} is not there any more", hint="Was it moved, removed or replaced by a later upload?"
        )
    old = await _look_at_target(there, target.path)
    if old is not None and not replaces:
        if _alike(old, entry) and await _digest(here, source.path, entry) == await _digest(there, target.path, old):
            return entry
        raise InTheWay(
            f"{target.path} is there already, and is another file", hint="replace = true, or {job} in its name."
        )
    content = _one(await here.read([Read(source.path, entry.size_bytes, entry.version)]))
    _one(await there.write([Write(target.path, Kind.FILE, content, entry.posix, Expect(old.version if old else None))]))
    await there.flush()
    return entry


async def move(source: Place, target: Place, opener: Opener, *, replaces: bool) -> None:
    """The file is at the target and no longer where it was. A version that came meanwhile stays where it is.

    Raises:
        As `copy`. PreconditionFailed: another version came meanwhile; it was not removed.
    """
    there = await opener(target.location)
    here = await opener(source.location)
    if await _look(here, source.path) is None and await _look_at_target(there, target.path) is not None:
        return  # it was moved, and that was not written down any more
    entry = await copy(source, target, opener, replaces=replaces)
    error = (await here.delete([Delete(source.path, Kind.FILE, Expect(entry.version))]))[0]
    if error is not None:
        raise error
    await here.flush()


async def tag(source: Place, tags: Mapping[str, str], opener: Opener) -> None:
    """The object has these tags, besides others that it had.

    Raises:
        Unsupported: a location of this kind has no tags. NotFound: the object is not there.
    """
    here = await opener(source.location)
    if not isinstance(here, Taggable):
        raise Unsupported(f"{source.location} has no tags", hint="Objects of S3 have; files have not.")
    await here.tag(source.path, tags)


def _alike(one: Entry, other: Entry) -> bool:
    """It may be what an earlier attempt left: same size, and the time that goes along with a copy. Clients that keep times make other files that look so."""
    times = [entry.posix.mtime_ns if entry.posix else None for entry in (one, other)]
    return (
        one.kind is other.kind and one.size_bytes == other.size_bytes and times[0] == times[1] and times[0] is not None
    )


async def _digest(location: Location, path: str, entry: Entry) -> bytes:
    return await digest(_one(await location.read([Read(path, entry.size_bytes, entry.version)])), "sha256")


async def _look(location: Location, path: str) -> Entry | None:
    return _one(await location.stat([path]))


async def _look_at_target(location: Location, path: str) -> Entry | None:
    """A directory that is not there yet is made by the write, which demands that the file is not there either."""
    try:
        return await _look(location, path)
    except RootMissing:
        return None


def _one(answers: Sequence[T | LakelinkError]) -> T:
    answer = answers[0]
    if isinstance(answer, LakelinkError):
        raise answer
    return answer
