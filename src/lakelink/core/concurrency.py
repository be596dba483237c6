"""How many requests at once: found out while running, from throughput and from complaints.

More requests in flight help until the line or the store is full; after that they only wait. So: double while throughput grows, then
stay and probe upwards now and then; halve when the store says slow down or requests time out. Throughput is a poor witness on a machine that
does other things too. A far store gives a better one: while its answers take little longer than the fastest of them, nothing queues anywhere, and
more may be asked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyPolicy:
    """The bounds and the patience of the search."""

    start: int = 64
    least: int = 1
    most: int = 256
    window_s: float = 0.2  # at least so long is one measurement …
    window_turns: float = 2.0  # … and at least so many requests per slot
    gain: float = 1.10  # growth must bring a tenth more throughput to be kept
    probe_windows: int = 12  # windows of rest before the next try upwards
    far_s: float = 0.02  # a store that never answered sooner is far
    roomy: float = 2.0  # so many times the fastest answer, on average, and nothing queues


class ConcurrencyLimit:
    """The limit now. Feed it every finished request; read `limit` before each start.

    A measurement counts only while the limit is what holds requests back (`saturated`): an idle client learns nothing.
    """

    def __init__(self, policy: ConcurrencyPolicy | None = None) -> None:
        self._policy = policy or ConcurrencyPolicy()
        self.limit = self._policy.start
        self._since_s: float | None = None
        self._count = 0
        self._work = 0.0
        self._waited_s = 0.0
        self._fastest_s = 0.0
        self._best_rate = 0.0
        self._previous = self.limit
        self._growing = True
        self._rest = 0
        self._quiet_until_s = 0.0

    def finished(self, now_s: float, work: float, *, saturated: bool, took_s: float = 0.0) -> None:
        """A request ended well after `took_s` and moved `work` (one per request, plus what its bytes weigh)."""
        self._fastest_s = min(self._fastest_s or took_s, took_s)
        if not saturated:
            self._restart(None)
            return
        if self._since_s is None:
            self._restart(now_s)
            return
        self._count += 1
        self._work += work
        self._waited_s += took_s
        elapsed_s = now_s - self._since_s
        enough = self._count >= self._policy.window_turns * self.limit
        if enough and elapsed_s >= self._policy.window_s:
            self._judge(self._work / elapsed_s)
            self._restart(now_s)

    def complained(self, now_s: float, pause_s: float = 1.0) -> None:
        """The store asked to slow down, or a request timed out. Complaints of one moment count once."""
        if now_s < self._quiet_until_s:
            return
        self._quiet_until_s = now_s + pause_s
        self.limit = max(self._policy.least, self.limit // 2)
        self._previous = self.limit
        self._growing = False
        self._rest = 0
        self._best_rate = 0.0
        self._restart(None)

    def _restart(self, since_s: float | None) -> None:
        self._since_s = since_s
        self._count = 0
        self._work = 0.0
        self._waited_s = 0.0

    @property
    def _roomy(self) -> bool:
        far = self._fastest_s >= self._policy.far_s
        return far and self._waited_s < self._policy.roomy * self._fastest_s * self._count

    def _judge(self, rate: float) -> None:
        policy = self._policy
        if self._growing:
            if rate > self._best_rate * policy.gain or self._roomy:
                self._best_rate = max(rate, self._best_rate)
                self._previous = self.limit
                self.limit = min(policy.most, self.limit * 2)
                self._growing = self.limit > self._previous
            else:
                self.limit = self._previous
                self._growing = False
            self._rest = 0
            return
        # At rest: follow the rate, so that a store that became faster or slower is measured against today.
        self._best_rate = (self._best_rate + rate) / 2 if self._best_rate else rate
        self._rest += 1
        if (self._rest >= policy.probe_windows or self._roomy) and self.limit < policy.most:
            self._rest = 0
            self._previous = self.limit
            self.limit = min(policy.most, self.limit + max(1, self.limit // 2))
            self._growing = True
