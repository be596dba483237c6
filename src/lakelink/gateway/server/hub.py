"""What the workers of one gateway share: who is there, who failed, who is kept out. One hub per gateway; a worker reaches it over a pipe, or has it at hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Protocol

from lakelink.gateway.server.throttle import Throttle
from lakelink.model.gateway import LiveSession
from lakelink.ports.clock import Clock


class Hub(Protocol):
    """The door of a worker to what all share. Questions are answered or raise Unreachable, within seconds."""

    async def admits(self, address: str) -> bool:
        """Whether the address may connect."""
        ...

    async def failed(self, address: str, user: str) -> float:
        """A login failed; for how many seconds the answer is to be held back."""
        ...

    async def open(self, session: LiveSession, most: int) -> str:
        """A login succeeded. "" = the session counts from now on; else why it may not: the user has `most` already, or the gateway is full."""
        ...

    def report(self, sessions: list[LiveSession], counts: dict[str, int], half_open: int) -> None:
        """How the sessions of this worker stand, and all that it has counted so far."""
        ...

    def close(self, session_id: str) -> None:
        """A session has ended. Idempotent."""
        ...


class SharedState:
    """The state itself. A `Hub` for a gateway of one process."""

    def __init__(self, throttle: Throttle, clock: Clock, *, most_sessions: int) -> None:
        self.throttle = throttle
        self._clock = clock
        self._most = most_sessions
        self._sessions: dict[str, LiveSession] = {}
        self._counts: dict[int, dict[str, int]] = {}
        self._half_open: dict[int, int] = {}
        self._past: Counter[str] = Counter()

    async def admits(self, address: str) -> bool:
        return self.throttle.admits(address, self._clock.monotonic())

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

    def report(self, sessions: list[LiveSession], counts: dict[str, int], half_open: int, worker: int = 0) -> None:
        for session in sessions:
            if session.id in self._sessions:
                self._sessions[session.id] = replace(session, worker=self._sessions[session.id].worker)
        self._counts[worker] = counts
        self._half_open[worker] = half_open

    def close(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    def worker_gone(self, worker: int) -> None:
        """A worker has ended, however: its sessions are gone with it, what it counted stays."""
        for session in [each for each in self._sessions.values() if each.worker == worker]:
            self.close(session.id)
        self._past.update(self._counts.pop(worker, {}))
        self._half_open.pop(worker, None)

    @property
    def sessions(self) -> list[LiveSession]:
        """Everybody who is there, who came first in front."""
        return sorted(self._sessions.values(), key=lambda each: (each.since_ns, each.id))

    @property
    def half_open(self) -> int:
        return sum(self._half_open.values())

    @property
    def counts(self) -> dict[str, int]:
        total = Counter(self._past)
        for each in self._counts.values():
            total.update(each)
        return dict(sorted(total.items()))
