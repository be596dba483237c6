"""Failed logins: they make answers slow for a user's name, and shut the door for an address. Pure, with the time handed in.

A name is never shut out: else anybody could shut out anybody. Tables are bounded, and what is oldest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lakelink.gateway.server.networks import Networks, source_of

MOST_KEPT = 50_000
FREE_FAILURES = 3  # of a name: a typing mistake costs nothing
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 8.0
LONGEST_BAN_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ThrottleRule:
    """So many failures within that time, and the address stays outside for a while; twice as long each time again."""

    failures: int = 10
    within_s: float = 600.0
    ban_s: float = 600.0
    exempt: tuple[str, ...] = ()


@dataclass(slots=True)
class _Record:
    failures: int = 0
    since_s: float = 0.0
    banned_until_s: float = 0.0
    bans: int = 0


class Throttle:
    """What is known about addresses and names. Times in seconds of a clock that only goes forward."""

    def __init__(self, rule: ThrottleRule) -> None:
        self.follow(rule)
        self._sources: OrderedDict[str, _Record] = OrderedDict()
        self._names: OrderedDict[str, _Record] = OrderedDict()

    def follow(self, rule: ThrottleRule) -> None:
        """Another rule from now on; who is shut out stays so."""
        self.rule = rule
        self._exempt = Networks(rule.exempt)

    def admits(self, address: str, now_s: float) -> bool:
        """Whether the address may connect."""
        record = self._sources.get(source_of(address))
        return record is None or now_s >= record.banned_until_s

    def failed(self, address: str, name: str, now_s: float) -> float:
        """A login failed; how long the answer is to be held back, in seconds."""
        if address not in self._exempt:
            self._count_source(source_of(address), now_s)
        record = self._record(self._names, name, now_s)
        record.failures += 1
        beyond = record.failures - FREE_FAILURES
        return 0.0 if beyond <= 0 else min(FIRST_DELAY_S * 2 ** min(beyond - 1, 10), LONGEST_DELAY_S)

    def succeeded(self, name: str) -> None:
        """A login succeeded: the name starts anew. What the address did to other names is not forgotten."""
        self._names.pop(name, None)

    def banned(self, now_s: float) -> dict[str, float]:
        """The addresses that are shut out, and for how many seconds more."""
        return {
            source: record.banned_until_s - now_s
            for source, record in self._sources.items()
            if record.banned_until_s > now_s
        }

    def lift(self, source: str) -> bool:
        """Let an address in again, and forget what it did; whether it was known."""
        return self._sources.pop(source_of(source), None) is not None or self._sources.pop(source, None) is not None

    def _count_source(self, source: str, now_s: float) -> None:
        record = self._record(self._sources, source, now_s)
        record.failures += 1
        if record.failures >= self.rule.failures:
            record.banned_until_s = now_s + min(self.rule.ban_s * 2 ** min(record.bans, 20), LONGEST_BAN_S)
            record.bans += 1
            record.failures = 0

    def _record(self, table: OrderedDict[str, _Record], key: str, now_s: float) -> _Record:
        record = table.get(key)
        if record is None:
            record = table[key] = _Record(since_s=now_s)
            while len(table) > MOST_KEPT:
                table.popitem(last=False)
        elif now_s - record.since_s > self.rule.within_s:
            record.failures, record.since_s = 0, now_s
        table.move_to_end(key)
        return record
