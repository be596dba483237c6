"""Finding out, once, which conditions a store honours: a store that ignores one would replace what was not named.

AWS is known to honour them all. Any other store is asked with an object of our own below `.lakelink/staging/`, right before the first
change, sequentially; whether a check is also safe against racing clients is what `lakelink store validate` tests. The object is removed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from lakelink.errors import Retry, Unreachable
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import head
from lakelink.locations.s3.keys import KeySpace, encode_key
from lakelink.locations.s3.pouring import first_of
from lakelink.locations.s3.translate import translate
from lakelink.locations.s3.upload import StoreTraits
from lakelink.ports.crt_endpoint import is_aws
from lakelink.ports.random import SystemRandom
from lakelink.ports.wire import WireRequest

BatchRequest: TypeAlias = Callable[[list[tuple[str, str]]], WireRequest]
ASK_ATTEMPTS = 4
ASK_PAUSE_S = 0.25
_UNKNOWN_TO_STORE = frozenset({400, 405, 501})  # how stores say that they do not know a header
WRONG_ETAG = "00000000000000000000000000000000"
_WRONG = ("if-match", f'"{WRONG_ETAG}"')


async def learn_write(client: S3Client, store: StoreTraits, keys: KeySpace) -> None:
    """Know whether conditional PUT and CopyObject work here.

    Raises:
        NotPermitted, RootMissing, Unreachable: it could not be found out.
    """
    conditions = store.conditions
    async with store.learning:
        if conditions.write is not None:
            return
        if is_aws(client.endpoint.host):
            conditions.write = conditions.copy = True
            return
        async with _probe(client, keys) as key:
            refused = {"create": False, "replace": False, "copy": False}
            source = ("x-amz-copy-source", f"/{encode_key(client.bucket)}/{encode_key(key)}")
            asked = {
                "create": client.request("PutObject", "PUT", key, headers=[("if-none-match", "*")]),
                "replace": client.request("PutObject", "PUT", key, headers=[_WRONG]),
                "copy": client.request(
                    "CopyObject", "PUT", key, headers=[source, ("x-amz-metadata-directive", "REPLACE"), _WRONG]
                ),
            }

            async def ask(name: str) -> None:
                refused[name] = await refuses(client, asked[name])

            try:
                async with asyncio.TaskGroup() as group:
                    for name in asked:
                        group.create_task(ask(name))
            except ExceptionGroup as errors:
                raise first_of(errors) from None
        conditions.copy = refused["copy"]
        conditions.write = refused["create"] and refused["replace"]


async def learn_delete(client: S3Client, store: StoreTraits, keys: KeySpace, batch: BatchRequest) -> None:
    """Know whether a conditional DeleteObject works here, or else DeleteObjects; `batch` makes a request of the latter.

    Raises:
        NotPermitted, RootMissing, Unreachable: it could not be found out.
    """
    conditions = store.conditions
    async with store.learning:
        if conditions.delete is not None:
            return
        if is_aws(client.endpoint.host):
            conditions.delete = conditions.batch_delete = True
            return
        async with _probe(client, keys) as key:
            alone = await refuses(client, client.request("DeleteObject", "DELETE", key, headers=[_WRONG]))
            if not alone:
                await client.call(client.request("PutObject", "PUT", key), key)
                # Nothing better is left. SeaweedFS, too, checks the ETags of a batch, and then deletes whatever came in between.
                answer = await client.send(batch([(key, WRONG_ETAG)]))
                conditions.batch_delete = answer.status < 300 and await head(client, key) is not None
            conditions.delete = alone


async def refuses(client: S3Client, request: WireRequest) -> bool:
    """Whether the store turns the wrong condition down; True also means that nothing was changed.

    Only an answer counts: a store that does not know conditions carries the request out or says that it cannot. Trouble says nothing
    about them, so it is asked again (the object is our own), and then raised.
    """
    for attempt in range(ASK_ATTEMPTS):
        last = attempt + 1 == ASK_ATTEMPTS
        try:
            response = await client.send(request)
        except Unreachable as error:
            if last or error.retry is Retry.NEVER:
                raise
        else:
            if response.status == 412:
                return True
            if response.status < 300 or response.status in _UNKNOWN_TO_STORE:
                return False
            if last or response.status < 500:
                raise translate(request, response, client.bucket, request.path)
        await asyncio.sleep(ASK_PAUSE_S * 2**attempt)
    return False


@asynccontextmanager
async def _probe(client: S3Client, keys: KeySpace) -> AsyncIterator[str]:
    """An object of our own, gone again afterwards."""
    key = f"{keys.prefix}.lakelink/staging/probe-{SystemRandom().token()}"
    await client.call(client.request("PutObject", "PUT", key), key)
    try:
        yield key
    finally:
        await client.send(client.request("DeleteObject", "DELETE", key))
