"""Single objects and files: what pipes and quick looks need. Visible only on success, whatever the size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lakelink.config.document import load_document
from lakelink.errors import LakelinkError, NotFound, UsageError
from lakelink.locations.base import Delete, Location, Read, Write
from lakelink.locations.content import Content, StreamContent
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.entry import Entry, Expect, Kind, Row

Opener = Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Access:
    """How single objects are reached and stored."""

    config: str | None = None
    storage_class: str | None = None
    sse: str | None = None
    bandwidth_bytes_per_s: int | None = None


def split_object(text: str) -> tuple[str, str]:
    """("s3://lake/dumps", "db.sql") for "s3://lake/dumps/db.sql": the location, and the path of one object in it.

    Raises:
        UsageError: the text names a bucket or a directory, not an object.
    """
    head, slash, name = text.rpartition("/")
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not bucket or not key or key.endswith("/"):
            raise UsageError(f"{text} does not name an object", hint="Write s3://BUCKET/KEY.")
        if key.startswith("/") or "//" in key:
            # Locations drop such slashes, and another object would be meant.
            raise UsageError(f"{text} has an empty name between two slashes", hint="Keys like this cannot be files.")
        return (head if "/" in key else f"s3://{bucket}"), name
    if not slash and ":" in text:
        location, _, name = text.partition(":")
        head, slash = f"{location}:", "/"
    if not name:
        raise UsageError(f"{text} names a directory, not a file", hint="Name the file itself.")
    return (head or ("/" if slash else ".")), name


@asynccontextmanager
async def _opened(text: str, access: Access, *, writable: bool) -> AsyncIterator[tuple[Location, str]]:
    where, name = split_object(text)
    spec = parse_location(where, load_document(access.config))
    options = OpenOptions(
        writable=writable,
        storage_class=access.storage_class if writable else None,
        sse=access.sse if writable else None,
        bandwidth_bytes_per_s=access.bandwidth_bytes_per_s,
    )
    location = await open_location(spec, options)
    try:
        yield location, name
    finally:
        await location.aclose()


async def put(opener: Opener, target: str, access: Access) -> Entry:
    """Store a stream of any length under one name. What was there stays until the last byte has arrived, and then is replaced whole.

    Raises:
        PreconditionFailed: somebody else wrote the name meanwhile; nothing was replaced.
        UsageError, NotPermitted, Unreachable, NoSpace …: nothing was stored.
    """
    async with _opened(target, access, writable=True) as (location, name):
        entry = await _store(location, name, StreamContent(opener))
        await location.flush()
        return entry


async def _store(location: Location, name: str, content: Content, like: Entry | None = None) -> Entry:
    (there,) = await location.stat([name])
    if isinstance(there, LakelinkError):
        raise there
    expect = Expect(there.version if there and there.kind is not Kind.DIR else None)
    kind, posix, attributes = (like.kind, like.posix, like.attributes) if like else (Kind.FILE, None, None)
    (outcome,) = await location.write([Write(name, kind, content, posix, expect, attributes)])
    if isinstance(outcome, LakelinkError):
        raise outcome
    return outcome


async def cat(source: str, access: Access) -> AsyncIterator[bytes]:
    """The content of one object or file, in order, in bounded memory. A stream that ends without an error was complete and unchanged.

    Raises:
        NotFound: nothing is there. ChangedWhileRead, Corrupt, Unreachable: what was handed out so far must be thrown away.
    """
    async with _opened(source, access, writable=False) as (location, name):
        entry = await _existing(location, name, source)
        (content,) = await location.read([Read(name, entry.size_bytes, entry.version)])
        if isinstance(content, LakelinkError):
            raise content
        async for chunk in content.chunks():
            yield chunk


async def rm(target: str, access: Access) -> None:
    """Remove one object or file, if it is still what it was a moment ago.

    Raises:
        NotFound: nothing is there. PreconditionFailed: it changed meanwhile and was left alone.
    """
    async with _opened(target, access, writable=True) as (location, name):
        entry = await _existing(location, name, target)
        (error,) = await location.delete([Delete(name, entry.kind, Expect(entry.version))])
        if error:
            raise error


async def cp(source: str, target: str, access: Access) -> Entry:
    """Copy one object or file, with its metadata.

    Raises:
        as `cat` and `put`; nothing was stored.
    """
    if target.endswith("/"):
        target += split_object(source)[1]
    async with _opened(source, access, writable=False) as (origin, name):
        entry = await _existing(origin, name, source)
        (content,) = await origin.read([Read(name, entry.size_bytes, entry.version)])
        if isinstance(content, LakelinkError):
            raise content
        async with _opened(target, access, writable=True) as (location, path):
            stored = await _store(location, path, content, entry)
            await location.flush()
            return stored


async def ls(target: str, access: Access) -> AsyncIterator[Row]:
    """Every path below a location, as its listing gives them.

    Raises:
        RootMissing, NotPermitted, Unreachable: the listing is not complete.
    """
    spec = parse_location(target, load_document(access.config))
    location = await open_location(spec, OpenOptions(writable=False))
    try:
        async for batch in location.scan():
            for row in batch.rows:
                yield row
    finally:
        await location.aclose()


async def _existing(location: Location, name: str, text: str) -> Entry:
    (entry,) = await location.stat([name])
    if isinstance(entry, LakelinkError):
        raise entry
    if entry is None or entry.kind is Kind.DIR:
        raise NotFound(f"there is no file or object {text}", hint="`lakelink ls` shows what is there.")
    return entry
