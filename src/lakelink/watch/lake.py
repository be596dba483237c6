"""All sources of lake events of one process, each open once: queues by name and principal, the webhook, and what the process changes itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lakelink.ports.crt import CrtWireOptions
from lakelink.ports.crt_auth import CredentialSource
from lakelink.watch.fanout import Health, LakeFeed
from lakelink.watch.notices import Notices
from lakelink.watch.sqs import Queue, SharedQueue, SharedQueues
from lakelink.watch.sqs_api import open_sqs, parse_queue, queue_endpoint
from lakelink.watch.webhook import WebhookReceiver


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAccess:
    """As whom a queue is read: as a rule with the access of the link's lake. `region` is for URLs that do not name one."""

    credentials: CredentialSource = field(default_factory=CredentialSource)
    region: str = ""
    wire: CrtWireOptions = field(default_factory=CrtWireOptions)


Opener = Callable[[str, QueueAccess], Queue]


class LakeFeeds:
    """Makes the feeds of links; `notices` is for what this process changes itself. Belongs to one event loop; close it with `aclose`."""

    def __init__(self, webhook: WebhookReceiver | None = None, *, opener: Opener | None = None) -> None:
        """`webhook` listens already, and is closed with this; `opener` is for those who bring their own queue service."""
        self._webhook = webhook
        self._opener = opener or _open
        self._queues = SharedQueues()
        self.notices = Notices()

    def subscribe(self, events: str, access: QueueAccess, bucket: str, prefix: str) -> LakeFeed | None:
        """The feed of the link at `s3://bucket/prefix`: from the queue `events` (ARN or URL); from the webhook where that is empty;
        None where there is none, and only listing finds changes.

        Raises:
            ConfigError: `events` names no queue.
        """
        if events:
            return self._queue(events, access).subscribe(bucket, prefix)
        return None if self._webhook is None else self._webhook.subscribe(bucket, prefix)

    def health(self) -> dict[str, Health]:
        """Every source by its name: for a status display and metrics."""
        found = self._queues.health()
        return found if self._webhook is None else {**found, "webhook": self._webhook.health}

    async def aclose(self) -> None:
        """Close all of them; their feeds end. May be repeated."""
        await self.notices.aclose()
        await self._queues.aclose()
        if self._webhook is not None:
            await self._webhook.aclose()

    def _queue(self, events: str, access: QueueAccess) -> SharedQueue:
        queue = parse_queue(events, access.region)
        principal = (queue_endpoint(events), access)
        return self._queues.get(queue, principal, lambda: self._opener(events, access))


def _open(events: str, access: QueueAccess) -> Queue:
    region = parse_queue(events, access.region).region
    return open_sqs(region, access.credentials, endpoint=queue_endpoint(events), options=access.wire)
