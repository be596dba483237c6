"""A bucket as somebody else sees it, and the events of it as a link would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import boto3
from botocore.config import Config

from lakelink.locations.s3.open import S3Access, open_s3
from lakelink.ports.crt_auth import CredentialSource
from lakelink.watch.fanout import LakeFeed
from lakelink.watch.feed import Hint
from lakelink.watch.queue_setup import QueueSetup
from lakelink.watch.sqs import SharedQueue
from lakelink.watch.sqs_api import QueueName, SqsApi, open_sqs

PATIENCE_S = 60
KEY = CredentialSource("test", "test")


class Lake:
    """One bucket, made at the first use; `s3` and `sqs` are another program's clients."""

    def __init__(self, endpoint: str, bucket: str, region: str) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.region = region
        session = boto3.session.Session("test", "test", region_name=region)
        options = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
        self.s3: Any = session.client("s3", endpoint_url=endpoint, config=options)
        self.sqs: Any = session.client("sqs", endpoint_url=endpoint, config=options)
        self.s3.create_bucket(Bucket=bucket)

    def put(self, key: str, body: bytes = b"x") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def delete(self, key: str, **which: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key, **which)

    def notifications(self) -> dict[str, Any]:
        found = self.s3.get_bucket_notification_configuration(Bucket=self.bucket)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    def waiting(self, queue: QueueName) -> int:
        """Messages of the queue that are not deleted, whether somebody has them or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self.sqs.get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=names)["Attributes"]
        return sum(int(value) for value in told.values())

    def send(self, queue: QueueName, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.url(queue), MessageBody=text)

    def url(self, queue: QueueName) -> str:
        return f"{self.endpoint}/{queue.account}/{queue.name}"

    def api(self, endpoint: str = "") -> SqsApi:
        return open_sqs(self.region, KEY, endpoint=endpoint or self.endpoint, environ={})

    @asynccontextmanager
    async def setup(self, link: str, prefix: str) -> AsyncIterator[QueueSetup]:
        access = S3Access(endpoint=self.endpoint, region=self.region, credentials=KEY)
        location, api = open_s3(f"s3://{self.bucket}/{prefix}", access, environ={}), self.api()
        try:
            yield QueueSetup(link, prefix, location.client, api)
        finally:
            await location.aclose()
            await api.aclose()

    async def queue(self, link: str = "logs", prefix: str = "") -> QueueName:
        """A queue that the events below the prefix go to."""
        async with self.setup(link, prefix) as setup:
            queue = await setup.create(self.bucket)
            await setup.install(queue)
        return queue


class Reader:
    """A link's end of a feed: collects hints, and notes them unless told not to."""

    def __init__(self, feed: LakeFeed, *, takes: bool = True) -> None:
        self.feed = feed
        self.takes = takes
        self.hints: list[Hint] = []
        self._task = asyncio.create_task(self._read())

    @property
    def paths(self) -> set[str]:
        return {hint.path for hint in self.hints}

    async def _read(self) -> None:
        async for delivery in self.feed.deliveries():
            self.hints.extend(delivery.hints)
            if self.takes:
                await delivery.taken()

    async def until(self, is_so: Callable[[], bool], what: str = "") -> None:
        await until(is_so, lambda: f"{what} {self.hints} {self.feed.health}")

    async def sees(self, *paths: str) -> None:
        await self.until(lambda: set(paths) <= self.paths, f"expected {paths}")

    async def aclose(self) -> None:
        await self.feed.aclose()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


async def until(is_so: Callable[[], bool], what: Callable[[], str] = str) -> None:
    """Polls; what is asked may be a blocking call to another process."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not await asyncio.to_thread(is_so):
        assert asyncio.get_running_loop().time() < deadline, what()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def polling(lake: Lake, queue: QueueName, *prefixes: str, **options: Any) -> AsyncIterator[list[Reader]]:
    """A reader for each prefix of the lake, fed by one shared queue."""
    shared = SharedQueue(lake.api(options.pop("endpoint", "")), queue, **options)
    readers = [Reader(shared.subscribe(lake.bucket, prefix)) for prefix in prefixes or ("",)]
    try:
        yield readers
    finally:
        for reader in readers:
            await reader.aclose()
        await shared.aclose()
