"""A large file comes without a question to our own ear for each piece of it, and nothing of that keeps it open afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakelink.links.hsm import making
from lakelink.links.hsm.base import NewStub, Tier
from lakelink.links.hsm.filling import Filling
from lakelink.links.hsm.places import Places
from lakelink.links.hsm.probe import open_group
from lakelink.links.hsm.quiet import Quiet
from lakelink.links.hsm.stub import Origin
from lakelink.links.hsm.tree import Tree
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.ports import permission
from tests.integration.hsm.scene import MTIME_NS, noise

DATA = noise(24 << 20, 1)
POSIX = Posix(0o644, 0, 0, MTIME_NS, MTIME_NS)


class Ear:
    """Allows everything, and counts."""

    def __init__(self, group_fd: int) -> None:
        self.heard = 0
        self._group_fd = group_fd
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            for question in permission.questions(os.read(self._group_fd, 4096)):
                self.heard += 1
                os.close(question.fd)
                permission.allow(self._group_fd, question.fd)


class Room:
    async def take(self, size_bytes: int) -> None:
        """There is room."""

    def give(self, size_bytes: int) -> None:
        """There is room."""


class Place:
    """A tree with one large stub of an object in memory."""

    def __init__(self, top: Path) -> None:
        (top / "tree").mkdir(parents=True)
        self.tree = Tree(str(top / "tree"), Places(str(top)), open_group(), Tier.PRE_CONTENT)
        self.lake = MemoryLocation(MemoryStore())
        write = Write("big", Kind.FILE, BytesContent(DATA), POSIX, Expect(None))
        (made,) = asyncio.run(self.lake.write([write]))
        assert isinstance(made, Entry)
        assert made.version is not None
        making.make(self.tree, [NewStub("big", POSIX, Origin("lake", "big", made.version))])
        handle = self.tree.handle_at("big")
        assert handle is not None
        self.handle = handle
        self.ear = Ear(self.tree.group_fd)

    async def location_of(self, name: str) -> MemoryLocation:
        return self.lake

    def filling(self, quiet) -> Filling:
        return Filling(self.tree, self.location_of, Room(), lambda handle: None, quiet)

    def open_by(self) -> int:
        """How many descriptors of this process are of the file."""
        path = os.path.realpath(f"{self.tree.root}/big")
        places = (os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())
        return sum(place == path for place in places)


@pytest.fixture
def place(file_systems, request) -> Iterator[Place]:
    top = file_systems("ext4") / request.node.name[:60]
    yield Place(top)
    shutil.rmtree(top, ignore_errors=True)


def test_a_large_file_is_written_without_a_question_for_each_piece(place):
    assert asyncio.run(place.filling(Quiet(place.tree).open).fill(place.handle)) is not None
    heard = place.ear.heard
    assert heard < 12
    assert Path(place.tree.root, "big").read_bytes() == DATA
    assert place.ear.heard == heard  # a loaded file asks nobody
    assert Path(place.tree.root, "big").stat().st_mtime_ns == MTIME_NS
    assert not place.open_by()


def test_where_there_is_no_quiet_descriptor_it_is_written_by_an_ordinary_one(place):
    def refused(handle: bytes) -> int:
        raise TimeoutError

    assert asyncio.run(place.filling(refused).fill(place.handle)) is not None
    assert place.ear.heard > 20
    assert Path(place.tree.root, "big").read_bytes() == DATA


def test_a_descriptor_that_comes_when_nobody_waits_any_more_is_closed(place):
    quiet, inside, leave = Quiet(place.tree), threading.Event(), threading.Event()

    def late(handle: bytes) -> int:
        inside.set()
        assert leave.wait(60)
        return quiet.open(handle)

    async def work() -> None:
        loading = asyncio.ensure_future(place.filling(late).fill(place.handle))
        assert await asyncio.to_thread(inside.wait, 60)
        loading.cancel()
        await asyncio.wait([loading])
        leave.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(work())
    ends_s = time.monotonic() + 60
    while place.open_by() and time.monotonic() < ends_s:
        time.sleep(0.01)
    assert not place.open_by()
    sight = place.tree.sight("big")
    assert sight is not None
    assert sight.flags.is_stub
