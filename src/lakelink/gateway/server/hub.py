"""What the workers of one gateway share: who is there, who knocks, who failed, who is kept out. One hub per gateway; a worker reaches it over a pipe, or has
it at hand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Protocol

from lakelink.gateway.server.admission import Door
from lakelink.gateway.server.pace import Ahead, Pace
from lakelink.gateway.server.rules import SharedRules
from lakelink.gateway.server.throttle import Throttle
from lakelink.gateway.telling import Changed, Hear
from lakelink.model.gateway import LiveSession
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random


class Hub(Protocol):
    """The door of a worker to what all share. Questions are answered or raise Unreachable, within seconds."""

    async def arrive(self, token: str, address: str) -> str:
        """A connection has come. "" = it counts as half-open until `settled`; else why it is not let in."""
        ...

    def settled(self, token: str) -> None:
        """It has logged in, or is gone, or nobody waited for the answer. Idempotent; to be called in any case."""
        ...

    async def failed(self, address: str, user: str) -> float:
        """A login failed; for how many seconds the answer is to be held back."""
        ...

    async def open(self, session: LiveSession, most: int) -> str:
        """A login succeeded. "" = the session counts from now on; else why it may not: the user has `most` already, or the gateway is full."""
        ...

    async def moved(self, user: str, bytes_per_s: int, up_bytes: int, down_bytes: int) -> Ahead:
        """So much moved of a user with that bandwidth; how far all its sessions are ahead of it."""
        ...

    def report(self, sessions: list[LiveSession], counts: dict[str, int]) -> None:
        """How the sessions of this worker stand, and all that it has counted so far."""
        ...

    def changed(self, change: Changed) -> None:
        """Something in the lake is another than it was."""
        ...

    def close(self, session_id: str) -> None:
        """A session has ended. Idempotent."""
        ...


class SharedState:
    """The state itself. A `Hub` for a gateway of one process. `on_changed` hears of every change."""

    def __init__(self, rules: SharedRules, clock: Clock, random: Random) -> None:
        self.throttle = Throttle(rules.throttle)
        self.on_changed: Hear = lambda _: None
        self._door = Door(rules.half_open, random)
        self._clock = clock
        self._most = rules.most_sessions
        self._arrived: dict[str, tuple[int, str]] = {}  # by token: worker, address
        self._sessions: dict[str, LiveSession] = {}
        self._paces: dict[str, Pace] = {}
        self._counts: dict[int, dict[str, int]] = {}
        self._past: Counter[str] = Counter()

    def follow(self, rules: SharedRules) -> None:
        """Other rules from now on; who is in, or kept out, stays so."""
        self.throttle.follow(rules.throttle)
        self._door.limits = rules.half_open
        self._most = rules.most_sessions

    async def arrive(self, token: str, address: str, worker: int = 0) -> str:
        if not self.throttle.admits(address, self._clock.monotonic()):
            return "banned"
        refusal = self._door.refusal(address)
        if not refusal:
            self._arrived[token] = (worker, address)
            self._door.enter(address)
        return refusal

    def settled(self, token: str) -> None:
        found = self._arrived.pop(token, None)
        if found is not None:
            self._door.leave(found[1])

    async def failed(self, address: str, user: str) -> float:
        return self.throttle.failed(address, user, self._clock.monotonic())

    async def open(self, session: LiveSession, most: int) -> str:
        if len(self._sessions) >= self._most:
            return "too-many-sessions"
        if sum(each.user == session.user for each in self._sessions.values()) >= most:
            return "too-many-sessions-of-user"
        self._sessions[session.id] = session
        self.throttle.succeeded(session.user)
        return ""

    async def moved(self, user: str, bytes_per_s: int, up_bytes: int, down_bytes: int) -> Ahead:
        pace = self._paces.get(user)
        if pace is None:
            if not any(each.user == user for each in self._sessions.values()):  # told after its end
                return Ahead(0.0, 0.0)
            pace = self._paces[user] = Pace(bytes_per_s, self._clock.monotonic)
        pace.follow(bytes_per_s)
        pace.up.take(up_bytes)
        pace.down.take(down_bytes)
        return Ahead(pace.up.ahead_s(), pace.down.ahead_s())

    def report(self, sessions: list[LiveSession], counts: dict[str, int], worker: int = 0) -> None:
        for session in sessions:
            if session.id in self._sessions:
                self._sessions[session.id] = replace(session, worker=self._sessions[session.id].worker)
        self._counts[worker] = counts

    def changed(self, change: Changed) -> None:
        self.on_changed(change)

    def close(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None and not any(each.user == session.user for each in self._sessions.values()):
            self._paces.pop(session.user, None)

    def worker_gone(self, worker: int) -> None:
        """A worker has ended, however: its connections are gone with it, what it counted stays."""
        for session in [each for each in self._sessions.values() if each.worker == worker]:
            self.close(session.id)
        for token in [token for token, (of, _) in self._arrived.items() if of == worker]:
            self.settled(token)
        self._past.update(self._counts.pop(worker, {}))

    @property
    def sessions(self) -> list[LiveSession]:
        """Everybody who is there, who came first in front."""
        return sorted(self._sessions.values(), key=lambda each: (each.since_ns, each.id))

    @property
    def half_open(self) -> int:
        return self._door.half_open

    @property
    def counts(self) -> dict[str, int]:
        total = Counter(self._past)
        for each in self._counts.values():
            total.update(each)
        return dict(sorted(total.items()))
