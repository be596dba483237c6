"""Hints on their way to where they are noted."""

import asyncio
from types import SimpleNamespace

from lakelink.core.filters import Filter
from lakelink.links.dirty import Dirty
from lakelink.links.intake import Intake
from lakelink.links.parts import SidedFeed
from lakelink.links.wants import Wants
from lakelink.model.entry import Entry, Kind, Posix, Version
from lakelink.model.link import Agreed
from lakelink.ports.clock import SystemClock
from lakelink.state.findings import Result
from lakelink.state.journal import Journal
from lakelink.watch.feed import Hint

THEN = Entry(kind=Kind.FILE, size_bytes=1, posix=Posix(0o644, 0, 0, 1, 1), version=Version(1, 1, ino=1))
NOW = Entry(kind=Kind.FILE, size_bytes=2, posix=THEN.posix, version=Version(2, 1, ino=1))


class Slow:
    """A directory that takes its time to answer."""

    def __init__(self):
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def stat(self, paths):
        self.asked.set()
        await self.answer.wait()
        return [NOW for _ in paths]


class OneDelivery:
    kind, closes = "hand", True

    async def deliveries(self):
        async def taken():
            """Noted."""

        yield SimpleNamespace(hints=[Hint("f", settled=False)], taken=taken)


def test_what_is_still_looked_through_is_pending(tmp_path):
    async def work():
        journal, files, dirty = Journal.open(tmp_path / "journal.sqlite"), Slow(), Dirty()
        journal.settle([Result("f", keep_base=False, base=Agreed(THEN, THEN))], 1)
        parts = SimpleNamespace(journal=journal, files=files, clock=SystemClock(), lazy=None)
        intake = Intake(parts, Wants(), lambda: dirty, Filter(()), 0.0)
        pumping = asyncio.ensure_future(intake.pump(SidedFeed("files", OneDelivery())))
        await asyncio.wait_for(files.asked.wait(), 30)
        assert (len(dirty), intake.taking) == (0, 1)
        files.answer.set()
        await asyncio.wait_for(pumping, 30)
        assert (len(dirty), intake.taking) == (1, 0)
        journal.close()

    asyncio.run(work())
