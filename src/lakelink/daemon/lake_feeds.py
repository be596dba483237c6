"""How links hear of changes of their lake: queues, each polled once however many links use it, and one webhook for all."""

from __future__ import annotations

from lakelink.config.document import Document
from lakelink.locations.base import LocationSpec
from lakelink.locations.resolve import parse_location, s3_access
from lakelink.model.linkspec import LinkSpec
from lakelink.watch.fanout import LakeFeed
from lakelink.watch.sqs import SharedQueues
from lakelink.watch.sqs_api import SqsApi, open_sqs, parse_queue
from lakelink.watch.webhook import WebhookOptions, WebhookReceiver

_WHO = ("profile", "access_key_env", "credentials_file", "anonymous")


class LakeFeeds:
    """Belongs to one event loop; close it with `aclose`."""

    def __init__(self, webhook: WebhookOptions | None = None) -> None:
        """Raises:
        ConfigError: the webhook would be open to other machines without a token.
        """
        self._queues = SharedQueues()
        self._webhook = WebhookReceiver(webhook) if webhook else None

    @property
    def webhook_url(self) -> str:
        """What to tell a store that pushes; "" without a webhook."""
        return self._webhook.url if self._webhook else ""

    async def start(self) -> None:
        """Listen, where there is a webhook.

        Raises:
            ConfigError, StorageError: it cannot.
        """
        if self._webhook is not None:
            await self._webhook.start()

    def subscribe(self, spec: LinkSpec, document: Document) -> LakeFeed | None:
        """The events of a link's lake: from its queue, else from the webhook; None where there is neither.

        Raises:
            UsageError, ConfigError: the queue, the location or its credentials are wrong.
        """
        lake = parse_location(spec.lake, document)
        if not lake.url.startswith("s3://"):
            return None
        bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
        if spec.events:
            queue = parse_queue(spec.events)
            who = "\0".join(lake.options.get(name, "") for name in _WHO)
            shared = self._queues.get(queue, who, lambda: sqs_of(lake, queue.region))
            return shared.subscribe(bucket, prefix)
        return self._webhook.subscribe(bucket, prefix) if self._webhook else None

    async def aclose(self) -> None:
        """Stop polling and listening. Idempotent."""
        await self._queues.aclose()
        if self._webhook is not None:
            await self._webhook.aclose()


def sqs_of(lake: LocationSpec, region: str) -> SqsApi:
    """The queue service of a region, with the credentials that the lake is reached with.

    Raises:
        ConfigError: they cannot be read.
    """
    return open_sqs(region, s3_access(lake.options).credentials)
