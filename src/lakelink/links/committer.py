"""Results on their way into the journal: many at once when many come, at once when few do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from lakelink.links.dirty import Dirty, Mark
from lakelink.locations.base import Location
from lakelink.ports.clock import Clock
from lakelink.state.findings import Result
from lakelink.state.journal import Journal

GATHER_S = 0.1
"""While more is under way, so long is waited for others to share the flush."""


class Committer:
    """Brings what was done to stable storage, then into the journal; only then are the paths free again.

    The flush comes first on purpose, for exports as well: a file that its writer never synced and that a power failure takes back must not look as
    if it had been deleted or cut since both sides agreed.
    """

    def __init__(self, files: Location, journal: Journal, dirty: Dirty, clock: Clock) -> None:
        self._files = files
        self._journal = journal
        self._dirty = dirty
        self._clock = clock
        self._results: list[Result] = []
        self._marks: list[Mark] = []
        self._landed = asyncio.Event()
        self.is_more_coming: Callable[[], bool] = lambda: False

    @property
    def waiting(self) -> int:
        return len(self._marks)

    def add(self, results: Sequence[Result], marks: Sequence[Mark]) -> None:
        """To be written soon. A path is handed out again after that."""
        self._results.extend(results)
        self._marks.extend(marks)
        if marks:
            self._landed.set()

    async def run(self) -> None:
        """Until cancelled; results that were not written then are found out again at the next start.

        Raises:
            StorageError: the journal cannot be written. RootMissing, NoSpace: the flush failed; nothing of it was noted.
        """
        while True:
            await self._landed.wait()
            if self.is_more_coming():
                await self._clock.sleep(GATHER_S)
            self._landed.clear()
            results, self._results = self._results, []
            marks, self._marks = self._marks, []
            if results:
                if any(not result.keep_base for result in results):
                    await self._files.flush()
                self._journal.settle(results, self._clock.time_ns())
            for mark in marks:
                self._dirty.done(mark)
