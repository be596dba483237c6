"""Objects go only when no stub needs them any more: those that do stand for another object first, or are loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from lakelink.errors import LakelinkError, PreconditionFailed
from lakelink.links.effects import Answer, Step
from lakelink.links.hsm.heirs import Heirs
from lakelink.links.hsm.lazy import Going, Laziness
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Kind
from lakelink.model.path import display, is_own

PATIENT_ATTEMPTS = 3
"""So often an object waits for the copies of stubs that were moved; then they are loaded."""

Act: TypeAlias = Callable[[Sequence[Step]], Awaitable[list[Answer]]]


class Freeing:
    """Asked before each change that takes an object away."""

    def __init__(self, files: Location, lazy: Laziness, heirs: Heirs, note: Callable[[str], object]) -> None:
        """`note`: the path is to be looked at on both sides, now."""
        self._files = files
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
        left = await self._living([going for _, going in by_path.values()])
        refused: dict[str, LakelinkError] = {}
        for path, places in left.items():
            still = await self._free(*by_path[path], places)
            if still:
                refused[path] = PreconditionFailed(
                    f"the object at {display(path)} is still needed by {display(still[0])}, which is not loaded",
                    hint="It is tried again.",
                )
        return refused

    async def _free(self, step: Step, going: Going, places: Sequence[str]) -> Sequence[str]:
        """Where stubs need the object all the same. Names may move meanwhile: what came of it is asked of the files."""
        own = [place for place in places if is_own(place)]
        shown = [place for place in places if not is_own(place)]
        seen = await self._files.stat(shown) if shown else []
        await self._heirs.settle([(p, found) for p, found in zip(shown, seen, strict=True) if isinstance(found, Entry)])
        left = await self._still(going)
        if left and (len(own) == len(places) or step.look.mark.attempts >= PATIENT_ATTEMPTS):
            await self._lazy.load(left)
            return await self._still(going)
        for place in left:
            if not is_own(place):
                self._note(place)  # a copy within the store is cheaper than a load; it comes with the next look there
        return left

    async def _still(self, going: Going) -> list[str]:
        return (await self._living([going])).get(going.path, [])

    async def _living(self, objects: Sequence[Going]) -> dict[str, list[str]]:
        """By path of the object, where the stubs are that need it."""
        found = await self._lazy.needed.living(objects) if objects else []
        return {going.path: places for going, places in zip(objects, found, strict=True) if places}


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
