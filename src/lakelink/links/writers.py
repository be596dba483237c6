"""Files that somebody still writes to: they wait for the close, or are given a while."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from lakelink.core.delta import Delta, delta
from lakelink.links.crew import Crew
from lakelink.links.dirty import FILES
from lakelink.links.observe import Look
from lakelink.locations.base import Attentive
from lakelink.model.entry import Entry, Kind
from lakelink.model.plan import Verb

PATIENCE_S = 60.0
LOOK_S = 0.25
_TAKEN_AS_IT_IS = frozenset({Verb.KEEP_BOTH, Verb.TAKE_FILES})


class Writers:
    """Keeps back what is not whole yet. No promise hangs on it: a file that changes while it is read is never stored, whoever was asked before."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._side = crew.files if isinstance(crew.files, Attentive) else None

    async def ask(self, looks: Sequence[Look]) -> None:
        """Of a batch, those files that changed and were not seen to be closed: one question for all, since each costs a change of thread."""
        if self._side is None:
            return
        asked = [look for look in looks if look.mark.unsettled and not look.excluded and _is_changed_file(look)]
        answers = await self._side.being_written([look.path for look in asked]) if asked else []
        for look, answer in zip(asked, answers, strict=True):
            look.being_written = answer

    async def keeps_back(self, look: Look, verb: Verb) -> bool:
        """Whether what was decided has to wait; the path is in Dirty again then."""
        if verb is Verb.EXPORT:
            return look.being_written and self._waits_for_close(look)
        return verb in _TAKEN_AS_IT_IS and await self._is_given_a_while(look)

    def _waits_for_close(self, look: Look) -> bool:
        """A file that was quiet for a while but is still open waits for its close, or for a survey."""
        dirty = self._crew.dirty
        if not dirty.waits(look.path):  # else something was heard of it meanwhile: the close perhaps
            mark = dirty.note(look.path, FILES, look.mark.since_s, ready_s=inf)
            mark.unsettled = mark.resting = True
        return True

    async def _is_given_a_while(self, look: Look) -> bool:
        """In a conflict the file's version is kept for good, as it is at that moment: who writes it is given a while to finish."""
        crew, mark = self._crew, look.mark
        now_s = crew.clock.monotonic()
        if self._side is None or now_s - mark.since_s > PATIENCE_S:
            return False
        if not (await self._side.being_written([look.path]))[0]:
            return False
        crew.dirty.later(mark, now_s + LOOK_S)
        return True


def _is_changed_file(look: Look) -> bool:
    files, base = look.files, look.base
    if not isinstance(files, Entry) or files.kind is not Kind.FILE:
        return False
    return delta(base.files if base else None, files) is not Delta.SAME
