"""Room on the disk: promised once, evicted for, refused when there is none."""

import asyncio

import pytest

from lakelink.errors import NoSpace
from lakelink.links.hsm.base import Fill
from lakelink.links.hsm.room import DiskRoom


class Disk:
    def __init__(self, available: int, releasable: int) -> None:
        self.available, self.releasable = available, releasable
        self.asked: list[int] = []

    def fill(self) -> Fill:
        return Fill(1000, self.available)

    async def evict(self, size_bytes: int) -> bool:
        self.asked.append(size_bytes)
        freed = min(50, self.releasable)
        self.releasable -= freed
        self.available += freed
        return freed > 0


def test_room_that_is_there_is_given_without_a_word():
    disk = Disk(500, 0)
    asyncio.run(DiskRoom(disk.fill, 100, disk.evict).take(400))
    assert not disk.asked


def test_files_are_released_until_enough_is_free():
    disk = Disk(100, 500)
    asyncio.run(DiskRoom(disk.fill, 100, disk.evict).take(130))
    assert disk.asked == [130, 80, 30]


def test_what_is_kept_free_is_used_where_nothing_may_be_released():
    disk = Disk(100, 0)
    asyncio.run(DiskRoom(disk.fill, 100, disk.evict).take(100))
    assert disk.asked == [100]


def test_what_is_promised_to_one_is_not_promised_to_another():
    disk = Disk(100, 0)
    room = DiskRoom(disk.fill, 0, disk.evict)

    async def work() -> None:
        await room.take(60)
        with pytest.raises(NoSpace):
            await room.take(60)
        room.give(60)
        await room.take(100)

    asyncio.run(work())


def test_a_full_disk_is_told_as_such():
    disk = Disk(10, 0)
    with pytest.raises(NoSpace, match="nothing may be released"):
        asyncio.run(DiskRoom(disk.fill, 0, disk.evict).take(11))
