"""What the gateway of this process changes is told to the links that have it, however many changes come and however slowly they are taken."""

import asyncio

import pytest

from lakelink.watch.fanout import MAX_SHARES
from lakelink.watch.feed import EVERYTHING, MAX_HINTS, Hint
from lakelink.watch.notices import Notices
from lakelink.watch.s3_events import KeyEvent


async def take(deliveries):
    """The hints of one delivery."""
    async with asyncio.timeout(30):
        delivery = await anext(deliveries)
    hints = list(delivery.hints)
    await delivery.taken()
    return hints


def test_a_change_goes_to_every_link_that_has_the_key_and_to_no_other():
    async def story():
        notices = Notices()
        whole, part, other = (notices.subscribe(*place) for place in (("lake", ""), ("lake", "in"), ("pond", "in")))
        streams = [feed.deliveries() for feed in (whole, part, other)]
        notices.tell(KeyEvent("lake", "in/a"))
        notices.tell(KeyEvent("lake", "out/b", subtree=True))
        notices.tell(KeyEvent("pond", "in/c"))
        return [await take(stream) for stream in streams]

    whole, part, other = asyncio.run(story())
    assert whole == [Hint("in/a"), Hint("out/b", subtree=True)]
    assert part == [Hint("a")]
    assert other == [Hint("c")]


def test_keys_of_lakelink_itself_are_told_to_nobody():
    async def story():
        notices = Notices()
        stream = notices.subscribe("lake", "in").deliveries()
        notices.tell(KeyEvent("lake", "in/.lakelink/staging/x"))
        notices.tell(KeyEvent("lake", "in/a"))
        return await take(stream)

    assert asyncio.run(story()) == [Hint("a")]


@pytest.mark.parametrize("count", [MAX_SHARES + 100, MAX_HINTS])
def test_what_a_link_does_not_take_is_merged_and_none_of_it_is_lost(count):
    async def story():
        notices = Notices()
        feed = notices.subscribe("lake", "")
        for number in range(count):
            notices.tell(KeyEvent("lake", f"{number}"))
            notices.tell(KeyEvent("lake", "again"))
        stream, got = feed.deliveries(), set()
        while len(got) < count + 1:
            got.update(await take(stream))
        notices.tell(KeyEvent("lake", "later"))
        return got, await take(stream)

    got, later = asyncio.run(story())
    assert got == {Hint("again"), *(Hint(f"{number}") for number in range(count))}
    assert later == [Hint("later")]


def test_more_than_a_delivery_holds_becomes_a_look_everywhere():
    async def story():
        notices = Notices()
        feed = notices.subscribe("lake", "")
        for number in range(MAX_HINTS + MAX_SHARES + 1):
            notices.tell(KeyEvent("lake", f"{number}"))
        assert len(notices._held[feed]) == 1
        stream = feed.deliveries()
        await take(stream)
        return await take(stream)

    assert asyncio.run(story()) == [EVERYTHING]


def test_a_link_that_closes_its_feed_is_told_nothing_more():
    async def story():
        notices = Notices()
        feed = notices.subscribe("lake", "")
        for number in range(MAX_SHARES + 10):
            notices.tell(KeyEvent("lake", f"{number}"))
        await feed.aclose()
        assert not notices._held
        notices.tell(KeyEvent("lake", "x"))
        await notices.aclose()
        return [delivery async for delivery in feed.deliveries()]

    assert asyncio.run(story()) == []
