"""A lake's events from an SQS queue: polled once per process, shared out to all links that it serves.

A message is deleted only after every link that it concerns has noted it durably. What is never deleted here: messages of links that this process
does not know, and messages that nobody understands; they stay for whom they are meant, or until the queue drops them. Repetitions,
reordering and delay are normal. When the queue was away for longer than it keeps messages, or was made anew, each link is told to look everywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lakelink.core.backoff import Backoff
from lakelink.errors import InternalError, LakelinkError, QueueMissing, Unreachable
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.random import Random, SystemRandom
from lakelink.watch.fanout import Fanout, Health, LakeFeed
from lakelink.watch.sqs_api import BATCH, Message, QueueName
from lakelink.watch.sqs_messages import Messages

log = logging.getLogger("lakelink.watch")

MAX_BURST = 8  # polls at the same time while the queue is full; each brings up to ten messages
LEAST_PAUSE_S = 0.5  # between two attempts at a queue that does not answer
CLOSE_TIMEOUT_S = 5.0  # for deleting what was taken; what is not deleted comes again
LEAST_RETENTION_S = 60  # the least that the service can be set to: assumed where it is not told
BEHIND = 0.9  # messages of this part of the retention's age: others may have been dropped already


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How a queue is asked. `visibility_s`: so long a link may take to note a batch before its messages are seen again, by others and by us;
    an answer that is lost on its way delays its messages by that much.
    """

    poll_s: int = 20  # the longest that the service waits (Amazon SQS API Reference, ReceiveMessage)
    visibility_s: int = 30
    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=1.0, cap_s=60.0))


class Queue(Protocol):
    """The calls that polling needs; `SqsApi` has them."""

    async def receive(self, queue: QueueName, *, wait_s: int, visibility_s: int) -> list[Message]: ...

    async def delete(self, queue: QueueName, handles: Sequence[str]) -> int: ...

    async def attributes(self, queue: QueueName) -> dict[str, str]: ...

    async def aclose(self) -> None: ...


