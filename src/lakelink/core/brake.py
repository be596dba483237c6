"""The brake of a link: how much it may delete within a minute. Pure; the caller brings the time."""

from __future__ import annotations

from collections import deque

from lakelink.errors import TooManyDeletes
from lakelink.model.linkspec import Safety

WINDOW_S = 60.0
_SLOTS = 64  # deletes that were done close together count as one event: the memory of the window is bounded


class Brake:
    """Counts deletes on both sides, net of renames. Ask before intents are written, tell when the effects are done.

    The share is taken of what was agreed on when the window began: deletes that are done have left the base already.
    """

    def __init__(self, safety: Safety) -> None:
        self.safety = safety  # may be set anew at any time
        self._done: deque[tuple[float, int]] = deque()  # (when, how many), the oldest first
        self._refused = 0
        self._granted = 0

    def ask(self, deletes: int, agreed: int, now_s: float) -> None:
        """`deletes`: all that are known to be wanted now, not a batch of them; `agreed`: paths in the base; `now_s`: monotonic.

        Raises:
            TooManyDeletes: they are more than allowed; nothing may be deleted until the operator says so, or they are fewer.
        """
        self._forget(now_s)
        recent = sum(count for _, count in self._done)
        total, whole = deletes + recent, agreed + recent
        allowed = max(self.safety.max_delete_count, int(whole * self.safety.max_delete_percent / 100))
        if not deletes or deletes <= self._granted or total <= allowed:
            return
        self._refused = deletes
        raise TooManyDeletes(
            f"{total} of {whole} paths would be deleted within a minute; the brake allows {allowed}",
            hint="If that is right, `lakelink link resume NAME --allow-deletes` lets these pass. If not, undo what removed them.",
        )

    def done(self, deletes: int, now_s: float) -> None:
        """So many were deleted. Those that were granted do not count against the next ones."""
        granted = min(deletes, self._granted)
        self._granted -= granted
        counted = deletes - granted
        if counted and self._done and now_s - self._done[-1][0] < WINDOW_S / _SLOTS:
            when, count = self._done[-1]
            self._done[-1] = (when, count + counted)
        elif counted:
            self._done.append((now_s, counted))

    def allow_once(self) -> None:
        """Let pass as many deletes as were refused last, and no more."""
        self._granted, self._refused = max(self._granted, self._refused), 0

    def _forget(self, now_s: float) -> None:
        while self._done and self._done[0][0] <= now_s - WINDOW_S - WINDOW_S / _SLOTS:
            self._done.popleft()
