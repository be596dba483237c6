"""A renamed file or directory is copied inside the store, not uploaded; a touched one gets other metadata only."""

from __future__ import annotations

import asyncio
import os

import pytest

from lakelink.core.brake import Brake
from lakelink.model.linkspec import Safety
from tests.integration.links.world import make_world


@pytest.fixture
def world(tmp_path, seaweed, s3_prefix):
    return make_world(tmp_path, seaweed, s3_prefix)


def run(work) -> None:
    asyncio.run(work)


def _sent(link, name: str) -> int:
    return link.parts.lake.requests.get(name, 0)


def test_renames_of_files_and_directories_upload_nothing(world):
    async def work() -> None:
        root = world.root
        (root / "d" / "e").mkdir(parents=True)
        for number in range(20):
            (root / "d" / "e" / f"f{number}").write_bytes(b"%d" % number)
        (root / "single").write_bytes(b"single")
        async with world.link() as link:
            await world.agree(link)
            copies, uploads = _sent(link, "CopyObject"), _sent(link, "PutObject")
            (root / "single").rename(root / "other")
            (root / "d").rename(root / "D")
            await world.agree(link)
            local = world.local()
            assert local["other"][1] == b"single"
            assert local["D/e/f7"][1] == b"7"
            assert "d" not in local
            assert _sent(link, "CopyObject") - copies == 21
            # The markers of two directories, and what it takes to learn how this store deletes.
            assert _sent(link, "PutObject") - uploads < 10

    run(work())


def test_a_rename_with_another_change_carries_both(world):
    async def work() -> None:
        root = world.root
        (root / "a").write_bytes(b"a" * 100)
        (root / "b").write_bytes(b"b" * 100)
        async with world.link() as link:
            await world.agree(link)
            (root / "a").chmod(0o600)
            (root / "a").rename(root / "a2")
            (root / "b").write_bytes(b"edited")
            (root / "b").rename(root / "b2")
            await world.agree(link)
            local = world.local()
            assert local["a2"][1:3] == (b"a" * 100, 0o600)
            assert local["b2"][1] == b"edited"
            assert {"a", "b"}.isdisjoint(local)

    run(work())


def test_two_names_that_are_exchanged_end_as_they_are(world):
    async def work() -> None:
        root = world.root
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        async with world.link() as link:
            await world.agree(link)
            (root / "a").rename(root / "t")
            (root / "b").rename(root / "a")
            (root / "t").rename(root / "b")
            await world.agree(link)
            assert world.local()["a"][1] == b"b"

    run(work())


def test_the_brake_counts_deletions_net_of_renames(world):
    async def work() -> None:
        root = world.root
        (root / "d").mkdir()
        for number in range(40):
            (root / "d" / f"f{number}").write_bytes(b"%d" % number)
        world.brake = Brake(Safety(max_delete_percent=10.0, max_delete_count=2))
        async with world.link() as link:
            await world.agree(link)
            (root / "d").rename(root / "renamed")
            await world.agree(link)
            assert "d" not in world.local()
            # What is deleted for good stops it; nothing has gone yet.
            for number in range(10):
                (root / "renamed" / f"f{number}").unlink()
            (root / "more").write_bytes(b"more")
            with pytest.raises(Exception, match="would be deleted"):
                await asyncio.wait_for(link.survey(), 60)
            assert link.status().state.value == "MISCONFIGURED"
            assert link.status().hint
            assert "renamed/f3" in await world.remote()
            link.resume(allow_deletes=True)
            for _ in range(600):
                await asyncio.sleep(0.1)
                if link.status().state.value == "AVAILABLE":
                    break
            await world.agree(link)
            assert "renamed/f3" not in await world.remote()

    run(work())


def test_a_touched_file_is_not_uploaded(world):
    async def work() -> None:
        file = world.root / "a"
        file.write_bytes(b"a" * 1000)
        async with world.link() as link:
            await world.agree(link)
            uploads = _sent(link, "PutObject")
            os.utime(file, ns=(1, 1_600_000_000_123_456_789))
            await world.agree(link)
            assert (await world.remote())["a"][3] == 1_600_000_000_123_456_789
            assert _sent(link, "PutObject") == uploads
            before = file.stat()
            file.write_bytes(b"b" * 1000)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 5))
            await world.agree(link)
            assert (await world.remote())["a"][1] == b"b" * 1000

    run(work())


def test_a_new_file_that_got_the_inode_size_and_time_of_a_removed_one_is_uploaded(world):
    async def work() -> None:
        old, new = world.root / "package-1.2.3", world.root / "package-1.2.4"
        old.write_bytes(b"1.2.3")
        os.utime(old, ns=(0, 499_162_500_000_000_000))  # as every file of an npm archive
        async with world.link() as link:
            await world.agree(link)
        old.rename(new)
        new.write_bytes(b"1.2.4")
        os.utime(new, ns=(0, 499_162_500_000_000_000))
        async with world.link() as link:
            await world.agree(link)
            assert (await world.remote())["package-1.2.4"][1] == b"1.2.4"

    run(work())
