"""Writing one object of up to 8 MiB: one PUT with length, checksum and condition. Larger ones are in `multipart`."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from lakelink.errors import Corrupt, PreconditionFailed, Unreachable
from lakelink.locations.base import Write
from lakelink.locations.s3.checksums import Md5Trust, checksum_header, checksum_of
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import Conditions, Sent, check_before, condition_headers, head, settle
from lakelink.locations.s3.metadata import (
    attribute_headers,
    bare_etag,
    foreign_attributes,
    parse_http_date_ns,
    posix_headers,
    version_id_of,
)
from lakelink.locations.s3.options import Checksum
from lakelink.locations.s3.translate import refusal, translate
from lakelink.model.entry import Entry, Kind, Version
from lakelink.ports.wire import WireRequest, WireResponse

log = logging.getLogger("lakelink.s3")

SETTLE_ATTEMPTS = 6
SETTLE_PAUSE_S = 0.5
_REFUSED_CHECKSUM = frozenset(
    {"NotImplemented", "InvalidRequest", "InvalidArgument", "InvalidDigest", "XNotImplemented"}
)
_FALLBACK = {Checksum.CRC64NVME: Checksum.CRC32C, Checksum.CRC32C: Checksum.NONE}


@dataclass(slots=True)
class StoreTraits:
    """What was learnt about the store behind a client while working with it."""

    checksum: Checksum
    checksum_confirmed: bool = False
    conditions: Conditions = field(default_factory=Conditions)
    md5: Md5Trust = field(default_factory=Md5Trust)
    marker_metadata: bool | None = None  # whether directory markers keep user metadata
    learning: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: asyncio.Task[None] | None = None  # about `conditions`, while parts are already on their way


def sent_entry(kind: Kind, size_bytes: int, write: Write, response: WireResponse) -> Entry:
    """What is there after a write, from its answer. Last-Modified is not in it; the answer's Date is no more than a moment later."""
    version = Version(
        size_bytes,
        parse_http_date_ns(response.headers.get("date", "")),
        etag=bare_etag(response.headers.get("etag", "")),
        version_id=version_id_of(response.headers),
    )
    target = None
    return Entry(
        kind=kind, size_bytes=0 if kind is Kind.DIR else size_bytes, posix=write.posix, version=version, target=target
    )


async def rewrite_headers(client: S3Client, key: str, write: Write) -> list[tuple[str, str]]:
    """Metadata of the new object: ours, and the foreign metadata and tags of what it replaces, unless the caller gives others.

    The answer is bound to the version by the condition of the write that follows.
    """
    attributes: Mapping[str, str] | None = write.attributes
    tags: list[tuple[str, str]] = []
    replaced = write.expect.version
    if attributes is None and replaced is not None and replaced.etag and client.options.keep_attributes:
        found = await head(client, key)
        if found is None or bare_etag(found.headers.get("etag", "")) != replaced.etag:
            raise PreconditionFailed(
                f"{key} is no longer what was to be replaced", hint="Look again, then decide again."
            )
        attributes = foreign_attributes(found.headers)
        if int(found.headers.get("x-amz-tagging-count") or 0):
            tags = await tag_headers(client, key)
    return [
        *posix_headers(write.kind, write.posix),
        *attribute_headers(attributes),
        *tags,
        *client.options.placement_headers(),
    ]


async def tag_headers(client: S3Client, key: str) -> list[tuple[str, str]]:
    """The tags of an object as the header of a new one."""
    from urllib.parse import quote

    from lakelink.locations.s3.tagging import tags_of

    tags = await tags_of(client, key)
    encoded = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in tags.items()]
    return [("x-amz-tagging", "&".join(encoded))] if encoded else []


async def put_small(client: S3Client, traits: StoreTraits, key: str, write: Write, body: bytes) -> Entry:
    """Put the whole body in one request, if what is there is what `write.expect` names.

    Raises:
        PreconditionFailed: it is not (any more). Corrupt: the store got other bytes. Others as `translate` says.
    """
    headers = await rewrite_headers(client, key, write)
    uncertain: Unreachable | None = None
    for attempt in range(SETTLE_ATTEMPTS):
        algorithm = traits.checksum
        request = await _put_request(client, traits, key, write, headers)
        checksum = (checksum_header(algorithm), checksum_of(algorithm, body))
        request.headers = [*request.headers, checksum]
        request.body = body
        response = None
        try:
            response = await client.send(request)
        except Unreachable as error:
            uncertain = error
        if response is not None and response.status < 300:
            traits.checksum_confirmed = True
            return _stored(traits, key, write, body, response)
        if response is not None and fallback_needed(traits, response, algorithm):
            continue
        lost = response is None or response.status in {500, 502, 504}
        if not lost and not (uncertain and response is not None and response.status == 412):
            raise refused_write(client, request, response, key)
        if lost and response is not None:
            uncertain = Unreachable(f"PutObject {key}: the store answered {response.status}")
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        sent = Sent(write.kind, len(body), write.posix, frozenset({md5}), checksum)
        entry = await settle(client, key, write.expect, sent)
        if entry is not None:
            return entry
        await asyncio.sleep(min(SETTLE_PAUSE_S * 2**attempt, 4.0))
    raise uncertain or Unreachable(f"PutObject {key}: refused again and again")


async def _put_request(
    client: S3Client, traits: StoreTraits, key: str, write: Write, headers: list[tuple[str, str]]
) -> WireRequest:
    if traits.conditions.write is False:
        await check_before(client, key, write.expect)
        return client.request("PutObject", "PUT", key, headers=list(headers))
    return client.request("PutObject", "PUT", key, headers=[*headers, *condition_headers(write.expect)])


def _stored(traits: StoreTraits, key: str, write: Write, body: bytes, response: WireResponse) -> Entry:
    if traits.checksum is Checksum.NONE and traits.md5.trusted:
        etag = bare_etag(response.headers.get("etag", ""))
        if len(etag) == 32 and etag != hashlib.md5(body, usedforsecurity=False).hexdigest():
            raise Corrupt(
                f"{key}: the store holds other bytes than were sent", hint="Run again; check the network path."
            )
    return sent_entry(write.kind, len(body), write, response)


def fallback_needed(traits: StoreTraits, response: WireResponse, algorithm: Checksum) -> bool:
    """Whether the refusal is about a feature that this store lacks: then that is remembered, and the same write may be tried without it."""
    if response.status not in {400, 405, 501}:
        return False
    code = refusal(response).code
    if code not in _REFUSED_CHECKSUM:
        return False
    # The checksum is given up first. Once it was taken, the refusal is about the condition.
    if algorithm is not Checksum.NONE and not traits.checksum_confirmed:
        if traits.checksum is algorithm:
            traits.checksum = _FALLBACK[algorithm]
            log.warning("s3.checksum_refused", extra={"algorithm": algorithm.value, "code": code})
        return True
    # Conditions that were seen to work do not stop working: then it is about something else.
    if traits.conditions.write is None and response.status == 501:
        traits.conditions.write = False
        log.warning("s3.conditions_refused", extra={"code": code})
        return True
    return False


def refused_write(client: S3Client, request: WireRequest, response: WireResponse | None, key: str) -> Exception:
    """The error of a write that was refused. If-Match on an absent key is 404 on AWS and 412 elsewhere: both mean that it is gone."""
    if response is None:
        return Unreachable(f"{request.operation} {key}: no answer")
    if response.status == 404 and refusal(response).code == "NoSuchKey":
        return PreconditionFailed(f"{key} is gone", hint="Look again, then decide again.")
    return translate(request, response, client.bucket, key)
