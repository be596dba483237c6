"""What lives in a gateway, as values: sessions, and what was counted. Times in nanoseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """A user who is logged in, over one connection."""

    id: str
    user: str
    address: str
    port: int
    client: str  # the version string that it sent
    since_ns: int
    worker: int = 0  # the process that serves it
    uploaded_bytes: int = 0
    downloaded_bytes: int = 0
    operations: int = 0
    active_ns: int = 0  # when something last came from the client


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """How a gateway stands: sums over all its workers, since each began."""

    pid: int
    started_ns: int
    listening: tuple[str, ...]  # HOST:PORT
    policy: str
    workers: int
    host_keys: tuple[str, ...] = ()  # type and fingerprint
    sessions: int = 0
    half_open: int = 0
    is_draining: bool = False
    banned: tuple[tuple[str, float], ...] = ()  # address, seconds more
    counts: tuple[tuple[str, int], ...] = ()  # by the name of what was counted
