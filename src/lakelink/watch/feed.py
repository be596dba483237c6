"""What every change feed gives: batches of hints. A hint is never a fact: whoever gets one looks at the path and decides by what is there.

Lost, repeated and reordered events cost only latency, since a scan at an interval stands behind every feed. A feed is open, and sees each
later change, from the moment it is handed over: open it first and scan afterwards, and no change falls between the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lakelink.model.change import Problem
from lakelink.model.path import ROOT

MAX_HINTS = 4096  # in one delivery


@dataclass(frozen=True, slots=True)
class Hint:
    """A path may have changed: look at it."""

    path: str  # relative to the root of the link, "" is the root
    subtree: bool = (
        False  # everything at and below it may have changed (overflow, a directory that moved, a lost watch)
    )
    settled: bool = True  # False: open for writing, or nobody knows: wait for the close or for quiet before reading it
    moved_from: str | None = None  # the same inode was at that path before; to be verified like everything else


EVERYTHING = Hint(ROOT, subtree=True)


class Delivery(Protocol):
    """A batch of hints, at most `MAX_HINTS`."""

    @property
    def hints(self) -> Sequence[Hint]: ...

    async def taken(self) -> None:
        """To be called once the hints are noted durably: a message of a queue is removed now. May be repeated.

        Raises:
            LakelinkError: the queue did not answer; the hints will be delivered again, which does no harm.
        """
        ...


class Feed(Protocol):
    """One stream of deliveries; open when it is handed over."""

    @property
    def kind(self) -> str:
        """One of "fanotify", "inotify", "poll", "sqs", "webhook", "gateway"."""
        ...

    @property
    def closes(self) -> bool:
        """Whether a close after writing is reported; where it is not, only quiet time tells that a file is whole."""
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """The hints as they come, for one consumer; never ends by itself.

        Raises:
            RootMissing: what was watched is gone, unmounted or something else: halt, and open a new feed when it is back.
            LakelinkError: the feed cannot go on for another reason: open a new one, and scan.
        """
        ...

    def problems(self) -> Sequence[Problem]:
        """What the feed cannot see at this moment and why; empty when all is well. Cheap: for a status display."""
        ...

    async def aclose(self) -> None:
        """Give back every descriptor and thread; `deliveries` ends. May be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery that nobody waits for: events of a kernel or a timer cannot be handed back, and a restart begins with a scan."""

    hints: Sequence[Hint]

    async def taken(self) -> None:
        """Nothing to do."""
