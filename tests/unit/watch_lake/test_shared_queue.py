"""A queue over weeks, on a clock that jumps: what the real service is too slow for."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from lakelink.errors import InternalError, NotPermitted, QueueMissing, Unreachable
from lakelink.ports.crt_auth import CredentialSource
from lakelink.watch.fanout import MAX_SHARES
from lakelink.watch.feed import EVERYTHING
from lakelink.watch.lake import LakeFeeds, QueueAccess
from lakelink.watch.sqs import MAX_BURST, SharedQueue
from lakelink.watch.sqs_api import Message, parse_queue
from lakelink.watch.webhook import WebhookReceiver

QUEUE = parse_queue("arn:aws:sqs:eu-central-1:123456789012:events")
DAY_S = 24 * 3600


class Clock:
    """Time passes only while somebody waits for it."""

    def __init__(self):
        self.now_s = 1_000_000.0

    def time_ns(self):
        return int(self.now_s * 1e9)

    def monotonic(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds
        await asyncio.sleep(0)


class Half:
    def uniform(self):
        return 0.5

    def token(self):
        return "0" * 16


class Queue:
    """Scripted: what each poll brings, or why it fails; then nothing for ever."""

    def __init__(self, clock, *script, retention="1209600"):
        self.clock = clock
        self.script = list(script)
        self.retention = retention
        self.deleted = []
        self.polls = []
        self.closed = False
        self.more = asyncio.Event()

    def add(self, step):
        self.script.append(step)
        self.more.set()

    async def receive(self, queue, *, wait_s, visibility_s):
        self.polls.append((self.clock.now_s, wait_s))
        await asyncio.sleep(0)
        while not self.script:
            if not wait_s:
                return []
            self.more.clear()
            await self.more.wait()
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    async def delete(self, queue, handles):
        self.deleted += handles
        return len(handles)

    async def attributes(self, queue):
        if isinstance(self.retention, BaseException):
            raise self.retention
        return {"MessageRetentionPeriod": self.retention}

    async def aclose(self):
        self.closed = True


def event(key, sequencer="", bucket="lake"):
    seen = {"key": key, "sequencer": sequencer}
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": seen},
    }


def message(number, *keys, handle="", sent_ms=0):
    body = json.dumps({"Records": [event(key) for key in keys]})
    return Message(f"m{number}", handle or f"h{number}", body, sent_ms)


@asynccontextmanager
async def shared(queue, clock):
    made = SharedQueue(queue, QUEUE, clock=clock, random=Half())
    try:
        async with asyncio.timeout(60):
            yield made
    finally:
        await made.aclose()
    assert queue.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def settled():
    for _ in range(200):
        await asyncio.sleep(0)


async def hints_of(deliveries, count):
    found = []
    while len(found) < count:
        delivery = await anext(deliveries)
        found += delivery.hints
        await delivery.taken()
    return found


def run(work):
    asyncio.run(work())


def test_an_outage_shorter_than_the_retention_loses_nothing_and_is_seen():
    async def main():
        clock = Clock()
        outage = [Unreachable("no route")] * 40  # pauses grow to a minute: about twenty minutes
        queue = Queue(clock, [message(1, "a")], *outage, [message(2, "b")])
        async with shared(queue, clock) as made:
            feed = made.subscribe("lake", "")
            deliveries = feed.deliveries()
            assert [hint.path for hint in await hints_of(deliveries, 1)] == ["a"]
            assert [hint.path for hint in await hints_of(deliveries, 1)] == ["b"]
            assert made.health.ok
            assert made.health.counts.outages == 1
            pauses = [b[0] - a[0] for a, b in zip(queue.polls[1:41], queue.polls[2:42], strict=True)]
            assert pauses[0] == 0.5
            assert pauses[-1] == 30.0  # half of the cap: the jitter of this test
            assert sorted(pauses) == pauses

    run(main)


@pytest.mark.parametrize(("retention", "away_s", "lost"), [
    ("1209600", 13 * DAY_S, False),
    ("1209600", 14 * DAY_S, True),
    ("86400", DAY_S, True),
    ("60", 61, True),
    (NotPermitted("no right to ask"), 30, False),
    (NotPermitted("no right to ask"), 90, True),  # not known: the least that the service can be set to
    ("many", 90, True),
])  # fmt: skip
def test_an_outage_is_held_against_how_long_the_queue_keeps_messages(retention, away_s, lost):
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a")], Unreachable("no route"), [message(2, "b")], retention=retention)
        async with shared(queue, clock) as made:
            deliveries = made.subscribe("lake", "").deliveries()
            await hints_of(deliveries, 1)
            clock.now_s += away_s
            found = await hints_of(deliveries, 2 if lost else 1)
            assert (EVERYTHING in found) is lost
            assert found[-1].path == "b"

    run(main)


def test_a_queue_that_was_not_there_when_the_daemon_began_is_an_outage_like_any_other():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a")], retention=Unreachable("no route"))
        async with shared(queue, clock) as made:
            feed = made.subscribe("lake", "")
            reading = asyncio.create_task(hints_of(feed.deliveries(), 2))
            await settled()
            assert [problem.message for problem in feed.problems()] == ["no route"]
            clock.now_s += 20 * DAY_S
            queue.retention = "1209600"
            assert [hint.path for hint in await reading] == ["", "a"]
            assert feed.problems() == ()

    run(main)


def test_a_queue_that_was_missing_has_lost_what_it_had():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a")], QueueMissing("gone"), [message(2, "b")])
        async with shared(queue, clock) as made:
            deliveries = made.subscribe("lake", "").deliveries()
            assert [hint.path for hint in await hints_of(deliveries, 3)] == ["a", "", "b"]

    run(main)


def test_messages_close_to_the_retention_mean_that_others_were_dropped():
    async def main():
        clock = Clock()
        now_ms = int(clock.now_s * 1000)
        old_ms, new_ms = now_ms - 13 * DAY_S * 1000, now_ms - 1000
        queue = Queue(
            clock,
            [message(1, "a", sent_ms=old_ms)],
            [message(2, "b", sent_ms=old_ms + 1)],
            [message(3, "c", sent_ms=new_ms)],
            [message(4, "d", sent_ms=new_ms)],
        )
        async with shared(queue, clock) as made:
            deliveries = made.subscribe("lake", "").deliveries()
            found = []
            while not found or found[-1].path != "d":
                found += await hints_of(deliveries, 1)
            # Once when it is noticed, once when it is over; not for every message.
            assert [hint.path for hint in found if hint.path] == ["a", "b", "c", "d"]
            assert 1 <= found.count(EVERYTHING) <= 2

    run(main)


def test_a_message_seen_twice_is_handed_out_once_and_deleted_by_its_newest_handle():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a", handle="old")], [message(1, "a", handle="new")])
        async with shared(queue, clock) as made:
            deliveries = made.subscribe("lake", "").deliveries()
            delivery = await anext(deliveries)
            await settled()
            assert queue.deleted == []
            await delivery.taken()
            await delivery.taken()
            await settled()
            assert queue.deleted == ["new"]
            assert made.health.counts.duplicates == 1

    run(main)


def test_a_message_of_two_links_is_deleted_when_both_have_noted_it():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "in/a")])
        async with shared(queue, clock) as made:
            one, two = made.subscribe("lake", "").deliveries(), made.subscribe("lake", "in").deliveries()
            first, second = await anext(one), await anext(two)
            await first.taken()
            await first.taken()
            await settled()
            assert queue.deleted == []
            await second.taken()
            await settled()
            assert queue.deleted == ["h1"]

    run(main)


def test_a_message_that_a_closed_feed_had_not_noted_is_handed_out_again():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a")])
        async with shared(queue, clock) as made:
            first = made.subscribe("lake", "")
            gone = await anext(first.deliveries())
            await first.aclose()
            again = made.subscribe("lake", "").deliveries()
            queue.add([message(1, "a")])
            delivery = await anext(again)
            await gone.taken()  # too late: nobody knows what became of it
            await settled()
            assert queue.deleted == []
            await delivery.taken()
            await settled()
            assert queue.deleted == ["h1"]

    run(main)


def test_what_is_not_ours_or_not_understood_is_never_deleted():
    async def main():
        clock = Clock()
        mixed = json.dumps({"Records": [event("in/a"), event("elsewhere/b")]})
        left = [message(1, "elsewhere/a"), Message("m2", "h2", "junk", 0), Message("m3", "h3", mixed, 0)]
        done = [Message("m4", "h4", '{"Event": "s3:TestEvent"}', 0), message(5, "in/.lakelink/x"), message(6, "in/z")]
        queue = Queue(clock, left, left, done)
        async with shared(queue, clock) as made:
            found = await hints_of(made.subscribe("lake", "in").deliveries(), 2)
            assert [hint.path for hint in found] == ["a", "z"]
            await settled()
            assert sorted(queue.deleted) == ["h4", "h5", "h6"]
            assert (made.health.counts.foreign, made.health.counts.malformed) == (2, 1)

    run(main)


def test_full_polls_become_many_and_an_idle_queue_is_polled_once():
    async def main():
        clock = Clock()
        full = [[message(10 * number + each, f"{number}-{each}") for each in range(10)] for number in range(20)]
        queue = Queue(clock, *full)
        async with shared(queue, clock) as made:
            found = await hints_of(made.subscribe("lake", "").deliveries(), 200)
            assert len({hint.path for hint in found}) == 200
            await settled()
            assert len(queue.deleted) == 200
            waits = [wait_s for _, wait_s in queue.polls]
            assert waits.count(0) >= MAX_BURST

    run(main)


def test_a_link_that_notes_nothing_stops_the_polling_and_another_goes_on():
    async def main():
        clock = Clock()
        script = [[message(number, f"slow/{number}", f"quick/{number}")] for number in range(400)]
        queue = Queue(clock, *script)
        async with shared(queue, clock) as made:
            slow, quick = made.subscribe("lake", "slow"), made.subscribe("lake", "quick")
            reading = asyncio.create_task(hints_of(quick.deliveries(), 64))
            await reading
            await settled()
            assert slow.full
            assert not quick.full
            assert made.health.counts.deferred > 0
            await quick.aclose()
            await settled()
            left = len(queue.script)
            await settled()
            assert len(queue.script) == left > 0  # nobody left who could take more

    run(main)


def test_a_failing_poller_is_told_to_who_waits_and_the_next_feed_begins_anew():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "a")], RuntimeError("a broken invariant"))
        async with shared(queue, clock) as made:
            feed = made.subscribe("lake", "")
            deliveries = feed.deliveries()
            await hints_of(deliveries, 1)
            with pytest.raises(InternalError, match="a broken invariant"):
                await anext(deliveries)
            await feed.aclose()
            queue.add([message(2, "b")])
            again = made.subscribe("lake", "").deliveries()
            assert [hint.path for hint in await hints_of(again, 1)] == ["b"]
        with pytest.raises(InternalError):
            made.subscribe("lake", "")

    run(main)


def test_a_link_that_noted_nothing_for_longer_than_messages_are_kept_has_to_look_everywhere():
    async def main():
        clock = Clock()
        queue = Queue(clock, *[[message(number, str(number))] for number in range(MAX_SHARES)])
        async with shared(queue, clock) as made:
            feed = made.subscribe("lake", "")
            deliveries = feed.deliveries()
            first = await anext(deliveries)
            for _ in range(5):
                await settled()
            assert feed.full
            clock.now_s += 15 * DAY_S
            queue.add([message(MAX_SHARES, "later")])
            await first.taken()
            found = await hints_of(deliveries, MAX_SHARES)
            while EVERYTHING not in found:
                found += await hints_of(deliveries, 1)

    run(main)


def test_a_message_of_a_link_that_comes_later_is_looked_at_again():
    async def main():
        clock = Clock()
        queue = Queue(clock, [message(1, "late/a")], [message(2, "first/x")])
        async with shared(queue, clock) as made:
            first = made.subscribe("lake", "first").deliveries()
            await hints_of(first, 1)
            late = made.subscribe("lake", "late").deliveries()
            queue.add([message(1, "late/a")])
            assert [hint.path for hint in await hints_of(late, 1)] == ["a"]

    run(main)


def test_queues_are_polled_once_however_many_links_use_them():
    async def main():
        clock = Clock()
        opened = []

        def opener(_events, _access):
            opened.append(Queue(clock))
            return opened[-1]

        feeds = LakeFeeds(opener=opener)
        anna, bert = QueueAccess(credentials=CredentialSource(profile="anna")), QueueAccess()
        url = "https://sqs.eu-central-1.amazonaws.com/123456789012/events"
        one, two = (feeds.subscribe(where, anna, "lake", "in") for where in (QUEUE.arn, url))
        assert one.health is two.health
        assert feeds.subscribe(QUEUE.arn, bert, "lake", "in").health is not one.health
        assert feeds.subscribe("", anna, "lake", "in") is None
        assert list(feeds.health()) == [QUEUE.arn]
        await feeds.aclose()
        assert [queue.closed for queue in opened] == [True, True]
        assert [each async for each in one.deliveries()] == []

    run(main)


def test_without_a_queue_the_webhook_is_the_source_where_there_is_one():
    async def main():
        receiver = WebhookReceiver()
        await receiver.start()
        feeds = LakeFeeds(receiver)
        feed = feeds.subscribe("", QueueAccess(), "lake", "in")
        assert (feed.kind, list(feeds.health())) == ("webhook", ["webhook"])
        await feeds.aclose()
        assert receiver.url == ""

    run(main)
