"""Server-side copies: of content within a store, and of an object onto itself to change its metadata. No byte passes through this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from lakelink.errors import ChangedWhileRead, NotFound, PreconditionFailed, Unreachable
from lakelink.locations.base import Copy, SetPosix, Write
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import Sent, check_before, condition_headers, head, settle
from lakelink.locations.s3.download import S3Content
from lakelink.locations.s3.keys import encode_key
from lakelink.locations.s3.markers import put_marker
from lakelink.locations.s3.metadata import (
    PLACEMENT_HEADERS,
    attribute_headers,
    bare_etag,
    entry_of_headers,
    foreign_attributes,
    parse_iso_ns,
    posix_headers,
)
from lakelink.locations.s3.multipart import multipart_copy
from lakelink.locations.s3.parts import Upload
from lakelink.locations.s3.translate import refusal, translate
from lakelink.locations.s3.upload import (
    SETTLE_ATTEMPTS,
    SETTLE_PAUSE_S,
    StoreTraits,
    sent_entry,
    tag_headers,
)
from lakelink.locations.s3.xml import element
from lakelink.model.entry import Entry, Expect, Kind, Posix, Version


@dataclass(frozen=True, slots=True)
class Origin:
    """One version of an object to copy from."""

    bucket: str
    key: str
    etag: str
    size_bytes: int

    def headers(self) -> list[tuple[str, str]]:
        headers = [("x-amz-copy-source", f"/{encode_key(self.bucket)}/{encode_key(self.key)}")]
        if self.etag:
            headers.append(("x-amz-copy-source-if-match", f'"{self.etag}"'))
        return headers


async def copy_content(client: S3Client, store: StoreTraits, content: S3Content, key: str, write: Write) -> Entry:
    """Write an object whose bytes are already in this store, with the metadata of `write`.

    Raises:
        ChangedWhileRead: the origin is no longer the version observed. PreconditionFailed: the target is not.
    """
    attributes = write.attributes
    if attributes is None or not content.etag:
        seen = content.entry or await content.locate()
        attributes = seen.attributes if attributes is None else attributes
    origin = Origin(content.client.bucket, content.key, content.etag, content.size_bytes)
    headers = [
        *posix_headers(write.kind, write.posix),
        *attribute_headers(attributes),
        *client.options.placement_headers(),
    ]
    return await copy_to(client, store, origin, key, Target(write, headers))


async def copy_object(client: S3Client, store: StoreTraits, origin_key: str, key: str, copy: Copy) -> Entry:
    """Copy an object with all its metadata and tags."""
    found = await head(client, origin_key)
    if found is None:
        raise NotFound(f"{origin_key} is not there")
    if bare_etag(found.headers.get("etag", "")) != copy.origin_version.etag:
        raise ChangedWhileRead(f"{origin_key} changed", hint="It will be looked at again.")
    entry = entry_of_headers(found.headers, marker=False)
    origin = Origin(client.bucket, origin_key, copy.origin_version.etag, entry.size_bytes)
    write = Write(copy.path, entry.kind, None, entry.posix, copy.expect)
    headers = [*_kept(found.headers, entry.kind, entry.posix), *client.options.placement_headers()]
    return await copy_to(client, store, origin, key, Target(write, headers, keeps_tags=True))


async def set_object_posix(client: S3Client, store: StoreTraits, key: str, change: SetPosix) -> Entry:
    """Give the object other POSIX metadata; content, foreign metadata, tags, storage class and encryption stay.

    A directory without a marker gets one.
    """
    wanted = change.expect.version
    if change.kind is Kind.DIR:
        write = Write(change.path, Kind.DIR, None, change.posix, change.expect)
        return await put_marker(client, store, key, write) if key else Entry(kind=Kind.DIR)
    found = await head(client, key)
    if found is None or wanted is None or bare_etag(found.headers.get("etag", "")) != wanted.etag:
        raise PreconditionFailed(f"{key} is no longer what was to be changed", hint="Look again, then decide again.")
    seen = entry_of_headers(found.headers, marker=False)
    kind = seen.kind if seen.kind is Kind.SYMLINK else change.kind
    headers = _kept(found.headers, kind, change.posix)
    headers += [(name, found.headers[name]) for name in PLACEMENT_HEADERS if name in found.headers]
    size = int(found.headers.get("content-length") or 0)
    write = Write(change.path, kind, None, change.posix, Expect(Version(size, wanted.time_ns, etag=wanted.etag)))
    return await copy_to(
        client, store, Origin(client.bucket, key, wanted.etag, size), key, Target(write, headers, keeps_tags=True)
    )


def _kept(found: Mapping[str, str], kind: Kind, posix: Posix | None) -> list[tuple[str, str]]:
    return [*posix_headers(kind, posix), *attribute_headers(foreign_attributes(found))]


@dataclass(frozen=True, slots=True)
class Target:
    """What a copy is to leave behind."""

    write: Write
    headers: list[tuple[str, str]]
    keeps_tags: bool = False


async def copy_to(client: S3Client, store: StoreTraits, origin: Origin, key: str, target: Target) -> Entry:
    """Copy one version inside the store, if what is at `key` is what `target.write.expect` names; a lost answer is settled by looking.

    Raises:
        ChangedWhileRead: the origin is no longer that version. PreconditionFailed: the target is not what was expected.
    """
    write = target.write
    if origin.size_bytes > client.options.copy_limit_bytes:
        tags = await tag_headers(client, origin.key) if target.keeps_tags else []
        upload = Upload(client, store, key, write)
        return await multipart_copy(upload, [*target.headers, *tags], origin.headers(), origin.size_bytes)
    directive = "COPY" if target.keeps_tags else "REPLACE"
    headers = [
        *origin.headers(),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", directive),
        *target.headers,
    ]
    uncertain: Unreachable | None = None
    for attempt in range(SETTLE_ATTEMPTS):
        condition = condition_headers(write.expect)
        if store.conditions.copy is False:
            await check_before(client, key, write.expect)
            condition = []
        request = client.request("CopyObject", "PUT", key, headers=[*headers, *condition])
        response = None
        try:
            response = await client.send(request)
        except Unreachable as error:
            uncertain = error
        # S3 may answer 200 and then fail: the document tells (Amazon S3 API reference, CopyObject).
        if response is not None and response.status < 300 and element(response.body, "ETag"):
            return _copied(sent_entry(write.kind, origin.size_bytes, write, response), response.body)
        lost = response is None or response.status < 300 or response.status in {500, 502, 504}
        if not lost and response is not None and not (uncertain and response.status == 412):
            if response.status == 412:
                await _blame(client, origin)
            if response.status == 404 and refusal(response).code == "NoSuchKey":
                raise PreconditionFailed(f"{key} or its origin is gone", hint="Look again, then decide again.")
            raise translate(request, response, client.bucket, key)
        uncertain = uncertain or Unreachable(f"CopyObject {key}: no clear answer")
        sent = Sent(write.kind, origin.size_bytes, write.posix, frozenset({origin.etag}), None)
        settled = await settle(client, key, write.expect, sent)
        if settled is not None:
            return settled
        await asyncio.sleep(min(SETTLE_PAUSE_S * 2**attempt, 4.0))
    raise uncertain or Unreachable(f"CopyObject {key}: refused again and again")


async def _blame(client: S3Client, origin: Origin) -> None:
    """A 412 of a copy is about the origin or the target; look which."""
    if origin.bucket != client.bucket:
        return
    found = await head(client, origin.key)
    if found is None or bare_etag(found.headers.get("etag", "")) != origin.etag:
        raise ChangedWhileRead(f"{origin.key} changed while it was copied", hint="It will be looked at again.")


def _copied(entry: Entry, answer: bytes) -> Entry:
    """The entry with what the answer's document says of the copy."""
    if entry.version is None:
        return entry
    version = replace(entry.version, etag=bare_etag(element(answer, "ETag")))
    with suppress(ValueError):  # then the Date of the answer has to do
        version = replace(version, time_ns=parse_iso_ns(element(answer, "LastModified")))
    return replace(entry, version=version)
