"""Whether the root of a link is still the root of that link. Asked before each batch and at both ends of a survey.

What is missing in a root that is not the right one was not deleted: a file system that is not mounted shows an empty directory, a restored copy
an older state. So the root carries a marker (`links.marker`), and the link remembers on which file system and inode it stood.

| marker | where it stands | the link then |
| --- | --- | --- |
| ours | as it says | goes on |
| ours | on another inode, handle or file system | halts: a copy (RootReplaced) |
| of another link | | halts (RootTaken) |
| none | link is new | marks it and goes on |
| none | as remembered, with the same file handle | marks it again: the marker was removed by hand |
| none | anything else | halts: not mounted, or replaced (RootReplaced) |

The same holds for file systems mounted below it (`links.mounted`): one that is gone and shows an empty directory halts the link.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes

import msgspec

from lakelink.core.brake import Brake
from lakelink.errors import RootEmptied, RootGone, RootReadOnly, RootReplaced, TooManyDeletes
from lakelink.links.aside import Aside
from lakelink.links.marker import Marker
from lakelink.links.mounted import Mounted
from lakelink.links.sight import Identify, Sight, Standing, look, mark, taken, unmark
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import display
from lakelink.ports.clock import Clock

T = TypeVar("T")
DEADLINE_S = 30.0
REMEMBERED = "root"
"""The key of the journal's meta under which the last sure identity stands."""
MOUNTS = "mounts"
"""The key of the journal's meta for the mount points below the root, as a JSON list."""

_ACCEPT = "If this directory is meant, resume the link with --accept-root: both sides are merged anew, and nothing is deleted."
_MOUNT = "Is its file system mounted? The link goes on by itself when the right directory is there again."


class Guard(Protocol):
    """Says whether the root may be believed."""

    async def check(self) -> None:
        """Returns when what is seen in the root counts.

        Raises:
            Halt: it does not; nothing may be concluded from it, and nothing written to it.
        """
        ...


class Memory(Protocol):
    """A few facts that outlive the process: the journal's meta, and the paths of its base."""

    def meta(self, key: str, default: str = "") -> str: ...

    def set_meta(self, key: str, value: str) -> None: ...

    def below(self, path: str, limit: int = -1) -> list[str]: ...


