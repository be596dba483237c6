"""A link that is told of changes as they happen."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from lakelink.links.parts import SidedFeed
from lakelink.watch.choose import open_local_feed
from lakelink.watch.feed import Hint
from tests.integration.links.world import DEADLINE_S, make_world


@pytest.fixture
def world(tmp_path, seaweed, s3_prefix):
    return make_world(tmp_path, seaweed, s3_prefix)


def run(work) -> None:
    asyncio.run(work)


class Told:
    """A delivery of a queue."""

    def __init__(self, hints):
        self.hints = hints
        self.given_back = asyncio.Event()

    async def taken(self) -> None:
        self.given_back.set()


class Queue:
    """A feed of the lake by hand."""

    kind = "sqs"
    closes = False

    def __init__(self):
        self._waiting = asyncio.Queue()

    def say(self, *hints: Hint) -> Told:
        told = Told(hints)
        self._waiting.put_nowait(told)
        return told

    async def deliveries(self):
        while True:
            yield await self._waiting.get()

    def problems(self):
        return ()

    async def aclose(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def _live(world):
    chosen = await open_local_feed(str(world.root), scan_interval_s=3600.0)
    queue = Queue()
    try:
        async with world.link([SidedFeed("files", chosen.feed), SidedFeed("lake", queue)]) as link:
            assert await link.settle(DEADLINE_S)
            yield link, queue
    finally:
        await chosen.feed.aclose()


async def _until(check) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, "it did not arrive"
        await asyncio.sleep(0.05)


async def _equal(world, link) -> None:
    """Both trees become equal without anybody asking for a survey."""

    async def same() -> bool:
        return await link.settle(DEADLINE_S) and world.local() == await world.remote()

    await _until(same)


def test_local_changes_arrive_by_themselves(world):
    async def work() -> None:
        root = world.root
        async with _live(world) as (link, _):
            surveyed = link.status().last_survey_ns
            (root / "a").write_bytes(b"one")
            (root / "d" / "e").mkdir(parents=True)
            (root / "d" / "e" / "f").write_bytes(b"two")
            await _equal(world, link)
            assert len(world.local()) == 4
            (root / "a").write_bytes(b"one more")
            (root / "d" / "e" / "f").chmod(0o600)
            (root / "d" / "e").rename(root / "moved")
            await _equal(world, link)
            assert (await world.remote())["moved/f"][2] == 0o600
            (root / "a").unlink()
            (root / "moved" / "f").unlink()
            (root / "moved").rmdir()
            await _equal(world, link)
            assert set(world.local()) == {"d"}
            assert link.status().last_survey_ns == surveyed
            assert not link.journal.intents()
            assert not link.journal.problems()

    run(work())


def test_events_of_the_lake_are_given_back_when_they_are_noted_and_carried(world):
    async def work() -> None:
        async with _live(world) as (link, queue):
            await world.put("deep/down/x", b"from afar")
            told = queue.say(Hint("deep/down/x"), Hint("never/was"))
            await asyncio.wait_for(told.given_back.wait(), DEADLINE_S)
            await _equal(world, link)
            assert (world.root / "deep" / "down" / "x").read_bytes() == b"from afar"
            assert not link.journal.dirty()
            await world.remove("deep/down/x")
            queue.say(Hint("deep/down/x"), Hint("deep/down/x"), Hint("deep", subtree=True))
            await _equal(world, link)
            # A directory without a marker was there because of its key, and goes with it.
            assert not world.local()

    run(work())


def test_a_file_that_is_being_written_waits_for_its_close(world):
    async def work() -> None:
        async with _live(world) as (link, _):
            with (world.root / "log").open("wb") as file:
                for number in range(20):
                    file.write(b"%d\n" % number)
                    file.flush()
                    await asyncio.sleep(0.02)
                assert "log" not in await world.remote()
                assert not await link.settle(0.2)
            await _equal(world, link)
            assert (await world.remote())["log"][1].endswith(b"19\n")

    run(work())


def test_many_files_at_full_speed_arrive_whole(world):
    async def work() -> None:
        async with _live(world) as (link, _):
            process = await asyncio.create_subprocess_exec(
                "python3", "-c", _MAKE, str(world.root), stdout=asyncio.subprocess.DEVNULL
            )
            assert await process.wait() == 0
            await _equal(world, link)
            assert len(world.local()) == 1 + 5 + 500
            assert not link.journal.problems()

    run(work())


_MAKE = """
import sys, pathlib
root = pathlib.Path(sys.argv[1]) / "many"
for d in range(5):
    (root / f"d{d}").mkdir(parents=True)
    for n in range(100):
        (root / f"d{d}" / f"f{n}").write_bytes(b"%d" % n * 100)
"""


def test_an_archive_unpacked_over_an_older_one_arrives_though_no_time_and_no_size_tells(world):
    def unpack(text: bytes) -> None:
        file = world.root / "package.json"
        with file.open("r+b" if file.exists() else "wb") as stream:  # as with the inode that has just become free
            stream.write(text)
        os.utime(file, ns=(0, 499_162_500_000_000_000))

    async def work() -> None:
        async with _live(world) as (link, _):
            unpack(b"1.2.3")
            await _equal(world, link)
            unpack(b"1.2.4")

            async def arrived() -> bool:
                return (await world.remote())["package.json"][1] == b"1.2.4"

            await _until(arrived)
            await _equal(world, link)

    run(work())


def test_where_an_etag_is_no_md5_an_unchanged_file_is_not_sent_again(world, monkeypatch):
    monkeypatch.setattr("lakelink.links.torn.digest", _another)

    async def work() -> None:
        file = world.root / "f"
        file.write_bytes(b"content")
        os.utime(file, ns=(0, 499_162_500_000_000_000))
        async with _live(world) as (link, _):
            await _equal(world, link)
            uploads = link.parts.lake.requests["PutObject"]
            for _ in range(3):
                with file.open("ab"):
                    """Heard of, and nothing has changed."""
                assert await link.settle(DEADLINE_S)
                await asyncio.sleep(0.2)
            assert link.parts.lake.requests["PutObject"] == uploads

    run(work())


async def _another(_content, _algorithm) -> bytes:
    """Of a store that encrypts: what looks like an MD5 is that of nothing here."""
    return bytes(16)


def test_a_survey_that_is_asked_for_ends_although_files_are_deleted_without_end(world):
    async def scenario():
        async with _live(world) as (link, _):
            over = asyncio.Event()

            async def churn():
                number = 0
                while not over.is_set():
                    (world.root / f"here-{number}").write_bytes(b"%d" % number)
                    (world.root / f"here-{number - 40}").unlink(missing_ok=True)
                    number += 1
                    await asyncio.sleep(0.005)

            churning = asyncio.ensure_future(churn())
            await asyncio.sleep(2)
            try:
                await asyncio.wait_for(link.survey(), DEADLINE_S)
            finally:
                over.set()
                await churning

    run(scenario())
