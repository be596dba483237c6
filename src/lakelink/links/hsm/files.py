"""The files side of a lazy link: a directory in which some files hold no bytes, and say so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lakelink.errors import ContentUnknown, LakelinkError
from lakelink.links.hsm.base import Guard, NewStub, Sight
from lakelink.links.hsm.stub import Flags
from lakelink.locations.base import Attentive, Location, Write
from lakelink.locations.content import Placeholder
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.entry import Entry, Kind, Origin, Posix
from lakelink.model.path import display

_LOOKS = 3
"""A file that is another one each time it is looked at is left for later."""


class LazyFiles(Delegating):
    """`inner` is the adapter of the tree, over a kernel that never opens a stub. Scans tell nothing of residency: loading and release keep what
    names a version, so only paths that differ from the base are asked for more.
    """

    def __init__(self, inner: Location, guard: Guard, location: str) -> None:
        """`location`: the link's lake, as the origin of its stubs names it."""
        super().__init__(inner)
        self._guard = guard
        self._location = location

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        """See `Location.stat`. A file tells whether its bytes are here, and where else they are.

        Also a value: ContentUnknown, of a stub that cannot be understood, or in which bytes were written while nothing guarded it.
        """
        answers = await self.inner.stat(paths)
        for _ in range(_LOOKS):
            files = [i for i, seen in enumerate(answers) if isinstance(seen, Entry) and _may_be_stub(seen)]
            if not files:
                break
            wanted = [paths[i] for i in files]
            sights = await asyncio.to_thread(self._guard.state, wanted)
            moved = []
            for i, sight in zip(files, sights, strict=True):
                entry = answers[i]
                if not isinstance(entry, Entry) or sight is None or sight.version != entry.version:
                    moved.append(i)
                else:
                    answers[i] = self._told(entry, sight)
            if not moved:
                break
            for i, seen in zip(moved, await self.inner.stat([paths[i] for i in moved]), strict=True):
                answers[i] = seen
        else:
            for i in moved:
                if isinstance(answers[i], Entry):
                    answers[i] = _changing(paths[i])
        return answers

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        """See `Location.write`. A `Placeholder` is answered as the stub that it became."""
        answers = await self.inner.write(writes)
        for i, (write, answer) in enumerate(zip(writes, answers, strict=True)):
            if isinstance(write.content, StubContent) and isinstance(answer, Entry):
                answers[i] = replace(answer, resident=False, origin=write.content.stub.origin)
        return answers

    async def being_written(self, paths: Sequence[str]) -> list[bool]:
        """See `Attentive.being_written`."""
        inner = self.inner
        return await inner.being_written(paths) if isinstance(inner, Attentive) else [False] * len(paths)

    def stub(self, path: str, lake: Entry, posix: Posix) -> StubContent:
        """What to write at `path` for the object that was seen there."""
        if lake.version is None:
            raise AssertionError(f"{path}: a stub needs a version")
        return StubContent(self._guard, NewStub(path, posix, Origin(self._location, path, lake.version)))

    def _told(self, entry: Entry, sight: Sight) -> Entry | LakelinkError:
        """The entry, with what the file's attribute says about its bytes."""
        stub, shown = sight.stub, display(sight.path)
        if stub is None:
            if sight.unknown and sight.allocated_bytes:
                return ContentUnknown(
                    f"the attribute of {shown} cannot be understood", hint="Is it of a newer lakelink?"
                )
            return replace(entry, resident=False) if sight.unknown else entry
        if not stub.flags.is_stub:
            dirty = bool(sight.flags & Flags.DIRTY) or stub.origin.location != self._location
            return entry if dirty else replace(entry, origin=stub.origin)
        if stub.origin.location != self._location:
            return ContentUnknown(
                f"{shown} stands for something in {stub.origin.location}, which is not this link's lake",
                hint="It was copied from another lazy tree with its attributes: remove it, or copy its bytes.",
            )
        if entry.size_bytes != stub.size_bytes:
            return ContentUnknown(
                f"{shown} was cut or extended while nothing guarded it: it stands for {stub.size_bytes} bytes and has {entry.size_bytes}",
                hint="`lakelink hsm restore` takes the lake's version again.",
            )
        if sight.flags & Flags.DIRTY and sight.allocated_bytes and not sight.flags & Flags.MOVING:
            return ContentUnknown(
                f"{shown} is a stub, and bytes were written into it while nothing guarded it",
                hint="Look at it; `lakelink hsm restore` takes the lake's version, and what was written is lost.",
            )
        return replace(entry, resident=False, origin=stub.origin)


class StubContent(Placeholder):
    """A stub to be made."""

    def __init__(self, guard: Guard, stub: NewStub) -> None:
        super().__init__(stub.origin.version.size_bytes, lambda fd: guard.prepare(fd, stub))
        self.stub = stub


def _may_be_stub(entry: Entry) -> bool:
    return entry.kind is Kind.FILE and entry.size_bytes > 0 and entry.resident and entry.origin is None


def _changing(path: str) -> LakelinkError:
    return ContentUnknown(f"{display(path)} changes while it is looked at", hint="It is looked at again.")
