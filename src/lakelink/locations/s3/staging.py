"""Large objects for stores whose CompleteMultipartUpload may check its condition a moment before it acts (SeaweedFS 4.48 does).

The parts become an object below `PREFIX/.lakelink/staging/` that nobody else knows of, and one CopyObject, whose condition such stores do
keep, brings it to its key inside the store. Until then nothing is visible there; a process that is killed leaves at most the staged object,
which `sweep` and `forget` remove.
"""

from __future__ import annotations

import asyncio
import hashlib

from lakelink.errors import LakelinkError, NotFound
from lakelink.locations.base import Write
from lakelink.locations.content import Content
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.copying import Origin, Target, copy_to
from lakelink.locations.s3.keys import KeySpace
from lakelink.locations.s3.list_xml import key_of
from lakelink.locations.s3.listing import list_pages
from lakelink.locations.s3.metadata import SECOND_NS, parse_iso_ns
from lakelink.locations.s3.multipart import abort_abandoned, put_large
from lakelink.locations.s3.parts import ABORT_TIMEOUT_S
from lakelink.locations.s3.upload import StoreTraits, rewrite_headers
from lakelink.model.entry import Entry, Expect
from lakelink.model.path import OWN_DIRECTORY
from lakelink.ports.random import SystemRandom

STAGING = f"{OWN_DIRECTORY}/staging/"


async def put_staged(client: S3Client, store: StoreTraits, keys: KeySpace, write: Write, content: Content) -> Entry:
    """As `put_large`, checked and carried out in one step also where Complete is not; above `copy_limit_bytes` the same as there.

    Raises:
        ChangedWhileRead: the source changed, or somebody removed the staged object. PreconditionFailed: the target is not what was
            expected. Nothing was stored either way.
    """
    key = keys.key(write.path)
    headers = await rewrite_headers(client, key, write)
    staged_key = f"{_staged_prefix(keys, write.path)}{SystemRandom().token()}"
    staging = Write(write.path, write.kind, content, None, Expect(None), attributes={})
    try:
        staged = await put_large(client, store, staged_key, staging, content)
        etag = staged.version.etag if staged.version else ""
        origin = Origin(client.bucket, staged_key, etag, staged.size_bytes)
        return await copy_to(client, store, origin, key, Target(write, headers))
    finally:
        # Also when cancelled. A copy still under way in the store fails or is whole: it names the version that it reads.
        await _remove_soon(client, staged_key)


async def forget(client: S3Client, keys: KeySpace, path: str) -> int:
    """Remove what earlier writes to this path left staged; returns how many there were."""
    return await _remove_below(client, _staged_prefix(keys, path), 0.0)


async def sweep(client: S3Client, keys: KeySpace, older_than_s: float) -> int:
    """Remove what was staged below this prefix longer ago than that, by whomever; returns how many there were.

    A writer who is still at it gets an error, and sends its object again.
    """
    return await _remove_below(client, keys.prefix + STAGING, older_than_s)


def _staged_prefix(keys: KeySpace, path: str) -> str:
    """Tells by the path whose leftovers these are, however long the path is."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{keys.prefix}{STAGING}{digest}-"


async def _remove_below(client: S3Client, prefix: str, older_than_s: float) -> int:
    removed = await abort_abandoned(client, prefix, older_than_s)
    before_ns = client.clock.time_ns() - int(older_than_s * SECOND_NS)
    async for page in list_pages(client, prefix):
        for quoted, modified, _, _ in page.objects:
            key = key_of(quoted, url_encoded=page.url_encoded)
            if older_than_s and parse_iso_ns(modified.decode("ascii", "replace")) > before_ns:
                continue
            try:
                await client.call(client.request("DeleteObject", "DELETE", key), key)
            except NotFound:
                continue
            removed += 1
    return removed


async def _remove_soon(client: S3Client, key: str) -> None:
    """Whatever goes wrong here is left to `sweep`."""
    try:
        async with asyncio.timeout(ABORT_TIMEOUT_S):
            await client.send(client.request("DeleteObject", "DELETE", key))
    except (LakelinkError, TimeoutError):
        return