class RootGuard:
    """`Guard` of a directory of this machine. Used from one event loop; the calls run beside it, since a file server may be away."""

    def __init__(
        self,
        root: str,
        spec: LinkSpec,
        memory: Memory,
        *,
        agreed: Callable[[], int],
        brake: Brake,
        clock: Clock,
        identify: Identify,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`agreed`: paths in the base now. `brake`: the link's; it says whether an emptied root may count, and remembers when the operator says so."""
        self._root = root
        self._shown = display(root)
        self._spec = spec
        self._memory = memory
        self._agreed = agreed
        self._brake = brake
        self._clock = clock
        self._identify = identify
        self._deadline_s = deadline_s
        self._aside = Aside(f"lakelink-root-{spec.name}")
        self._sure: Sight | None = None
        self._stored: Standing | None = None  # what the memory surely holds
        self._may_be_empty = False
        self._mounted = Mounted(root)
        self._mounts: frozenset[str] | None = None  # as remembered

    async def check(self) -> None:
        """See `Guard.check`. The first time, the marker is put into the root."""
        known = self._sure
        self._sure = None
        mounts = self._known_mounts()
        seen, missing = await self._beside(
            lambda: (look(self._root, self._identify, known), self._mounted.missing(mounts))
        )
        if seen.marker is None:
            self._check_unmarked(seen)
            seen = await self._mark(seen, again=False)
        elif seen.marker.ident != self._spec.ident:
            raise taken(self._root, seen.marker)
        elif seen.standing.is_other(Standing(seen.marker.file_system, seen.marker.inode, seen.marker.handle)):
            raise RootReplaced(f"{self._shown} is a copy of the directory of link {self._spec.name}", hint=_ACCEPT)
        self._check_contents(seen)
        self._check_mounts(mounts, missing)
        self._remember(seen)

    async def accept(self) -> None:
        """Take the directory that is there now for the link's own. Only on the word of the operator, and with the journal's base forgotten:
        what is not in this directory was never seen to be deleted.

        Raises:
            Halt: it cannot be seen or marked, or belongs to another link.
        """
        seen = await self._beside(lambda: look(self._root, self._identify))
        if seen.marker is not None and seen.marker.ident != self._spec.ident:
            raise taken(self._root, seen.marker)
        self._remember(await self._mark(seen, again=True))

    async def release(self) -> None:
        """Remove the marker, as a link is removed. Another link's stays. May be repeated.

        Raises:
            RootGone, RootReadOnly: it may still be there.
        """
        await self._beside(lambda: unmark(self._root, self._spec.ident))

    def update(self, spec: LinkSpec) -> None:
        """Other settings of the same link."""
        self._spec = spec

    def _check_unmarked(self, seen: Sight) -> None:
        """A root without a marker is a new one, or the same one, or not ours."""
        then = self._remembered()
        if then is None or seen.standing.is_surely(then):
            return
        if seen.is_empty:
            raise RootReplaced(
                f"{self._shown} is empty and without its marker, as a directory is whose file system is not mounted",
                hint=f"{_MOUNT} {_ACCEPT}",
            )
        raise RootReplaced(
            f"{self._shown} is not the directory that link {self._spec.name} was made with: its marker is missing",
            hint=f"{_MOUNT} {_ACCEPT}",
        )

    async def _mark(self, seen: Sight, *, again: bool) -> Sight:
        spec, standing = self._spec, seen.standing
        put = Marker(
            ident=spec.ident,
            name=spec.name,
            lake=spec.lake,
            file_system=standing.file_system,
            inode=standing.inode,
            handle=standing.handle,
        )
        return replace(seen, marker=await self._beside(lambda: mark(self._root, seen, put, again=again)))

    def _check_contents(self, seen: Sight) -> None:
        if seen.is_read_only and self._spec.rule.imports:
            hint = "Mount it for writing, or give this user the right; or let the link export only."
            raise RootReadOnly(f"{self._shown} cannot be written to", hint=hint)
        agreed = self._agreed()
        if not seen.is_empty or not agreed:
            self._may_be_empty = False
        if not seen.is_empty or not agreed or self._may_be_empty:
            return
        try:
            self._brake.ask(agreed, agreed, self._clock.monotonic())
            self._may_be_empty = (
                True  # until something is in it again: the deletes that follow use up what the brake granted
            )
        except TooManyDeletes as error:
            raise RootEmptied(
                f"{self._shown} is empty; it held {agreed} paths, and all of them would be deleted in the lake",
                hint=f"If that is right, `lakelink link resume {self._spec.name} --allow-deletes`. If not, put the files back.",
            ) from error

    def _check_mounts(self, known: frozenset[str], missing: list[str]) -> None:
        """What was mounted below the root still is, or the operator says that what is missing there was meant to go."""
        missing = [path for path in missing if self._memory.below(path, 1)]
        agreed = self._agreed()
        if missing and agreed:
            try:
                self._brake.ask(agreed, agreed, self._clock.monotonic())
            except TooManyDeletes as error:
                where = f"{self._shown}/{display(missing[0])}"
                raise RootReplaced(
                    f"nothing is mounted at {where} any more, and it is empty: what it held would be deleted in the lake",
                    hint=f"Mount it again. If it is meant to be empty, `lakelink link resume {self._spec.name} --allow-deletes`.",
                ) from error
        if self._mounted.now != known:
            self._mounts = self._mounted.now
            texts = [quote(os.fsencode(path)) for path in sorted(self._mounts)]
            self._memory.set_meta(MOUNTS, msgspec.json.encode(texts).decode())

    def _known_mounts(self) -> frozenset[str]:
        if self._mounts is None:
            texts = msgspec.json.decode(self._memory.meta(MOUNTS, "[]"), type=list[str])
            self._mounts = frozenset(os.fsdecode(unquote_to_bytes(text)) for text in texts)
        return self._mounts

    def _remember(self, seen: Sight) -> None:
        unchanged = self._stored == seen.standing
        self._sure, self._stored = seen, seen.standing
        if not unchanged and self._remembered() != seen.standing:
            self._memory.set_meta(REMEMBERED, msgspec.json.encode(seen.standing).decode())

    def _remembered(self) -> Standing | None:
        text = self._memory.meta(REMEMBERED)
        return msgspec.json.decode(text, type=Standing) if text else None

    async def _beside(self, job: Callable[[], T]) -> T:
        try:
            return await self._aside.run(job, self._deadline_s)
        except TimeoutError as error:
            raise RootGone(f"{self._shown} does not answer", hint="Is its file server up?") from error
