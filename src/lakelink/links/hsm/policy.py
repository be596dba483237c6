"""What is released, and when: by command, by age, and by how full the disk is. Never what is dirty, in use or `norelease`, and never what the lake does not
hold just so: it is asked right before, since the copy here may be the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lakelink.errors import LakelinkError
from lakelink.links.hsm.base import Candidate, Outcome, Result, Sight
from lakelink.links.hsm.lazy import Laziness
from lakelink.locations.base import Location
from lakelink.model.entry import Entry, Kind
from lakelink.model.link import Agreed
from lakelink.ports.clock import Clock
from lakelink.state.holdings import Held, Holdings
from lakelink.state.journal import Journal

PART = 128
AT_ONCE = 8
"""So few are released between two looks at whether that is enough."""
REST_S = 3.0
POLL_S = 0.02
ROOM_FILES = 64
"""So many are offered at once to a load that needs room."""


@dataclass(slots=True)
class Released:
    """What came of a release."""

    files: int = 0
    freed_bytes: int = 0
    kept: list[Result] = field(default_factory=list)  # why not

    def add(self, results: Sequence[Result]) -> None:
        for result in results:
            if result.outcome is Outcome.DONE:
                self.files += 1
                self.freed_bytes += result.freed_bytes
            elif result.outcome is not Outcome.ALREADY:
                self.kept.append(result)


@dataclass(slots=True)
class Releaser:
    """Chooses and releases. Used from the link's loop."""

    lazy: Laziness
    lake: Location
    journal: Journal
    holdings: Holdings
    clock: Clock
    is_moving: Callable[[str], bool]  # something was heard of the path that was not carried yet
    evicted: Released = field(default_factory=Released)  # since the daemon began, by fill level or age
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def release(self, paths: Sequence[str]) -> list[Result]:
        """Release these files, as far as they may be; one answer each, in order."""
        answers: dict[str, Result] = {}
        for start in range(0, len(paths), PART):
            part = paths[start : start + PART]
            await self._rest(part)
            agreed = self.journal.base(part)
            candidates = []
            for path in part:
                wanted = self._moving(path) or self._candidate(path, agreed.get(path))
                if isinstance(wanted, Result):
                    answers[path] = wanted
                else:
                    candidates.append(wanted)
            sure = await self._in_the_lake(candidates, answers)
            answers |= {result.path: result for result in await self.lazy.guard.release(sure)}
            await self.look([path for path in part if path in answers])
        return [answers[path] for path in paths]

    async def _rest(self, paths: Sequence[str]) -> None:
        """What was heard of them is looked at, most often that they were just loaded; after a while it is not waited for any more."""
        until_s = self.clock.monotonic() + REST_S
        while any(map(self.is_moving, paths)) and self.clock.monotonic() < until_s:
            await self.clock.sleep(POLL_S)

    def _moving(self, path: str) -> Result | None:
        return Result(path, Outcome.DIRTY) if self.is_moving(path) else None

    def _candidate(self, path: str, agreed: Agreed | None) -> Candidate | Result:
        if agreed is None:
            return Result(path, Outcome.GONE)
        origin = self.lazy.origin_of(path, agreed.lake)
        if agreed.files.kind is not Kind.FILE or agreed.files.version is None or origin is None:
            return Result(path, Outcome.GONE)
        if not agreed.files.size_bytes or not origin.version.etag:
            return Result(path, Outcome.ALREADY)
        return Candidate(path, agreed.files.version, origin)

    async def _in_the_lake(self, candidates: Sequence[Candidate], answers: dict[str, Result]) -> list[Candidate]:
        """Those whose object is there at this moment, as it was agreed on."""
        sure: list[Candidate] = []
        seen = await self.lake.stat([wanted.path for wanted in candidates]) if candidates else []
        for wanted, there in zip(candidates, seen, strict=True):
            if isinstance(there, LakelinkError):
                answers[wanted.path] = Result(wanted.path, Outcome.FAILED, error=there)
            elif isinstance(there, Entry) and there.version and there.version.etag == wanted.origin.version.etag:
                sure.append(wanted)
            else:
                answers[wanted.path] = Result(wanted.path, Outcome.CHANGED)
        return sure

    async def look(self, paths: Sequence[str]) -> None:
        """What is known of these files is what their attributes say."""
        if paths:
            self.note(paths, await asyncio.to_thread(self.lazy.guard.state, list(paths)))

    def note(self, paths: Sequence[str], sights: Sequence[Sight | None]) -> None:
        """As `look`, for what was seen already."""
        kept: list[Held] = []
        gone: list[str] = []
        for path, sight in zip(paths, sights, strict=True):
            holds = sight is not None and sight.version.size_bytes and not (sight.stub and sight.stub.flags.is_stub)
            if holds and sight is not None and not sight.unknown:
                kept.append(Held(path, sight.version.size_bytes, sight.accessed_ns))
            else:
                gone.append(path)
        self.holdings.put(kept, gone)

    async def by_age(self, age_s: float) -> Released:
        """Release what nobody has read or changed for so long."""
        before_ns = self.clock.time_ns() - int(age_s * 1e9)
        return await self.some(lambda _done: False, before_ns=before_ns)

    async def until_free(self, wanted_bytes: int) -> Released:
        """Release what was used least recently until so much of the disk is free."""
        return await self.some(lambda _done: self.lazy.guard.fill().available_bytes >= wanted_bytes)

    async def some(
        self,
        enough: Callable[[Released], bool],
        *,
        before_ns: int = 1 << 62,
        chosen: Callable[[str], bool] = lambda _path: True,
    ) -> Released:
        """Release in the order of last use until that is enough. When each was used is looked at once more before it goes."""
        done = Released()
        after = (-1, "")
        async with self._turn:
            while not enough(done):
                rows = self.holdings.oldest(PART, before_ns, after)
                if not rows:
                    break
                after = (rows[-1].accessed_ns, rows[-1].path)
                rows = [row for row in rows if chosen(row.path)]
                paths = await self._still_unused(rows)
                for start in range(0, len(paths), AT_ONCE):
                    if enough(done):
                        break
                    done.add(await self.release(paths[start : start + AT_ONCE]))
        return done

    async def _still_unused(self, rows: Sequence[Held]) -> list[str]:
        """Those that nobody used since it was noted; of the others it is noted when."""
        paths = [row.path for row in rows]
        sights = await asyncio.to_thread(self.lazy.guard.state, paths) if paths else []
        unused: list[str] = []
        moved: list[Held] = []
        for row, sight in zip(rows, sights, strict=True):
            if sight is not None and sight.accessed_ns > row.accessed_ns:
                moved.append(Held(row.path, sight.version.size_bytes, sight.accessed_ns))
            else:
                unused.append(row.path)
        if moved:
            self.holdings.put(moved)
        return unused

    def make_room(self, needed_bytes: int) -> list[Candidate]:
        """See `base.MakeRoom`: at once, so that a reader does not wait for the lake to be asked as well. What is offered counts as used just now.

        A path of which something was heard is offered too: most often that is its own load, and what was changed is not the version named.
        """
        offered: list[Candidate] = []
        kept: list[Held] = []
        found_bytes = 0
        now_ns = self.clock.time_ns()
        rows = self.holdings.oldest(ROOM_FILES)
        agreed = self.journal.base([row.path for row in rows])
        for row in rows:
            if found_bytes >= needed_bytes:
                break
            wanted = self._candidate(row.path, agreed.get(row.path))
            kept.append(Held(row.path, row.size_bytes, now_ns))
            if isinstance(wanted, Candidate):
                offered.append(wanted)
                found_bytes += row.size_bytes
        self.holdings.put(kept)
        return offered
