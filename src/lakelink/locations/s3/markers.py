"""Directory markers: an empty object whose key ends in a slash carries the directory's metadata.

Two things differ between stores. SeaweedFS answers HEAD for every prefix that has keys below it, marker or not (its ETag ends in `-0`
then, which no object's does), and it drops user metadata of markers but keeps their Content-Type. Where metadata is dropped, it goes into
parameters of the Content-Type, `application/x-directory; file-permissions=0040755; …`, under the names of the FSx schema.
All markers have the same ETag, so a condition tells absence from presence and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from lakelink.errors import PreconditionFailed, Retry, Unreachable, Unsupported
from lakelink.locations.base import Write
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import condition_headers, head
from lakelink.locations.s3.metadata import (
    META,
    OWN_METADATA,
    attribute_headers,
    bare_etag,
    entry_of_headers,
    foreign_attributes,
    posix_headers,
)
from lakelink.locations.s3.translate import translate
from lakelink.locations.s3.upload import SETTLE_ATTEMPTS, SETTLE_PAUSE_S, StoreTraits, sent_entry
from lakelink.model.entry import Entry, Kind, Posix
from lakelink.ports.wire import WireResponse

DIRECTORY_TYPE = "application/x-directory"
IMPLICIT_SUFFIX = "-0"
IF_IMPLICIT = ("if-match", '""')
"""What only a prefix without a marker fulfils (SeaweedFS 4.48; not the ETag that HEAD gives it). It keeps `k` and `k/` in one place: after `*` the marker
would replace an object that was put at `k` since.
"""


def is_implicit(headers: Mapping[str, str]) -> bool:
    """Whether HEAD answered for a prefix without a marker."""
    return bare_etag(headers.get("etag", "")).endswith(IMPLICIT_SUFFIX)


def require_empty(key: str, headers: Mapping[str, str]) -> None:
    """The marker is nothing but that.

    Raises:
        Unsupported: it has content, which no directory can hold: nobody here has seen it, so nobody here replaces or removes it.
    """
    if int(headers.get("content-length") or 0):
        raise Unsupported(
            f"{key} ends in a slash and has content, which no directory can hold",
            hint="It is left alone. Copy it to a key without the slash, then remove it.",
        )


def packed_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with metadata from the Content-Type's parameters, where there is no other."""
    kind, *parameters = headers.get("content-type", "").split(";")
    found = dict(headers)
    if kind.strip() != DIRECTORY_TYPE or "x-amz-meta-file-permissions" in headers:
        return found
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if META + name in OWN_METADATA:
            found[META + name] = value
    return found


def marker_entry(headers: Mapping[str, str]) -> Entry:
    """What HEAD says about a marker, or about a prefix that has none."""
    if is_implicit(headers):
        return Entry(kind=Kind.DIR)
    return entry_of_headers(packed_metadata(headers), marker=True)


async def put_marker(client: S3Client, store: StoreTraits, key: str, write: Write) -> Entry:
    """Put or replace a marker. A prefix that only has keys below it counts as absent.

    Raises:
        PreconditionFailed: there is a marker and none was expected, or the other way round.
    """
    replaced = write.expect.version
    attributes = write.attributes
    packed = store.marker_metadata is False
    condition = condition_headers(write.expect)
    if replaced is not None and replaced.etag:
        found = await head(client, key)
        if found is None or is_implicit(found.headers):
            raise PreconditionFailed(f"{key} is gone", hint="Look again, then decide again.")
        require_empty(key, found.headers)
        attributes = foreign_attributes(found.headers) if attributes is None else attributes
    response = await _put(client, store, key, write, (attributes, condition))
    if response.status == 412 and not (replaced and replaced.etag):
        found = await head(client, key)
        if found is not None and is_implicit(found.headers):
            response = await _put(client, store, key, write, (attributes, [IF_IMPLICIT]))
    request = client.request("PutObject", "PUT", key)
    if response.status >= 300:
        raise translate(request, response, client.bucket, key)
    entry = sent_entry(Kind.DIR, 0, write, response)
    if write.posix is None or packed or store.marker_metadata:
        return entry
    if store.marker_metadata is None:
        found = await head(client, key)
        store.marker_metadata = found is None or "x-amz-meta-file-permissions" in found.headers
    # Another marker may have found out while this one was on its way with metadata that the store drops.
    if store.marker_metadata or entry.version is None:
        return entry
    again = replace(write, expect=replace(write.expect, version=entry.version))
    response = await _put(client, store, key, again, (attributes, condition_headers(again.expect)))
    if response.status >= 300:
        raise translate(request, response, client.bucket, key)
    return sent_entry(Kind.DIR, 0, again, response)


async def _put(
    client: S3Client,
    store: StoreTraits,
    key: str,
    write: Write,
    how: tuple[Mapping[str, str] | None, list[tuple[str, str]]],
) -> WireResponse:
    attributes, condition = how
    headers = dict(attribute_headers(attributes))
    if store.marker_metadata is False:
        headers["content-type"] = _packed(write.posix)
    if store.conditions.write is False:
        condition = []
    request = client.request(
        "PutObject", "PUT", key, headers=[*headers.items(), *posix_headers(Kind.DIR, write.posix), *condition]
    )
    request.body = b""
    for attempt in range(SETTLE_ATTEMPTS):
        last = attempt + 1 == SETTLE_ATTEMPTS
        try:
            response = await client.send(request)
        except Unreachable as error:
            if last or error.retry is Retry.NEVER:
                raise
        else:
            if last or response.status not in {500, 502, 504}:
                return response
        # Nobody knows whether it was stored. A marker with our metadata, or with none where the store drops it, is as good as ours.
        found = await head(client, key)
        there = found is not None and not is_implicit(found.headers)
        if found is not None and there and marker_entry(found.headers).posix in {None, write.posix}:
            return WireResponse(200, found.headers)
        await asyncio.sleep(min(SETTLE_PAUSE_S * 2**attempt, 4.0))
    raise Unreachable(f"PutObject {key}: no clear answer")


def _packed(posix: Posix | None) -> str:
    pairs = (f"{name[len(META) :]}={value}" for name, value in posix_headers(Kind.DIR, posix))
    return "; ".join([DIRECTORY_TYPE, *pairs])
