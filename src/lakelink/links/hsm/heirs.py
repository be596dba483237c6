"""What a stub stands for next when its object goes: the object at another name of the same file, which has the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from lakelink.core.delta import stands_for
from lakelink.core.residency import is_stub
from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.links.hsm.base import Candidate, NewStub, Outcome, Result
from lakelink.links.hsm.lazy import Laziness, is_here
from lakelink.locations.base import Location
from lakelink.model.entry import Entry
from lakelink.model.link import Agreed
from lakelink.model.path import display

Known: TypeAlias = Mapping[int, Sequence[tuple[str, Agreed]]]
Names: TypeAlias = Callable[[Sequence[int]], Known]
"""Agreed paths whose file had one of these inodes."""


class Heirs:
    """Finds them, and has stubs stand for them. Size, time and inode of the file stay."""

    def __init__(self, lake: Location, lazy: Laziness, names: Names) -> None:
        self._lake = lake
        self._lazy = lazy
        self._names = names

    async def settle(self, stubs: Sequence[tuple[str, Entry]]) -> dict[str, str]:
        """Have these stubs (where each is, and what was seen there) stand for another object than now; where that was done, the path of the object.

        Where it was not, there is no such object, or it is about to go, or the stub is in use, moved, or no stub any more.
        """
        done: dict[str, str] = {}
        known = self._known(stubs)
        for place, files in stubs:
            for name, lake in await self._objects(files, known):
                if name not in self._lazy.leaving and await self.follow(place, files, name, lake):
                    done[place] = name
                    break
        return done

    async def bequeath(self, stubs: Sequence[tuple[str, Entry]]) -> dict[str, LakelinkError]:
        """Before a name of a stub goes because its object went. What has another name stands for the object at that one. What was known by
        another name, and has it no more, is loaded, so that the trash gets its bytes: the object there is the last to have them, and will be
        replaced by what took the name.

        Where that cannot be done now, the name may not go yet.
        """
        refused: dict[str, LakelinkError] = {}
        known = self._known(stubs)
        for place, files in stubs:
            heirs = [name for name, _ in await self._objects(files, known)]
            moved_from = files.origin.path if files.origin and files.origin.path != place else ""
            if not heirs and not moved_from:
                continue
            name = (await self.settle([(place, files)])).get(place, moved_from)
            if name and await self._is_at(name, files):
                continue
            (result,) = await self._lazy.load([place]) if name else (Result(place, Outcome.IN_USE),)
            if not is_here(result) and result.outcome is not Outcome.CHANGED:
                refused[place] = result.error or PreconditionFailed(
                    f"{display(place)} cannot be loaded, and would leave nothing in the trash",
                    hint="It is tried again.",
                )
        return refused

    async def own(self, path: str, files: Entry | None, lake: Entry | None) -> bool:
        """A stub that both sides agree on stands for the object at its own path afterwards, unless it has the name of the one that it stands for as well:
        that object may go without anybody here being asked. False: it moved on meanwhile.
        """
        if files is None or lake is None or not is_stub(files) or files.origin is None:
            return True
        origin = files.origin.path
        if origin == path or not stands_for(files, lake) or await self._is_at(origin, files):
            return True
        return await self.follow(path, files, path, lake)

    def _known(self, stubs: Sequence[tuple[str, Entry]]) -> Known:
        return self._names([files.version.ino for _, files in stubs if files.version]) if stubs else {}

    async def _is_at(self, name: str, files: Entry) -> bool:
        """Whether the file has that name as well."""
        (sight,) = await asyncio.to_thread(self._lazy.guard.state, [name])
        return sight is not None and files.version is not None and sight.version.ino == files.version.ino

    async def _objects(self, files: Entry, known: Known) -> list[tuple[str, Entry]]:
        """Objects with the same bytes that are there at this moment, at other names of the file."""
        if not is_stub(files) or files.origin is None or files.version is None:
            return []
        names = [
            path
            for path, agreed in known.get(files.version.ino, ())
            if path != files.origin.path and stands_for(files, agreed.lake)
        ]
        seen = await self._lake.stat(names) if names else []
        return [
            (name, lake)
            for name, lake in zip(names, seen, strict=True)
            if isinstance(lake, Entry) and stands_for(files, lake)
        ]

    async def follow(self, place: str, files: Entry, name: str, lake: Entry) -> bool:
        """Have the stub at `place` stand for the object that was seen at `name`, which is not about to go."""
        with self._lazy.leaving.relying([name]) as sure:
            return name in sure and await self.reclaim(place, files, name, lake)

    async def reclaim(self, place: str, files: Entry, name: str, lake: Entry) -> bool:
        """As `follow`, for whoever is about to let that object go, and will not then."""
        origin = self._lazy.origin_of(name, lake)
        if files.version is None or files.origin is None or files.posix is None or origin is None:
            return False
        candidate = Candidate(place, files.version, files.origin)
        (result,) = await self._lazy.guard.restub([candidate], [NewStub(place, files.posix, origin)])
        return result.outcome is Outcome.DONE