class SharedQueue:
    """One queue and the feeds of the links that it serves. Belongs to one event loop; close it with `aclose`.

    Polling begins with the first reader of a feed and rests while there is no feed, or while all have too much waiting.
    """

    def __init__(
        self,
        api: Queue,
        queue: QueueName,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        polling: Polling | None = None,
    ) -> None:
        self.queue = queue
        self._api = api
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._polling = polling or Polling()
        self._fanout = Fanout("sqs", self._clock.time_ns)
        self._fanout.on_wanted = self._start
        self._messages = Messages(self._fanout)
        self._tasks: list[asyncio.Task[None]] = []
        self._retention_s: int | None = None  # None: the queue does not tell
        self._heard_at = self._now()
        self._missed = False
        self._behind = False
        self._closed = False

    @property
    def health(self) -> Health:
        """Whether the queue answers, and what came from it."""
        return self._fanout.health

    def subscribe(self, bucket: str, prefix: str) -> LakeFeed:
        """The feed of the link at `s3://bucket/prefix`; not after `aclose`."""
        if self._closed:
            raise InternalError(f"the events of {self.queue.arn} are no longer read")
        return self._fanout.subscribe(bucket, prefix)

    async def aclose(self) -> None:
        """Stop polling, delete what was taken as far as that is quick, close all feeds and the connections. May be repeated."""
        self._closed = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._delete_all()
        except TimeoutError:
            log.info("watch.messages_left", extra={"messages": len(self._messages.deletable)})
        for feed in self._fanout.feeds:
            await feed.aclose()
        await self._api.aclose()

    def _now(self) -> tuple[float, float]:
        """Both clocks: the monotonic one stands still while a machine sleeps, the other may be set."""
        return self._clock.monotonic(), self._clock.time_ns() / 1e9

    def _start(self) -> None:
        if self._tasks or self._closed:
            return
        for work in (self._poll(), self._delete()):
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(self._on_end)
            self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Neither task ends by itself. When one does, no reader may wait for ever, and the next feed that is opened begins anew."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        tasks, self._tasks = self._tasks, []
        for each in tasks:
            each.cancel()
        failure = InternalError(f"the events of {self.queue.arn} are no longer read: {error!r}")
        failure.__cause__ = error
        for feed in self._fanout.feeds:
            feed.fail(failure)

    async def _poll(self) -> None:
        failures, burst = 0, 1
        while True:
            await self._wait_for_room()
            try:
                messages = await self._receive(burst)
            except LakelinkError as error:
                self._on_silence(error)
                pause_s = self._polling.backoff.delay_s(failures, self._random.uniform(), LEAST_PAUSE_S)
                failures, burst = failures + 1, 1
                await self._clock.sleep(pause_s)
                continue
            failures = 0
            self._judge_age(self._messages.accept(messages))
            # More is waiting than one poll at a time could bring. Half: a poll that does not wait may ask only some of the servers.
            burst = min(2 * burst, MAX_BURST) if len(messages) >= BATCH * burst / 2 else 1

    async def _wait_for_room(self) -> None:
        while all(feed.full for feed in self._fanout.feeds):  # also when there is none
            self._messages.room.clear()
            await self._messages.room.wait()

    async def _receive(self, burst: int) -> list[Message]:
        """One poll; or several at a time, which do not wait.

        Raises:
            LakelinkError: nothing came, and one of the polls failed like this.
        """
        if not self.health.ok:
            await self._ask_retention()
        how = self._polling
        wait_s = how.poll_s if burst == 1 and self.health.ok else 0
        polls = [self._api.receive(self.queue, wait_s=wait_s, visibility_s=how.visibility_s) for _ in range(burst)]
        messages: list[Message] = []
        failure: LakelinkError | None = None
        for brought in await asyncio.gather(*polls, return_exceptions=True):
            if isinstance(brought, LakelinkError):
                failure = brought
            elif isinstance(brought, BaseException):
                raise brought
            else:
                messages += brought
        if failure is not None and not messages:
            raise failure
        self._on_answer()
        return messages

    async def _ask_retention(self) -> None:
        try:
            told = (await self._api.attributes(self.queue)).get("MessageRetentionPeriod", "")
        except (QueueMissing, Unreachable):
            raise
        except LakelinkError:
            told = ""  # reading needs no right to ask
        self._retention_s = int(told) if told.isascii() and told.isdecimal() else None

    def _on_answer(self) -> None:
        """The queue answers. Where it was not heard for longer than it keeps messages, or is another one: look everywhere."""
        now = self._now()
        silent_s = max(here - then for here, then in zip(now, self._heard_at, strict=True))
        self._heard_at = now
        if not self.health.ok:
            self.health.up()
            log.info("watch.queue_answers", extra={"queue": self.queue.arn})
        if self._missed or silent_s >= (self._retention_s or LEAST_RETENTION_S):
            log.warning("watch.events_lost", extra={"queue": self.queue.arn, "silent_s": round(silent_s)})
            self._missed = False
            self._fanout.lose()

    def _on_silence(self, error: LakelinkError) -> None:
        if isinstance(error, QueueMissing):
            self._missed = True  # a queue of that name that comes later does not have what this one had
        if self.health.ok or self.health.error is None:
            log.warning("watch.queue_away", extra={"queue": self.queue.arn, "code": error.code, "error": error.message})
        self.health.down(error)

    def _judge_age(self, oldest_ms: int) -> None:
        """So far behind that the queue may have dropped messages: look everywhere, now and when that is over."""
        if not oldest_ms or self._retention_s is None:
            return
        age_s = self._clock.time_ns() / 1e9 - oldest_ms / 1e3
        behind = age_s >= (BEHIND if not self._behind else BEHIND / 2) * self._retention_s
        if behind != self._behind:
            self._behind = behind
            self._fanout.lose()

    async def _delete(self) -> None:
        while True:
            await self._messages.some_deletable.wait()
            self._messages.some_deletable.clear()
            await self._delete_all()

    async def _delete_all(self) -> None:
        """Delete what is done with. What cannot be deleted comes again, and is recognised."""
        deletable = self._messages.deletable
        while deletable:
            handles = [deletable.popleft() for _ in range(min(BATCH, len(deletable)))]
            try:
                await self._api.delete(self.queue, handles)
            except LakelinkError as error:
                log.info("watch.delete_failed", extra={"queue": self.queue.arn, "code": error.code})


class SharedQueues:
    """Every queue of a process once per principal. Belongs to one event loop; close it with `aclose`."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, Hashable], SharedQueue] = {}

    def get(self, queue: QueueName, principal: Hashable, make: Callable[[], Queue]) -> SharedQueue:
        """The poller of this queue as this principal; made at the first call."""
        place = (queue.arn, principal)
        if place not in self._queues:
            self._queues[place] = SharedQueue(make(), queue)
        return self._queues[place]

    def health(self) -> dict[str, Health]:
        """Every queue by its ARN: for a status display and metrics."""
        return {made.queue.arn: made.health for made in self._queues.values()}

    async def aclose(self) -> None:
        """Close all of them; their feeds end. May be repeated."""
        queues, self._queues = list(self._queues.values()), {}
        for queue in queues:
            await queue.aclose()
