"""A token bucket: so much per second, with a bounded burst. Pure: the caller brings the time."""

from __future__ import annotations


class TokenBucket:
    """`take` may overdraw: it answers how long to wait until the debt is paid, so that one large piece never waits for a bucket
    that could not hold it, and the rate over time is still kept.

    `rate` is per second, in whatever unit the caller counts; `burst` is what may go at once after a pause.
    """

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError("rate and burst must be greater than zero")
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take `amount`; the seconds to wait before it is used (0 = at once)."""
        # A clock that steps back adds nothing.
        elapsed_s = max(0.0, now_s - self._at_s)
        self._at_s = max(self._at_s, now_s)
        self._level = min(self.burst, self._level + elapsed_s * self.rate) - amount
        return max(0.0, -self._level / self.rate)
