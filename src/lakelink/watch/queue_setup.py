"""Setting up, checking and removing the way of a bucket's events into a queue: `lakelink link events`.

Three things belong to a link: the queue, where it was made here; one statement in the queue's policy, per bucket; and one configuration in the
bucket's notifications, called `lakelink-LINK`. Everything else in these documents is other people's and stays. S3 has no condition on the
write of a notification document, so it is read again right before it is written, and once more after.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lakelink.errors import LakelinkError, QueueMissing, Refused, RootMissing, StorageError, Unsupported
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.crt_endpoint import is_aws
from lakelink.ports.crt_io import Endpoint
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.watch.notifications import EVENTS, LIFECYCLE, NO_API, Notification, Notifications, overlapping
from lakelink.watch.queue_policy import statement, statement_id, with_statement, without_statement
from lakelink.watch.sqs_api import QueueName, SqsApi, parse_queue

log = logging.getLogger("lakelink.watch")

RETENTION_S = 14 * 24 * 3600  # the longest that the service keeps a message
SETTLE_S = 60.0  # so long a new queue or policy may not be known to S3
SETTLE_PAUSE_S = 2.0
ATTEMPTS = 4  # at a document that somebody else changes at the same time; the last look confirms
_TAG = {"lakelink": "events"}  # on queues that were made here, which are removed here
_ATTRIBUTES = {
    "MessageRetentionPeriod": str(RETENTION_S),
    "ReceiveMessageWaitTimeSeconds": "20",
    "VisibilityTimeout": "30",
    "SqsManagedSseEnabled": "true",
}


class BucketCalls(Protocol):
    """Requests about a bucket; the client of an S3 location has them."""

    bucket: str
    endpoint: Endpoint

    def request(
        self, operation: str, method: str, key: str, *, query: str = "", headers: list[tuple[str, str]] | None = None
    ) -> WireRequest: ...

    async def call(self, request: WireRequest, name: str) -> WireResponse: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    what: str
    sentence: str
    hint: str = ""


def queue_name(link: str, bucket: str, prefix: str, owner: str) -> str:
    """The name of a queue made for this link by this installation; two daemons never share one, since each message is read once."""
    told = hashlib.sha256(f"{owner}\0{bucket}\0{prefix}".encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"lakelink-{re.sub('[^A-Za-z0-9_-]', '-', link)[:50]}-{told}"


class QueueSetup:
    """The events of one link: keys below `prefix` of the bucket. Every step may be repeated, and what is right already is not touched."""

    def __init__(
        self, link: str, prefix: str, bucket: BucketCalls, sqs: SqsApi, *, account: str = "", clock: Clock | None = None
    ) -> None:
        """`account` is the bucket owner's; empty: the queue's."""
        self.id = f"lakelink-{link}"
        self._link = link
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._bucket = bucket
        self._sqs = sqs
        self._account = account
        self._clock = clock or SystemClock()

    async def create(self, owner: str) -> QueueName:
        """The queue of this link and this installation (`owner`), made if it is not there. Nothing sends to it yet.

        Raises:
            Unsupported: the store has no event notifications. Refused: they overlap with others. Nothing was made.
            NotPermitted: the hint names the permission.
        """
        name = queue_name(self._link, self._bucket.bucket, self._prefix, owner)
        self._refuse_overlap(await self._read(), lambda arn: arn.endswith(f":{name}"))
        try:
            url = (await self._sqs.call("GetQueueUrl", QueueName=name))["QueueUrl"]
        except QueueMissing:
            made = await self._sqs.call("CreateQueue", QueueName=name, Attributes=_ATTRIBUTES, tags=_TAG)
            url = made["QueueUrl"]
        told = await self._sqs.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
        return parse_queue(told["Attributes"]["QueueArn"])

    async def install(self, queue: QueueName) -> None:
        """Afterwards the bucket's changes below the prefix go into the queue.

        Raises:
            Unsupported: the store has no event notifications. Refused: somebody else's would overlap, or those of a link of that name
            elsewhere are there. Nothing was touched.
            NotPermitted: the hint names the permission; what was done before stays, and does no harm.
            StorageError: refused by the store, or changed by somebody else again and again.
        """
        ours = self._wanted(queue)
        self._refuse_overlap(await self._read(), queue.arn.__eq__)
        await self._allow(queue)

        def add(document: Notifications) -> None:
            self._refuse_overlap(document, queue.arn.__eq__)
            if document.find(self.id) is None:
                document.add(ours)

        await self._edit(add)

    async def remove(self, queue: QueueName) -> None:
        """Afterwards nothing of this link is left: notification, statement, and a queue that was made here and that nobody else uses.

        Raises:
            Refused: the notification of this name sends to another queue; nothing was touched.
            NotPermitted: the hint names the permission.
        """
        still_used = False

        def take_out(document: Notifications) -> None:
            nonlocal still_used
            found = document.find(self.id)
            if found is not None and found.arn != queue.arn:
                raise Refused(
                    f"{self.id} sends to {found.arn}, not to {queue.arn}", hint="Name that queue, or remove it there."
                )
            document.remove(self.id)
            still_used = any(each.arn == queue.arn for each in document.all)

        try:
            await self._edit(take_out)
        except RootMissing:
            log.info("watch.bucket_gone", extra={"bucket": self._bucket.bucket})
        if still_used:
            return
        try:
            await self._clean(queue)
        except QueueMissing:
            return

    async def check(self, queue: QueueName) -> list[Finding]:
        """What is right and what is not. Changes nothing; trouble is a finding."""
        return [*await self._check_bucket(queue), *await self._check_queue(queue)]

    def _wanted(self, queue: QueueName) -> Notification:
        events = EVENTS + (LIFECYCLE if is_aws(self._bucket.endpoint.host) else ())
        return Notification(self.id, queue.arn, events, self._prefix)

    async def _read(self) -> Notifications:
        request = self._bucket.request("GetBucketNotificationConfiguration", "GET", "", query="notification")
        answer = await self._bucket.call(request, "")
        # It answers as if there were none, and takes the PUT for CreateBucket (seaweedfs: weed/s3api/s3api_bucket_handlers_misc.go).
        if answer.headers.get("server", "").startswith("SeaweedFS"):
            raise Unsupported(f"the store of {self._bucket.bucket} has no event notifications", hint=NO_API)
        return Notifications(answer.body, self._bucket.bucket)

    async def _edit(self, edit: Callable[[Notifications], None]) -> None:
        """Read, change, write if that changed anything, and see that it is there; from the start if somebody else was faster."""
        for _ in range(ATTEMPTS):
            before = await self._read()
            wanted = before.copy()
            edit(wanted)
            if wanted == before:
                return
            if await self._read() == before:
                await self._write(wanted)
        raise StorageError(
            f"the notifications of {self._bucket.bucket} are not what was written",
            hint="Somebody else may be changing them at this moment: try again.",
        )

    async def _write(self, document: Notifications) -> None:
        request = self._bucket.request("PutBucketNotificationConfiguration", "PUT", "", query="notification")
        request.body = document.document()
        digest = hashlib.md5(request.body, usedforsecurity=False).digest()
        request.headers = [*request.headers, ("content-md5", base64.b64encode(digest).decode("ascii"))]
        deadline = self._clock.monotonic() + SETTLE_S
        while True:
            try:
                await self._bucket.call(request, "")
            except StorageError as error:
                # S3 tries the destination: a queue or policy of a moment ago may not be known everywhere.
                if "Unable to validate" not in error.message or self._clock.monotonic() >= deadline:
                    raise
                await self._clock.sleep(SETTLE_PAUSE_S)
            else:
                return

    def _refuse_overlap(self, document: Notifications, is_our_queue: Callable[[str], bool]) -> None:
        found = document.find(self.id)
        if found is not None and not (is_our_queue(found.arn) and found.prefix == self._prefix):
            raise Refused(
                f"{self._bucket.bucket} has notifications called {self.id} already, for {found.prefix or 'all keys'} to {found.arn}",
                hint="They are another installation's, or left over: remove them there, or name this link differently.",
            )
        others = overlapping(Notification(self.id, "", EVENTS, self._prefix), document.all)
        if others:
            raise Refused(
                f"the notifications {others[0].id!r} of {self._bucket.bucket} cover the same keys, and S3 sends an event to one "
                f"destination only (now {others[0].arn})",
                hint="Let that destination pass them on (SNS to several queues, or EventBridge) and name the queue with --queue.",
            )

    async def _allow(self, queue: QueueName) -> None:
        policy = (await self._sqs.attributes(queue)).get("Policy", "")
        wanted = with_statement(policy, self._statement(queue))
        if wanted != policy:
            await self._sqs.call("SetQueueAttributes", QueueUrl=self._sqs.url(queue), Attributes={"Policy": wanted})

    async def _clean(self, queue: QueueName) -> None:
        url = self._sqs.url(queue)
        policy = (await self._sqs.attributes(queue)).get("Policy", "")
        rest = without_statement(policy, statement_id(self._bucket.bucket))
        tags = (await self._sqs.call("ListQueueTags", QueueUrl=url)).get("Tags") or {}
        if not rest and _TAG.items() <= tags.items():
            await self._sqs.call("DeleteQueue", QueueUrl=url)
        elif rest != policy:
            await self._sqs.call("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": rest})

    def _statement(self, queue: QueueName) -> dict[str, object]:
        return statement(queue.arn, self._bucket.bucket, self._account or queue.account)

    async def _check_bucket(self, queue: QueueName) -> list[Finding]:
        what = "notifications"
        try:
            found = (await self._read()).find(self.id)
        except LakelinkError as error:
            return [Finding(False, what, error.message, error.hint)]
        again = f"Run `lakelink link events {self._link} --queue {queue.arn}`."
        wanted = self._wanted(queue)
        if found is None:
            return [Finding(False, what, f"{self._bucket.bucket} has none called {self.id}", again)]
        if (found.arn, found.prefix, found.suffix) != (wanted.arn, wanted.prefix, ""):
            return [
                Finding(
                    False,
                    what,
                    f"{self.id} sends {found.prefix or 'all keys'} to {found.arn}",
                    "Remove it, and set it up again.",
                )
            ]
        missing = set(EVENTS) - set(found.events)
        if missing:
            return [
                Finding(
                    False,
                    what,
                    f"{self.id} does not send {', '.join(sorted(missing))}",
                    "Remove it, and set it up again.",
                )
            ]
        return [Finding(True, what, f"{self.id} sends {found.prefix or 'all keys'} to {queue.name}")]

    async def _check_queue(self, queue: QueueName) -> list[Finding]:
        try:
            told = await self._sqs.attributes(queue)
            policy = told.get("Policy", "")
            allowed = with_statement(policy, self._statement(queue)) == policy and bool(policy)
        except LakelinkError as error:
            return [Finding(False, "queue", error.message, error.hint)]
        found = [Finding(True, "queue", f"{queue.name} holds {told.get('ApproximateNumberOfMessages', '?')} messages")]
        sentence = f"S3 {'may' if allowed else 'may not'} send for {self._bucket.bucket}"
        found.append(Finding(allowed, "policy", sentence, "" if allowed else "Set the events up again."))
        if key := told.get("KmsMasterKeyId"):
            hint = "The key's policy has to allow kms:GenerateDataKey and kms:Decrypt to s3.amazonaws.com."
            found.append(Finding(True, "encryption", f"the queue is encrypted with {key}", hint))
        return found
