"""Change feeds of a simulated world: they tell of every change, their own program's included, and now and then of none, twice, late, or of too many."""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from lakelink.model.change import Problem
from lakelink.testing.sim.disk import Assignment, Disk
from lakelink.testing.sim.inode import Inode
from lakelink.testing.sim.loop import SimLoop
from lakelink.testing.sim.objects import Mutation
from lakelink.watch.feed import EVERYTHING, Delivery, Hint, Told


@dataclass(slots=True)
class FeedWeather:
    """How a feed misbehaves: shares of hints."""

    choice: random.Random
    dropped: float = 0.0
    doubled: float = 0.0
    late_s: float = 0.01  # at most so late, each hint by itself: so they overtake each other
    overflow: float = 0.0

    @classmethod
    def drawn(cls, choice: random.Random) -> FeedWeather:
        """Bad weather of some kind, or none."""
        return cls(
            choice,
            dropped=choice.choice([0.0, 0.0, 0.1, 1.0]),
            doubled=choice.choice([0.0, 0.2]),
            late_s=choice.choice([0.001, 0.5, 5.0]),
            overflow=choice.choice([0.0, 0.0, 0.02]),
        )


class SimFeed:
    """`Feed` of one side, for one process."""

    kind = "poll"
    closes = True

    def __init__(self, loop: SimLoop, weather: FeedWeather) -> None:
        self._loop = loop
        self._weather = weather
        self._hints: deque[Hint] = deque()
        self._come = asyncio.Event()
        self._closed = False

    def see(self, hint: Hint) -> None:
        """Something happened."""
        weather, choice = self._weather, self._weather.choice
        if self._closed or choice.random() < weather.dropped:
            return
        if choice.random() < weather.overflow:
            hint = EVERYTHING
        for _ in range(1 + (choice.random() < weather.doubled)):
            self._loop.call_later(choice.random() * weather.late_s, self._arrive, hint)

    def _arrive(self, hint: Hint) -> None:
        self._hints.append(hint)
        self._come.set()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See `Feed.deliveries`."""
        while not self._closed:
            await self._come.wait()
            self._come.clear()
            if self._hints:
                hints, self._hints = list(self._hints), deque()
                yield Told(hints)

    def problems(self) -> Sequence[Problem]:
        """None: it does not know what it drops."""
        return ()

    async def aclose(self) -> None:
        self._closed = True
        self._come.set()


class FilesEvents:
    """Turns what happens on a disk into hints below a root."""

    def __init__(self, disk: Disk, root: str, feed: SimFeed) -> None:
        self._disk = disk
        self._root = root.strip("/").encode().split(b"/")
        self._feed = feed
        disk.named.append(self._named)
        disk.written.append(self._written)

    def close(self) -> None:
        """Nothing is told any more."""
        self._disk.named.remove(self._named)
        self._disk.written.remove(self._written)

    def _paths(self) -> dict[int, list[bytes]]:
        """Where each inode is, by its serial number."""
        top = self._disk.top
        for component in self._root:
            below = top.entries.get(component)
            if below is None:
                return {}
            top = below
        found: dict[int, list[bytes]] = {top.serial: [b""]}
        for path, inode in self._disk.tree(top):
            found.setdefault(inode.serial, []).append(path)
        return found

    def _named(self, assignments: Sequence[Assignment]) -> None:
        paths = self._paths()
        places: list[tuple[str, Inode | None]] = []
        for directory, name, inode in assignments:
            if directory.own:
                continue
            places += [
                (os.fsdecode(above + b"/" + name if above else name), inode)
                for above in paths.get(directory.serial, [])
            ]
        left = [path for path, inode in places if inode is None]
        for path, inode in places:
            moved_from = left[0] if inode is not None and left else None
            subtree = inode is not None and inode.is_directory
            settled = inode is None or not inode.writers
            self._feed.see(Hint(path, subtree=subtree, settled=settled, moved_from=moved_from))

    def _written(self, inode: Inode) -> None:
        if inode.nlink and not inode.own:
            for path in self._paths().get(inode.serial, []):
                self._feed.see(Hint(os.fsdecode(path), settled=not inode.writers))


class LakeEvents:
    """Turns changes of a bucket into hints below a prefix."""

    def __init__(self, prefix: str, feed: SimFeed) -> None:
        self._prefix = prefix
        self._feed = feed

    def __call__(self, mutation: Mutation) -> None:
        if mutation.key.startswith(self._prefix):
            self._feed.see(Hint(mutation.key[len(self._prefix) :].removesuffix("/")))
