"""How long to wait before trying again, and how often at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter: attempt n waits a random part of `base_s * 2**n`, never more than `cap_s`.

    Full jitter spreads the clients that failed together (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """

    base_s: float = 0.2
    cap_s: float = 20.0
    attempts: int = 8  # sends in all, the first included

    def delay_s(self, attempt: int, uniform: float, retry_after_s: float = 0.0) -> float:
        """The pause after failed attempt `attempt` (0 = the first). `uniform` is random in [0, 1).

        What the other side asks for (`retry_after_s`) is the least; a larger wish than three times the cap is cut to that.
        """
        # 2.0**64 seconds is for ever: the exponent is bounded so that it stays a number.
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt, 64))
        return max(uniform * ceiling, min(retry_after_s, 3 * self.cap_s))

    def may_repeat(self, attempt: int) -> bool:
        """Whether another attempt follows attempt `attempt` (0 = the first)."""
        return attempt + 1 < self.attempts


class RetryBudget:
    """Bounds retries of all requests together, so that a dead service is given up soon and a sick one is not buried.

    Each retry costs a token, each success earns a fraction of one. Starts full. (Amazon Builders' Library, "Timeouts, retries,
    and backoff with jitter": a local token bucket.)
    """

    def __init__(self, capacity: float = 500.0, earned_per_success: float = 0.5) -> None:
        self._capacity = capacity
        self._earned = earned_per_success
        self._tokens = capacity

    @property
    def tokens(self) -> float:
        return self._tokens

    def spend(self) -> bool:
        """Whether one retry more is allowed; takes its token."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def earn(self) -> None:
        """A request succeeded."""
        self._tokens = min(self._capacity, self._tokens + self._earned)
