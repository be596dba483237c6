"""Uploads to locations that take bytes in order: whatever order they come in, what is stored is what a file would hold."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakelink.errors import OutOfOrder, PreconditionFailed
from lakelink.handles import stream
from lakelink.handles.room import Room
from lakelink.handles.spool import Spool
from lakelink.handles.writer import Target
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.entry import Posix
from lakelink.ports.clock import SystemClock

POSIX = Posix(0o640, 7, 8, 0, 0)


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    monkeypatch.setattr(stream, "IN_MEMORY_BYTES", 64)
    monkeypatch.setattr(stream, "EARLY_BYTES", 96)
    monkeypatch.setattr(stream, "STREAM_ROOM_BYTES", 128)
    monkeypatch.setattr(stream, "_ROOM_STEP_BYTES", 16)


class Bench:
    """A store with one file, and a writer for it."""

    def __init__(self, before: bytes | None, *, keep: bool, room_bytes: int = 1 << 20):
        self.store = MemoryStore()
        if before is not None:
            self.store.put("f", before)
        self.location = MemoryLocation(self.store)
        self.room = Room(room_bytes)
        self.spool_room = Room(1 << 30)
        self.keep = len(before) if keep and before else 0

    async def writer(self):
        (before,) = await self.location.stat(["f"])
        target = Target(self.location, "f", before, SystemClock())
        spool = Spool("", self.spool_room)
        return stream.StreamWriter(target, POSIX, spool, self.room, keep_bytes=self.keep)

    @property
    def content(self) -> bytes | None:
        node = self.store.nodes.get("f")
        return node.data if node else None

    def require_nothing_held(self):
        assert self.room.used_bytes == 0
        assert self.spool_room.used_bytes == 0


_writes = st.tuples(st.just("write"), st.integers(0, 200), st.integers(1, 80))
_truncates = st.tuples(st.just("truncate"), st.integers(0, 250), st.just(0))
_STEPS = st.lists(st.one_of(_writes, _writes, _truncates), max_size=12)


@given(st.one_of(st.none(), st.binary(max_size=150)), st.booleans(), _STEPS, st.sampled_from([0, 64, 1 << 20]))
@example(b"x" * 100, True, [("write", 100, 80), ("write", 180, 20)], 1 << 20)
@example(b"x" * 100, True, [("write", 0, 50)], 1 << 20)
@example(b"x" * 150, True, [("write", 0, 80)], 1 << 20)
@example(None, False, [("write", 80, 80), ("write", 0, 80)], 1 << 20)
def test_what_is_stored_is_what_a_file_would_hold(before, keep, steps, room_bytes):
    async def story():
        bench = Bench(before, keep=keep, room_bytes=room_bytes)
        model = bytearray(before if keep and before else b"")
        writer = await bench.writer()
        stored = False
        try:
            for number, (step, at, size) in enumerate(steps):
                if step == "write":
                    data = bytes([number + 1]) * size
                    model.extend(b"\0" * (at - len(model)))
                    model[at : at + size] = data
                    if not writer.write_now(at, memoryview(data)):
                        await writer.write(at, memoryview(data))
                else:
                    model = model[:at] + b"\0" * (at - len(model))
                    await writer.truncate(at)
                assert writer.size_bytes == len(model)
            await writer.commit()
            stored = True
        except OutOfOrder:
            pass
        finally:
            await writer.discard()
        assert bench.content == (bytes(model) if stored else before)
        bench.require_nothing_held()

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_large_upload_in_order_flows_on_without_a_spool():
    async def story():
        bench = Bench(None, keep=False)
        bench.spool_room = Room(0)
        writer = await bench.writer()
        for at in range(0, 4000, 40):
            if not writer.write_now(at, memoryview(b"y" * 40)):
                await writer.write(at, memoryview(b"y" * 40))
        await writer.commit()
        await writer.discard()
        assert bench.content == b"y" * 4000

    asyncio.run(story())


def test_pieces_that_overtake_each_other_flow_on_too():
    async def story():
        bench = Bench(None, keep=False)
        bench.spool_room = Room(0)
        writer = await bench.writer()
        for at in range(0, 4000, 40):
            for piece in (at + 20, at):
                await writer.write(piece, memoryview(bytes([piece % 251]) * 20))
        await writer.commit()
        await writer.discard()
        assert bench.content == b"".join(bytes([at % 251]) * 20 for at in range(0, 4000, 20))

    asyncio.run(story())


def test_bytes_that_were_sent_on_cannot_be_written_again_and_nothing_is_stored():
    async def story():
        bench = Bench(b"old", keep=False)
        writer = await bench.writer()
        for at in range(0, 200, 40):
            await writer.write(at, memoryview(b"y" * 40))
        with pytest.raises(OutOfOrder):
            await writer.write(0, memoryview(b"again"))
        await writer.discard()
        assert bench.content == b"old"
        bench.require_nothing_held()

    asyncio.run(story())


@pytest.mark.parametrize("size", [10, 500])
def test_what_somebody_else_stored_meanwhile_stays(size):
    async def story():
        bench = Bench(b"old", keep=False)
        writer = await bench.writer()
        await writer.write(0, memoryview(b"y" * size))
        bench.store.put("f", b"theirs")
        with pytest.raises(PreconditionFailed):
            await writer.commit()
        await writer.discard()
        assert bench.content == b"theirs"

    asyncio.run(story())


@pytest.mark.parametrize("size", [10, 500])
def test_an_upload_that_is_given_up_leaves_what_was_there(size):
    async def story():
        bench = Bench(b"old", keep=False)
        writer = await bench.writer()
        await writer.write(0, memoryview(b"y" * size))
        await writer.discard()
        await writer.discard()
        assert bench.content == b"old"
        bench.require_nothing_held()

    asyncio.run(story())


@pytest.mark.parametrize("size", [10, 500])
def test_times_that_are_named_late_are_kept(size):
    async def story():
        bench = Bench(None, keep=False)
        writer = await bench.writer()
        await writer.write(0, memoryview(b"y" * size))
        writer.posix = Posix(0o600, 7, 8, 1_600_000_000_000_000_000, 5)
        writer.keeps_times = True
        entry = await writer.commit()
        await writer.discard()
        assert entry.posix == writer.posix

    asyncio.run(story())


@pytest.mark.parametrize("read_late", [False, True])
def test_what_was_written_can_be_read_back_before_it_is_sent_on(read_late):
    async def story():
        bench = Bench(b"0123456789", keep=True)
        writer = await bench.writer()
        await writer.write(10, memoryview(b"abc"))
        if read_late:
            await writer.write(2, memoryview(b"--"))
        expected = b"01--456789abc" if read_late else b"0123456789abc"
        assert await writer.read(0, 100) == expected
        await writer.commit()
        await writer.discard()
        assert bench.content == expected

    asyncio.run(story())


@pytest.mark.parametrize("size", [10, 500])
@pytest.mark.parametrize("age_s", [60, 0])
def test_what_turns_out_to_be_there_is_replaced_if_it_was_there_before_and_stays_if_it_is_new(size, age_s):
    async def story():
        bench = Bench(b"there all the time", keep=False)

        async def look():
            (found,) = await bench.location.stat(["f"])
            return found

        now_ns = SystemClock().time_ns() + age_s * 10**9
        target = Target(bench.location, "f", None, SystemClock(), look=look, opened_ns=now_ns)
        writer = stream.StreamWriter(target, POSIX, Spool("", bench.spool_room), bench.room)
        try:
            await writer.write(0, memoryview(b"y" * size))
            await writer.commit()
        except PreconditionFailed:
            assert age_s == 0
        else:
            assert age_s > 0
        await writer.discard()
        assert bench.content == (b"y" * size if age_s else b"there all the time")
        bench.require_nothing_held()

    asyncio.run(story())
