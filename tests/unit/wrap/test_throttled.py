import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.locations.wrap.throttled import BURST_S, Pace, Throttled
from lakelink.testing.clocks import JumpingClock
from lakelink.testing.contents import pattern
from lakelink.testing.hand import Hand

SIZE = 1 << 20


@pytest.mark.parametrize("way", ["chunks", "load", "pour"])
def test_reading_takes_its_time_however_it_is_done(run, memory, clock, way, tmp_path):
    async def read():
        await Hand(memory).put("f", pattern(SIZE))
        content = await Hand(Throttled(memory, clock, bytes_per_s=SIZE / 8)).open("f")
        assert content.open_file() is None
        if way == "pour":
            with (tmp_path / "f").open("w+b") as file:
                await content.pour(file.fileno())
                assert file.read() == pattern(SIZE)
        else:
            data = await content.load() if way == "load" else b"".join([c async for c in content.chunks()])
            assert data == pattern(SIZE)
        await content.load()  # the debt of what was read is paid by who comes next

    run(read())
    assert clock.monotonic() >= 8 - BURST_S


def test_writing_takes_its_time_chunk_by_chunk(run, memory, clock):
    run(Hand(Throttled(memory, clock, bytes_per_s=SIZE / 8)).put("f", pattern(SIZE)))
    assert memory.store.files() == {"f": pattern(SIZE)}
    assert 7 <= clock.monotonic() <= 8
    assert max(clock.slept) <= 0.6


def test_paths_per_second_hold_over_all_verbs(run, memory, clock):
    hand = Hand(Throttled(memory, clock, paths_per_s=2))

    async def use():
        version = await hand.put("f", b"x")
        for _ in range(10):
            await hand.see("f")
        entry = await hand.see("f")
        await hand.set_posix("f", entry.posix, version)
        await hand.rows()
        await hand.get("f")
        await hand.remove("f", await hand.version("f"))

    run(use())
    assert clock.monotonic() >= 16 / 2 - 1


def test_without_limits_nothing_waits(run, memory, clock):
    run(Hand(Throttled(memory, clock)).put("f", pattern(SIZE)))
    assert clock.slept == []


def test_readers_at_once_share_the_rate(clock):
    async def use():
        location = MemoryLocation(MemoryStore(clock))
        await Hand(location).put("f", pattern(SIZE))
        hand = Hand(Throttled(location, clock, bytes_per_s=SIZE))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(hand.get("f"))

    asyncio.run(use())
    assert 3.5 <= clock.monotonic() <= 4.1


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1000)), min_size=1, max_size=30))
def test_no_span_ever_gets_more_than_rate_and_burst_allow(pauses_and_amounts):
    rate = 100.0

    async def use():
        clock = JumpingClock()
        pace = Pace(rate, clock)
        taken = []
        for pause_s, amount in pauses_and_amounts:
            await clock.sleep(pause_s)
            await pace.take(amount)
            taken.append((clock.monotonic(), amount))
        return taken

    taken = asyncio.run(use())
    for i, (begin, _) in enumerate(taken):
        for j in range(i, len(taken)):
            span_s = taken[j][0] - begin
            # an amount is given when its wait is over, so the first one is paid for before the span
            assert sum(amount for _, amount in taken[i + 1 : j + 1]) <= rate * (span_s + BURST_S) + 1e-6
