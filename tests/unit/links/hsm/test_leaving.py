"""Objects that are about to go, and those that somebody relies on."""

import asyncio

from lakelink.links.hsm.leaving import Leaving


def test_nobody_begins_to_rely_on_an_object_that_is_about_to_go():
    async def story():
        leaving = Leaving()
        async with leaving.going(["a", "b", "a"]), leaving.going(["b"]):
            assert "a" in leaving
            with leaving.relying(["a", "b", "c"]) as sure:
                assert sure == {"c"}
        with leaving.relying(["a", "b"]) as sure:
            assert sure == {"a", "b"}

    asyncio.run(story())


def test_an_object_goes_only_when_nobody_relies_on_it_any_more():
    async def story():
        leaving, told = Leaving(), []

        async def take_away():
            async with leaving.going(["a"]):
                told.append("gone")

        with leaving.relying(["a"]):
            with leaving.relying(["a", "b"]):
                going = asyncio.ensure_future(take_away())
                await asyncio.sleep(0)
                assert "a" in leaving
            await asyncio.sleep(0)
            assert told == []
            with leaving.relying(["a"]) as sure:
                assert sure == frozenset()
        await going
        assert told == ["gone"]

    asyncio.run(story())


def test_who_gives_up_waiting_leaves_nothing_behind():
    async def story():
        leaving = Leaving()

        async def take_away():
            async with leaving.going(["a"]):
                pass

        with leaving.relying(["a"]):
            going = asyncio.ensure_future(take_away())
            await asyncio.sleep(0)
            going.cancel()
            await asyncio.wait([going])
            assert "a" not in leaving

    asyncio.run(story())
