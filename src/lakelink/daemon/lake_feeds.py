"""How links hear of changes of their lake: from the queue that a link names, else from the daemon's webhook; and from the daemon's own gateway."""

from __future__ import annotations

from lakelink.config.document import Document
from lakelink.config.serve import Webhook
from lakelink.locations.base import LocationSpec
from lakelink.locations.resolve import parse_location, s3_access
from lakelink.model.linkspec import LinkSpec
from lakelink.watch.fanout import LakeFeed
from lakelink.watch.lake import LakeFeeds, QueueAccess
from lakelink.watch.webhook import WebhookOptions, WebhookReceiver


async def start_webhook(asked: Webhook | None) -> WebhookReceiver | None:
    """The receiver, listening; None where none is asked for.

    Raises:
        ConfigError: it would be open to other machines without a token, or its certificate cannot be used.
        StorageError: the address cannot be had.
    """
    if asked is None:
        return None
    receiver = WebhookReceiver(
        WebhookOptions(
            host=asked.address.host,
            port=asked.address.port,
            token=asked.token,
            cert_file=asked.cert_file,
            key_file=asked.key_file,
        )
    )
    await receiver.start()
    return receiver


def subscribe(feeds: LakeFeeds, spec: LinkSpec, document: Document) -> LakeFeed | None:
    """The events of a link's lake; None where only listing finds changes.

    Raises:
        UsageError, ConfigError: the queue, the location or its credentials are wrong.
    """
    lake = parse_location(spec.lake, document)
    if not lake.url.startswith("s3://"):
        return None
    return feeds.subscribe(spec.events, queue_access(lake), *_place(lake))


def subscribe_to_gateway(feeds: LakeFeeds, spec: LinkSpec, document: Document) -> LakeFeed | None:
    """What users of this daemon's gateway change in a link's lake; None where that is no store.

    Raises:
        UsageError, ConfigError: the location is wrong.
    """
    lake = parse_location(spec.lake, document)
    return feeds.notices.subscribe(*_place(lake)) if lake.url.startswith("s3://") else None


def _place(lake: LocationSpec) -> tuple[str, str]:
    bucket, _, prefix = lake.url.removeprefix("s3://").partition("/")
    return bucket, prefix


def queue_access(lake: LocationSpec) -> QueueAccess:
    """A queue is read with the access of the lake.

    Raises:
        ConfigError: its credentials cannot be read.
    """
    access = s3_access(lake.options)
    return QueueAccess(credentials=access.credentials, region=access.region)
