"""Deleting objects: in batches where the check of an ETag per key and the delete are known to be one step, one by one with `If-Match` elsewhere.

A store that ignores the condition would delete what was not named, and one that checks a batch first and deletes later takes what another
writer was told is stored. AWS is known to honour both forms; any other store is asked once, with an object of our own below `.lakelink/staging/`,
before the first delete, and gets batches only where it knows no condition of a single delete. Where neither works, each key is looked at
right before.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence

from lakelink.errors import CredentialsRefused, LakelinkError, NotFound, PreconditionFailed, RootMissing, Unreachable
from lakelink.locations.base import Delete
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import check_before, head
from lakelink.locations.s3.keys import KeySpace, encode_query
from lakelink.locations.s3.learning import learn_delete
from lakelink.locations.s3.markers import require_empty
from lakelink.locations.s3.translate import Refusal, error_of, translate
from lakelink.locations.s3.upload import SETTLE_ATTEMPTS, SETTLE_PAUSE_S, StoreTraits
from lakelink.locations.s3.xml import can_be_written, escaped, records
from lakelink.model.entry import Kind
from lakelink.ports.wire import WireRequest, WireResponse

MAX_BATCH = 1000  # Amazon S3 API reference, DeleteObjects
AT_ONCE = 32
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound"})


async def delete_objects(
    client: S3Client, store: StoreTraits, keys: KeySpace, wanted: Sequence[tuple[Delete, str]]
) -> list[LakelinkError | None]:
    """The answers in the order of `wanted`: None = gone. Files first, then directories, the deepest first."""
    results: list[LakelinkError | None] = [None] * len(wanted)
    if wanted:
        await learn_delete(client, store, keys, lambda objects: _batch_request(client, objects))
    files: list[tuple[int, Delete, str]] = []
    directories: dict[int, list[tuple[int, Delete, str]]] = {}
    for index, (delete, key) in enumerate(wanted):
        version = delete.expect.version
        if delete.kind is Kind.DIR:
            directories.setdefault(delete.path.count("/"), []).append((index, delete, key))
        elif version is not None and version.etag and store.conditions.batch_delete and can_be_written(key):
            files.append((index, delete, key))
        else:
            directories.setdefault(1 << 30, []).append((index, delete, key))
    for start in range(0, len(files), MAX_BATCH):
        await _delete_batch(client, files[start : start + MAX_BATCH], results)
    for depth in sorted(directories, reverse=True):
        await _delete_each(client, store, directories[depth], results)
    return results


def _batch_request(client: S3Client, objects: Sequence[tuple[str, str]]) -> WireRequest:
    document = "".join(
        f"<Object><Key>{escaped(key)}</Key><ETag>&quot;{etag}&quot;</ETag></Object>" for key, etag in objects
    )
    body = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{document}</Delete>'.encode()
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode("ascii")
    headers = [("content-md5", digest), ("content-type", "application/xml")]
    request = client.request("DeleteObjects", "POST", "", query="delete=", headers=headers)
    request.body = body
    return request


async def _delete_batch(
    client: S3Client, batch: Sequence[tuple[int, Delete, str]], results: list[LakelinkError | None]
) -> None:
    objects = [(key, delete.expect.version.etag) for _, delete, key in batch if delete.expect.version]
    try:
        answer = await client.call(_batch_request(client, objects), "")
    except (RootMissing, Unreachable, CredentialsRefused):
        raise
    except LakelinkError as error:  # of this request: the paths in it
        for index, _, _ in batch:
            results[index] = error
        return
    said = {fields.get("Key", ""): (name, fields) for name, fields in records(answer.body, {"Deleted", "Error"})}
    for index, _, key in batch:
        name, fields = said.get(
            key, ("Error", {"Code": "InternalError", "Message": "the answer does not name this key"})
        )
        code = fields.get("Code", "")
        if name == "Deleted" or code in _GONE:
            continue
        if code == "PreconditionFailed" and await head(client, key) is None:
            continue
        results[index] = error_of(
            Refusal(code, fields.get("Message", "")), "DeleteObject", client.bucket, key, _status(code)
        )


def _status(code: str) -> int:
    return 403 if code == "AccessDenied" else 0


async def _delete_each(
    client: S3Client, store: StoreTraits, items: Sequence[tuple[int, Delete, str]], results: list[LakelinkError | None]
) -> None:
    queue = iter(items)

    async def lane() -> None:
        for index, delete, key in queue:
            try:
                await _delete_one(client, store, delete, key)
            except (RootMissing, Unreachable, CredentialsRefused):
                raise
            except LakelinkError as error:
                results[index] = error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(items))):
                group.create_task(lane())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _delete_one(client: S3Client, store: StoreTraits, delete: Delete, key: str) -> None:
    version = delete.expect.version
    if delete.kind is Kind.DIR and await _has_children(client, key):
        raise PreconditionFailed(f"{key} is not empty", hint="Look again, then decide again.")
    if version is None or not version.etag:
        # Nothing was named: there is nothing to delete, and what is there now was not seen.
        if delete.kind is not Kind.DIR and await head(client, key) is not None:
            raise PreconditionFailed(f"{key} appeared meanwhile", hint="Look again, then decide again.")
        return
    condition = [("if-match", f'"{version.etag}"')]
    if store.conditions.delete is False:
        if await head(client, key) is None:
            return
        await check_before(client, key, delete.expect)
        condition = []
    await _send_delete(client, client.request("DeleteObject", "DELETE", key, headers=condition), key)


async def _send_delete(client: S3Client, request: WireRequest, key: str) -> None:
    """Until it is known that nothing is there. After a lost answer the condition makes it safe to ask again: what came meanwhile is not
    what was named. Without a condition the wire has repeated it already, and blindly so.
    """
    attempts = SETTLE_ATTEMPTS if any(name == "if-match" for name, _ in request.headers) else 1
    for attempt in range(attempts):
        last = attempt + 1 == attempts
        try:
            response = await client.send(request)
        except Unreachable:
            if last:
                raise
        else:
            if last or response.status not in {500, 502, 504}:
                await _judge(client, request, response, key)
                return
        if await head(client, key) is None:
            return
        await asyncio.sleep(min(SETTLE_PAUSE_S * 2**attempt, 4.0))


async def _judge(client: S3Client, request: WireRequest, response: WireResponse, key: str) -> None:
    """Raise why the delete was refused, unless nothing is there any more: some stores answer 412 then."""
    if response.status < 300:
        return
    error = translate(request, response, client.bucket, key)
    if isinstance(error, NotFound) or (isinstance(error, PreconditionFailed) and await head(client, key) is None):
        return
    raise error


async def _has_children(client: S3Client, marker: str) -> bool:
    """Whether there are keys below the marker.

    Raises:
        Unsupported: the marker itself has content.
    """
    query = f"encoding-type=url&list-type=2&max-keys=2&prefix={encode_query(marker)}"
    answer = await client.call(client.request("ListObjectsV2", "GET", "", query=query), marker)
    count = answer.body.count(b"<Contents>")
    if count != 1:
        return count > 1
    found = await head(client, marker)
    if found is not None:
        require_empty(marker, found.headers)
    return found is None
