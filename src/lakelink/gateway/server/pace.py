"""The bandwidth of a user: what all its sessions move together, each direction for itself.

Each process keeps the rate by itself, and tells the gateway what moved after every twentieth of a second's worth. The answer is how far all processes
together are ahead of the rate, and holds this one back by that much: so the rate holds for the sum, and one session alone has all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from lakelink.errors import LakelinkError

BURST_S = 0.1  # so much may run ahead, that a small file is not held up
TOLD_EVERY_S = 0.05  # of the bandwidth


class Ahead(NamedTuple):
    """By how many seconds each direction has moved more than its rate."""

    up_s: float
    down_s: float


Moved: TypeAlias = Callable[[int, int, int], Awaitable[Ahead]]
"""Takes the rate, and how many bytes moved up and down; answers how far all are ahead together. May raise LakelinkError: then it was not told."""


class Bucket:
    """One direction. `now_s` only goes forward."""

    def __init__(
        self, bytes_per_s: float, now_s: Callable[[], float], on_due: Callable[[], None] = lambda: None
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self._now_s = now_s
        self._on_due = on_due
        self._paid_until_s = now_s()
        self._untold_bytes = 0

    def take(self, size_bytes: int) -> None:
        """So much has moved."""
        self._paid_until_s = max(self._paid_until_s, self._now_s()) + size_bytes / self.bytes_per_s
        self._untold_bytes += size_bytes
        if self._untold_bytes >= self.bytes_per_s * TOLD_EVERY_S:
            self._on_due()

    def wait_s(self) -> float:
        """For how long nothing more should move."""
        return max(0.0, self.ahead_s() - BURST_S)

    def ahead_s(self) -> float:
        """By how much more has moved than the rate allows."""
        return max(0.0, self._paid_until_s - self._now_s())

    def hold(self, ahead_s: float) -> None:
        """Others moved too: all together are that far ahead."""
        self._paid_until_s = max(self._paid_until_s, self._now_s() + ahead_s)

    def untold(self) -> int:
        """The bytes that moved since the last call."""
        untold, self._untold_bytes = self._untold_bytes, 0
        return untold


class Pace:
    """Both directions of a user in one process; with `moved`, together with all others."""

    def __init__(self, bytes_per_s: float, now_s: Callable[[], float], moved: Moved | None = None) -> None:
        self.bytes_per_s = bytes_per_s
        self._moved = moved
        self._telling: asyncio.Task[None] | None = None
        self.up, self.down = (Bucket(bytes_per_s, now_s, self._due) for _ in range(2))

    def follow(self, bytes_per_s: float) -> None:
        """Another rate from now on; what is ahead stays so."""
        self.bytes_per_s = self.up.bytes_per_s = self.down.bytes_per_s = bytes_per_s

    def _due(self) -> None:
        if self._moved is not None and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(self._moved))

    async def _tell(self, moved: Moved) -> None:
        try:
            ahead = await moved(int(self.bytes_per_s), self.up.untold(), self.down.untold())
            self.up.hold(ahead.up_s)
            self.down.hold(ahead.down_s)
        except LakelinkError:  # the gateway is going; this process keeps the rate by itself
            pass
        finally:
            self._telling = None
