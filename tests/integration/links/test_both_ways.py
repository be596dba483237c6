"""A real directory and a real store, changed on both sides by others."""

from __future__ import annotations

import asyncio

import pytest

from lakelink.model.entry import Kind
from tests.integration.links.world import make_world


@pytest.fixture
def world(tmp_path, seaweed, s3_prefix):
    return make_world(tmp_path, seaweed, s3_prefix)


def run(work) -> None:
    asyncio.run(work)


async def _first_tree(world) -> None:
    root = world.root
    (root / "a").mkdir()
    (root / "a" / "one").write_bytes(b"1")
    (root / "a" / "two").write_bytes(b"2" * 5000)
    (root / "empty").mkdir()
    (root / "file").write_bytes(b"")
    (root / "link").symlink_to("a/one")
    await world.put("lake/three", b"333")
    await world.put("lake/deep/er/four", b"4444")
    await world.put("five", b"5" * 2_000_000)


def test_a_union_at_first_and_then_every_kind_of_change_on_both_sides(world):
    async def work() -> None:
        root = world.root
        await _first_tree(world)
        async with world.link() as link:
            await world.agree(link)
            assert (root / "lake" / "deep" / "er" / "four").read_bytes() == b"4444"
            assert (root / "five").stat().st_size == 2_000_000
            # The files side.
            (root / "a" / "one").write_bytes(b"one more")
            (root / "a" / "two").unlink()
            (root / "file").rename(root / "renamed")
            (root / "lake" / "three").chmod(0o600)
            (root / "new").mkdir()
            (root / "new" / "inside").write_bytes(b"in")
            (root / "link").unlink()
            (root / "link").symlink_to("elsewhere")
            (root / "empty").rmdir()
            # The lake.
            await world.put("five", b"five")
            await world.rename("lake/deep/er/four", "lake/moved")
            await world.put("lake/six", kind=Kind.DIR)
            await world.agree(link)
            local = world.local()
            assert local["a/one"][1] == b"one more"
            assert "a/two" not in local
            assert "empty" not in local
            assert local["renamed"][1] == b""
            assert local["lake/three"][2] == 0o600
            assert local["link"] == ("link", "elsewhere")
            assert local["five"][1] == b"five"
            assert local["lake/moved"][1] == b"4444"
            assert "lake/deep/er/four" not in local
            assert b"4444" in world.trash()
            # Once more, the other way round.
            await world.chmod("a/one", 0o640)
            await world.remove("new/inside")
            await world.agree(link)
            local = world.local()
            assert local["a/one"][2] == 0o640
            assert "new/inside" not in local
            assert not link.journal.problems()
            assert not link.journal.conflicts()

    run(work())


def test_what_happened_while_it_was_away_is_carried_deletes_included(world):
    async def work() -> None:
        root = world.root
        await _first_tree(world)
        async with world.link() as link:
            await world.agree(link)
        (root / "a" / "one").unlink()
        (root / "a" / "more").write_bytes(b"more")
        await world.remove("five")
        await world.put("lake/three", b"other")
        async with world.link() as link:
            await world.agree(link)
            local = world.local()
            assert "a/one" not in local
            assert "five" not in local
            assert local["a/more"][1] == b"more"
            assert local["lake/three"][1] == b"other"

    run(work())


def test_without_its_journal_it_is_a_union_again_and_nothing_is_deleted(world):
    async def work() -> None:
        root = world.root
        await _first_tree(world)
        async with world.link() as link:
            await world.agree(link)
        (root / "a" / "one").unlink()
        await world.remove("five")
        before = {*world.local(), *(await world.remote())}
        for file in world.state.iterdir():
            file.unlink()
        async with world.link() as link:
            await world.agree(link)
            assert set(world.local()) >= before
            assert not link.journal.conflicts()

    run(work())


def test_at_rest_nothing_is_sent_and_nothing_is_written(world):
    async def work() -> None:
        await _first_tree(world)
        async with world.link() as link:
            await world.agree(link)
            requests: dict[str, int] = {}
            deadline = asyncio.get_running_loop().time() + 60
            # What is young is asked for once more; then nothing is, however often both sides are compared.
            while requests != _requests(link):
                assert asyncio.get_running_loop().time() < deadline
                requests = _requests(link)
                await asyncio.wait_for(link.survey(), 60)
                assert await link.settle(60)
                await asyncio.sleep(0.5)
            assert requests["HeadObject"]

    run(work())


def _requests(link) -> dict[str, int]:
    return {name: count for name, count in link.parts.lake.requests.items() if name != "ListObjectsV2"}
