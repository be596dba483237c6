"""Objects go only when no stub needs them any more: those that do stand for another object first, or are loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.links.effects import Answer, Step
from lakelink.links.hsm.heirs import Heirs
from lakelink.links.hsm.lazy import Going, Laziness, Living
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Kind, Origin
from lakelink.model.path import display, is_own

PATIENT_ATTEMPTS = 3
"""So often an object waits for the copies of stubs that were moved; then they are loaded."""

Act: TypeAlias = Callable[[Sequence[Step]], Awaitable[list[Answer]]]


class Freeing:
    """Asked before each change that takes an object away."""

    def __init__(self, lake: Location, lazy: Laziness, heirs: Heirs, note: Callable[[str], object]) -> None:
        """`note`: the path is to be looked at on both sides, now."""
        self._files = lazy.files
        self._lake = lake
        self._lazy = lazy
        self._heirs = heirs
        self._note = note

    async def act(self, steps: Sequence[Step], act: Act) -> list[Answer]:
        """`act` on those whose object may go; that of the others is refused. Until it is over nobody begins to rely on one of the objects."""
        async with self._lazy.leaving.going(step.path for step in steps):
            needed = await self.needed(steps)
            going = [s for s in steps if s.path not in needed]
            answers: dict[str, Answer] = dict(needed)
            answers |= zip([s.path for s in going], await act(going) if going else [], strict=True)
        return [answers[step.path] for step in steps]

    async def needed(self, steps: Sequence[Step]) -> dict[str, LakelinkError]:
        """Objects that may not go yet, since a stub lives on for which nothing else stands."""
        by_path = {step.path: (step, going) for step in steps if (going := _going(step)) is not None}
        objects = [going for _, going in by_path.values()]
        refused: dict[str, LakelinkError] = {}
        living = list(zip(objects, await self._living(objects), strict=True))
        gone = await self._gone({origin for going, lives in living for origin in _copies(going, lives).values()})
        for going, lives in living:
            step, _ = by_path[going.path]
            orphans = [place for place, origin in _copies(going, lives).items() if origin in gone]
            await self._reclaim(step, going, orphans)
            still = orphans or await self._free(step, going, _needing(going, lives))
            if still:
                refused[going.path] = PreconditionFailed(
                    f"the object at {display(going.path)} is still needed by {display(still[0])}, which is not loaded",
                    hint="It is tried again.",
                )
        return refused

    async def _gone(self, origins: set[Origin]) -> set[Origin]:
        """Those of them that are not in the lake as they were, as far as it says."""
        asked = sorted(origins, key=lambda origin: origin.path)
        there = await self._lake.stat([origin.path for origin in asked]) if asked else []
        return {
            origin
            for origin, found in zip(asked, there, strict=True)
            if not isinstance(found, Entry) or not _is_version(origin, found)
        }

    async def _reclaim(self, step: Step, going: Going, orphans: Sequence[str]) -> None:
        """Stubs that stood for a copy of this object, which somebody else replaced or removed meanwhile, stand for this one again. It would go as what was
        moved away, and is the last to have the bytes.
        """
        seen = await self._files.stat(orphans) if orphans else []
        for place, files in zip(orphans, seen, strict=True):
            if isinstance(files, Entry) and step.lake is not None:
                await self._heirs.reclaim(place, files, going.path, step.lake)
            self._note(place)

    async def _free(self, step: Step, going: Going, places: Sequence[str]) -> Sequence[str]:
        """Where stubs need the object all the same. Names may move meanwhile: what came of it is asked of the files."""
        if not places:
            return ()
        shown = [place for place in places if not is_own(place)]
        seen = await self._files.stat(shown) if shown else []
        await self._heirs.settle([(p, found) for p, found in zip(shown, seen, strict=True) if isinstance(found, Entry)])
        left = await self._still(going)
        if left and (not shown or step.look.mark.attempts >= PATIENT_ATTEMPTS):
            await self._lazy.load(left)
            return await self._still(going)
        for place in left:
            if not is_own(place):
                self._note(place)  # a copy within the store is cheaper than a load; it comes with the next look there
        return left

    async def _still(self, going: Going) -> list[str]:
        return _needing(going, (await self._living([going]))[0])

    async def _living(self, objects: Sequence[Going]) -> list[list[Living]]:
        return await self._lazy.needed.living(objects) if objects else []


def _needing(going: Going, lives: Sequence[Living]) -> list[str]:
    """Where stubs need the object."""
    return [one.place for one in lives if one.origin is None or going.is_origin(one.origin)]


def _copies(going: Going, lives: Sequence[Living]) -> dict[str, Origin]:
    """Where stubs stand for another object with the same bytes, and for which."""
    return {
        one.place: one.origin
        for one in lives
        if one.origin and not is_own(one.place) and not going.is_origin(one.origin) and going.has_bytes_of(one.origin)
    }


def _is_version(origin: Origin, found: Entry) -> bool:
    """Whether an origin is still as it was."""
    return found.version is not None and Going(origin.path, 0, found.version).is_origin(origin)


def replaces(step: Step) -> bool:
    """Whether the file at the path is not the one that was known for the object there: that one may live on elsewhere as a stub."""
    base, files = step.look.base, step.files
    return (
        base is not None
        and step.lake is not None
        and (
            files is None
            or files.version is None
            or base.files.version is None
            or files.version.ino != base.files.version.ino
        )
    )


def _going(step: Step) -> Going | None:
    """The object at the path, which is about to be replaced or removed; None where there is none that a stub could stand for."""
    base, lake = step.look.base, step.lake
    if base is None or base.files.kind is not Kind.FILE or base.files.version is None:
        return None
    if lake is None or lake.kind is not Kind.FILE or lake.version is None:
        return None
    return Going(step.path, base.files.version.ino, lake.version)
