"""Trouble of a whole side: nothing is deleted, a sentence says why, and the link goes on when the cause is gone."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import shutil
from contextlib import closing

import pytest

from lakelink.errors import LakelinkError, RootMissing, Unreachable, UsageError
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.link import ALL_EVENTS, ConflictRule, Rule
from lakelink.state.findings import Intent
from lakelink.state.journal import Journal
from tests.integration.links.world import DEADLINE_S, make_world


@pytest.fixture
def world(tmp_path, seaweed, s3_prefix):
    return make_world(tmp_path, seaweed, s3_prefix)


def run(work) -> None:
    asyncio.run(work)


async def _until(check) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not check():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


class Away(Delegating):
    """A lake behind a line that can be cut."""

    cut = False

    def _check(self) -> None:
        if self.cut:
            raise Unreachable("the line is cut")

    async def scan(self, excludes=None):
        async for batch in self.inner.scan(excludes):
            self._check()
            yield batch

    async def stat(self, paths):
        self._check()
        return await self.inner.stat(paths)

    async def write(self, writes):
        self._check()
        return await self.inner.write(writes)


def test_a_store_that_is_away_is_waited_for_and_nothing_is_dropped(world):
    async def work() -> None:
        (world.root / "a").write_bytes(b"a")
        async with world.link(wrap=Away) as link:
            await world.agree(link)
            link.parts.lake.cut = True
            (world.root / "b").write_bytes(b"b")
            (world.root / "a").unlink()
            waiting = asyncio.ensure_future(link.survey())
            await _until(lambda: link.status().activity == "waiting for the lake")
            assert link.status().state.value == "AVAILABLE"
            link.parts.lake.cut = False
            await asyncio.wait_for(waiting, DEADLINE_S)
            await world.agree(link)
            assert set(world.local()) == {"b"}

    run(work())


def test_a_root_that_is_away_halts_the_link_and_deletes_nothing(world):
    async def work() -> None:
        (world.root / "a").write_bytes(b"a")
        (world.root / "d").mkdir()
        aside = world.root.parent / "aside"
        async with world.link(guarded=True, may_end=True) as link:
            await world.agree(link)
            world.root.rename(aside)
            with pytest.raises(LakelinkError):
                await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert link.status().state.value == "MISCONFIGURED"
            assert link.status().reason
            assert link.status().hint
            # An empty directory in its place, as where a file system is not mounted.
            world.root.mkdir()
            link.resume()
            await _until(lambda: "empty" in link.status().reason)
            assert set(await world.remote()) == {"a", "d"}
            world.root.rmdir()
            aside.rename(world.root)
            link.resume()
            await _until(lambda: link.status().state.value == "AVAILABLE" or link.ended.done())
        async with world.link(guarded=True) as link:
            await world.agree(link)
            assert set(world.local()) == {"a", "d"}

    run(work())


def test_what_was_opened_of_a_root_that_was_mounted_anew_is_given_up(world):
    async def work() -> None:
        (world.root / "a").write_bytes(b"a")
        async with world.link(may_end=True) as link:
            await world.agree(link)
            aside = world.root.parent / "aside"
            world.root.rename(aside)
            shutil.copytree(aside, world.root)
            with pytest.raises(LakelinkError):
                await asyncio.wait_for(link.survey(), DEADLINE_S)
            link.resume()
            error = await asyncio.wait_for(asyncio.shield(link.ended), DEADLINE_S)
            assert isinstance(error, RootMissing)
        assert set(await world.remote()) == {"a"}

    run(work())


def test_a_paused_link_carries_nothing_until_it_is_resumed(world):
    async def work() -> None:
        async with world.link() as link:
            await world.agree(link)
            link.pause()
            (world.root / "a").write_bytes(b"a")
            waiting = asyncio.ensure_future(link.survey())
            await asyncio.sleep(0.5)
            assert not waiting.done()
            assert link.status().paused
            assert link.status().activity == "paused"
            assert await world.remote() == {}
            link.resume()
            await asyncio.wait_for(waiting, DEADLINE_S)
            assert set(await world.remote()) == {"a"}

    run(work())


def test_other_settings_are_taken_over_at_once_and_what_they_exclude_is_let_go_of(world):
    async def work() -> None:
        for name in ("a.tmp", "b"):
            (world.root / name).write_bytes(b"x")
        async with world.link() as link:
            await world.agree(link)
            link.update(dataclasses.replace(world.spec, filters=("*.tmp",)))
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert link.status().agreed == 1
            (world.root / "a.tmp").unlink()
            (world.root / "c.tmp").write_bytes(b"c")
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert set(await world.remote()) == {"a.tmp", "b"}
            link.update(dataclasses.replace(world.spec, rule=Rule(imports=ALL_EVENTS, exports=frozenset())))
            (world.root / "d").write_bytes(b"d")
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert "d" not in await world.remote()
            with pytest.raises(UsageError):
                link.update(dataclasses.replace(world.spec, files="/elsewhere"))

    run(work())


@pytest.mark.parametrize("keep", ["files", "lake", "both"])
def test_a_conflict_is_resolved_by_command_and_nothing_is_lost(world, keep):
    async def work() -> None:
        file = world.root / "x"
        file.write_bytes(b"base")
        async with world.link() as link:
            await world.agree(link)
            file.write_bytes(b"mine, longer")
            await world.put("x", b"theirs")
            await world.agree(link)
            (clash,) = link.journal.conflicts()
            await link.resolve(clash.id, keep)
            await world.agree(link)
            local = world.local()
            assert file.read_bytes() == (b"mine, longer" if keep == "files" else b"theirs")
            assert (clash.copy in local) is (keep == "both")
            left = {one[1] for one in local.values()} | set(world.trash())
            assert {b"mine, longer", b"theirs"} <= left
            assert not link.journal.conflicts()
            with pytest.raises(UsageError):
                await link.resolve(clash.id, keep)

    run(work())


@pytest.mark.parametrize("keep", ["files", "lake", "both"])
def test_what_stands_is_settled_by_command_whatever_the_policies_say(tmp_path, seaweed, s3_prefix, keep):
    world = make_world(tmp_path, seaweed, s3_prefix, rule=Rule(imports=frozenset(), exports=ALL_EVENTS))

    async def work() -> None:
        file = world.root / "x"
        file.write_bytes(b"base")
        async with world.link() as link:
            await world.agree(link)
            file.write_bytes(b"mine, longer")
            await world.put("x", b"theirs")
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            (clash,) = link.journal.conflicts()
            await link.resolve(clash.id, keep)
            assert file.read_bytes() == (b"mine, longer" if keep == "files" else b"theirs")
            remote = await world.remote()
            assert remote["x"][1] == file.read_bytes()
            left = {one[1] for one in (*world.local().values(), *remote.values())} | set(world.trash())
            assert {b"mine, longer", b"theirs"} <= left
            await asyncio.wait_for(link.survey(), DEADLINE_S)
            assert [one for one in link.journal.conflicts() if not one.copy] == []

    run(work())


def test_the_journal_is_checked_against_both_sides_and_repaired(world):
    async def work() -> None:
        for name in ("a", "b", "c"):
            (world.root / name).write_bytes(name.encode())
        async with world.link() as link:
            await world.agree(link)
            while not (await link.check(repair=False)).is_clean:  # until nothing is young any more
                await asyncio.sleep(0.5)
                await asyncio.wait_for(link.survey(), DEADLINE_S)
            (world.root / "a").write_bytes(b"changed")
            (world.root / "b").unlink()
            await world.put("n", b"n")
            result = await link.check(repair=False)
            assert {(one.path, one.side, one.what) for one in result.named} == {
                ("a", "files", "changed"),
                ("b", "files", "missing"),
                ("n", "lake", "new"),
            }
            assert result.differences == 3
            await link.check(repair=True)
            await world.agree(link)
            assert set(world.local()) == {"a", "c", "n"}

    run(work())


@pytest.mark.parametrize("rule", [ConflictRule.KEEP_BOTH, ConflictRule.FILES])
@pytest.mark.parametrize("torn", [b"", b"\0" * 6000, b"x" * 2048 + b"\0" * 1000])
def test_an_import_that_a_power_failure_tore_is_no_change_of_anybodys(tmp_path, seaweed, s3_prefix, rule, torn):
    world = make_world(tmp_path, seaweed, s3_prefix, rule=Rule(conflict=rule))
    whole = b"x" * 6000

    async def scenario():
        await world.put("f", whole)
        async with world.link() as link:
            await world.agree(link)
            link.pause()
            await world.put("f", whole.upper())
            await world.put("new", whole)
        with closing(Journal.open(world.state / "journal.sqlite")) as journal:
            journal.begin([Intent("f", "import"), Intent("new", "import")], 1)
        (world.root / "f").write_bytes(torn.upper())
        (world.root / "new").write_bytes(torn)
        async with world.link() as link:
            await world.agree(link)
            assert link.journal.conflicts(resolved=True) == []
        assert (world.root / "f").read_bytes() == whole.upper()
        assert (world.root / "new").read_bytes() == whole

    asyncio.run(scenario())


@pytest.mark.parametrize("rule", [ConflictRule.KEEP_BOTH, ConflictRule.FILES])
@pytest.mark.parametrize("left", [b"", b"X" * 2048 + b"\0" * 1000, b"an edit, for all that anybody can tell"])
def test_what_a_cut_off_import_left_is_kept_apart_although_the_lake_has_changed_back_or_deleted(
    tmp_path, seaweed, s3_prefix, rule, left
):
    world = make_world(tmp_path, seaweed, s3_prefix, rule=Rule(conflict=rule))
    paths = {"back": b"x" * 6000, "gone": b"y" * 6000, "new": None}

    async def scenario():
        for path, data in paths.items():
            if data is not None:
                await world.put(path, data)
        async with world.link() as link:
            await world.agree(link)
        # The import of other versions was begun, the power failed, and the lake holds the former ones again, or nothing.
        await world.remove("gone")
        with closing(Journal.open(world.state / "journal.sqlite")) as journal:
            journal.begin([Intent(path, "import", {"etag": "0" * 32}) for path in paths], 1)
        for path in paths:
            (world.root / path).unlink(missing_ok=True)
            (world.root / path).write_bytes(left)
        async with world.link() as link:
            await world.agree(link)
            clashes = {clash.path: clash.copy for clash in link.journal.conflicts()}
        assert (world.root / "back").read_bytes() == paths["back"]
        assert clashes.keys() == {"gone", "new"} | ({"back"} if left else set())  # an empty file is a part of anything
        assert set(await world.remote()) == set(world.local()) == {"back", *clashes.values()}
        assert await world.remote() == world.local()
        assert all((world.root / copy).read_bytes() == left for copy in clashes.values())

    asyncio.run(scenario())


def test_a_whole_import_whose_result_was_lost_follows_the_lake(tmp_path, seaweed, s3_prefix):
    world = make_world(tmp_path, seaweed, s3_prefix)
    placed = b"placed" * 1000
    paths = {"back": b"x" * 6000, "gone": b"y" * 6000}

    async def scenario():
        for path, data in paths.items():
            await world.put(path, data)
        async with world.link() as link:
            await world.agree(link)
        await world.remove("gone")
        with closing(Journal.open(world.state / "journal.sqlite")) as journal:
            etag = hashlib.md5(placed, usedforsecurity=False).hexdigest()
            journal.begin([Intent(path, "import", {"etag": etag}) for path in paths], 1)
        for path in paths:
            (world.root / path).unlink()
            (world.root / path).write_bytes(placed)
        async with world.link() as link:
            await world.agree(link)
            assert link.journal.conflicts(resolved=True) == []
        assert (world.root / "back").read_bytes() == paths["back"]
        assert set(await world.remote()) == set(world.local()) == {"back"}

    asyncio.run(scenario())


def test_an_edit_after_an_import_that_was_cut_off_is_a_conflict(world):
    async def scenario():
        await world.put("f", b"x" * 6000)
        with closing(Journal.open(world.state / "journal.sqlite")) as journal:
            journal.begin([Intent("f", "import")], 1)
        (world.root / "f").write_bytes(b"x" * 100 + b"edited")
        async with world.link() as link:
            await world.agree(link)
            (clash,) = link.journal.conflicts()
        assert (world.root / clash.copy).read_bytes() == b"x" * 100 + b"edited"

    asyncio.run(scenario())
