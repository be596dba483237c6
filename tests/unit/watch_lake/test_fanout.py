import asyncio

import pytest

from lakelink.errors import InternalError, Unreachable
from lakelink.watch.fanout import MAX_SHARES, Fanout, Share, coalesced
from lakelink.watch.feed import EVERYTHING, MAX_HINTS, Hint
from lakelink.watch.s3_events import KeyEvent


def feed_of(prefix, bucket="lake"):
    return Fanout("sqs").subscribe(bucket, prefix)


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("", "a/b", "a/b"),
        ("in", "in/a/b", "a/b"),
        ("in/", "in/dir/", "dir"),  # a directory's marker
        ("in", "in/", ""),  # the root's own marker
        ("in/deep", "in/deep/a", "a"),
        ("in", "in/.lakelinked", ".lakelinked"),
    ],
)
def test_a_key_becomes_the_path_below_the_prefix(prefix, key, path):
    feed, event = feed_of(prefix), KeyEvent("lake", key)
    assert feed.concerns(event)
    assert feed.hint_of(event) == Hint(path)


@pytest.mark.parametrize(
    ("prefix", "bucket", "key"), [("in", "lake", "inner/a"), ("in", "lake", "in"), ("", "pond", "a")]
)
def test_what_is_elsewhere_does_not_concern_it(prefix, bucket, key):
    assert not feed_of(prefix).concerns(KeyEvent(bucket, key))


@pytest.mark.parametrize("key", ["in/.lakelink/staging/1", "in/.lakelink/", "in/.lakelink"])
def test_keys_of_lakelink_itself_are_for_nobody(key):
    feed = feed_of("in")
    assert feed.concerns(KeyEvent("lake", key))
    assert feed.hint_of(KeyEvent("lake", key)) is None
    assert feed.health.counts.impossible == 0


@pytest.mark.parametrize(
    "key", ["in/../../etc/passwd", "in//a", "in/a//", "in/./a", "in/a\0b", f"in/{'x' * 300}", "in//"]
)
def test_keys_that_cannot_be_files_never_become_paths(key):
    feed = feed_of("in")
    assert feed.hint_of(KeyEvent("lake", key)) is None
    assert feed.health.counts.impossible == 1


@pytest.mark.parametrize("key", ["", "a", "a/b"])
def test_a_tree_that_holds_the_whole_link_is_everything(key):
    feed = feed_of("a/b")
    event = KeyEvent("lake", key, subtree=True)
    assert feed.concerns(event)
    assert feed.hint_of(event) == EVERYTHING
    assert not feed.concerns(KeyEvent("lake", "a/bc", subtree=True))


def test_hints_are_coalesced_and_bounded():
    assert coalesced([Hint("a"), Hint("b"), Hint("a"), Hint("a", subtree=True)]) == (Hint("a", subtree=True), Hint("b"))
    assert coalesced([Hint("a"), EVERYTHING]) == (EVERYTHING,)
    assert coalesced([Hint(f"{number}") for number in range(MAX_HINTS + 1)]) == (EVERYTHING,)
    assert len(coalesced([Hint(f"{number}") for number in range(MAX_HINTS)])) == MAX_HINTS


def test_all_that_waits_is_one_delivery_and_taking_it_takes_all():
    async def main():
        feed, taken = feed_of(""), []
        for name in "abc":
            feed.put(Share((Hint(name),), lambda name=name: taken.append(name)))
        delivery = await anext(feed.deliveries())
        assert [hint.path for hint in delivery.hints] == ["a", "b", "c"]
        assert taken == []
        await delivery.taken()
        await delivery.taken()
        assert taken == ["a", "b", "c"]

    asyncio.run(main())


def test_a_loss_is_told_before_what_waits_and_once():
    async def main():
        feed = feed_of("")
        feed.put(Share((Hint("a"),), lambda: None))
        feed.lose()
        feed.lose()
        deliveries = feed.deliveries()
        assert (await anext(deliveries)).hints == (EVERYTHING,)
        assert (await anext(deliveries)).hints == (Hint("a"),)
        await feed.aclose()
        assert [each async for each in deliveries] == []

    asyncio.run(main())


def test_a_reader_that_waits_is_woken_by_the_end_and_by_a_failure():
    async def main():
        closed, broken = feed_of(""), feed_of("")

        async def read(feed):
            return [each async for each in feed.deliveries()]

        async with asyncio.timeout(30):
            first, second = asyncio.create_task(read(closed)), asyncio.create_task(read(broken))
            await asyncio.sleep(0)
            await closed.aclose()
            broken.fail(InternalError("broken"))
            assert await first == []
            with pytest.raises(InternalError):
                await second
        assert [each.code for each in broken.problems()] == ["LL900"]

    asyncio.run(main())


def test_a_feed_with_too_much_waiting_is_full_until_some_is_taken():
    async def main():
        feed = feed_of("")
        for _ in range(MAX_SHARES):
            assert not feed.full
            feed.put(Share((Hint("a"),), feed.settle))
        assert feed.full
        await (await anext(feed.deliveries())).taken()
        assert not feed.full

    asyncio.run(main())


def test_health_tells_since_when_and_why():
    now = [1]
    fanout = Fanout("sqs", lambda: now[0])
    feed = fanout.subscribe("lake", "")
    assert feed.problems() == ()
    fanout.health.down(Unreachable("away", hint="wait"))
    now[0] = 2
    fanout.health.down(Unreachable("still away"))
    assert (fanout.health.since_ns, fanout.health.counts.outages) == (1, 1)
    assert [each.message for each in feed.problems()] == ["still away"]
    fanout.health.up()
    assert (fanout.health.ok, fanout.health.since_ns, feed.problems()) == (True, 2, ())
