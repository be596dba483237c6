"""One process of the gateway: listens, lets in, keeps count, and lets go."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import asyncssh

from lakelink.config.gateway import GatewaySettings
from lakelink.errors import LakelinkError
from lakelink.gateway.base import Audit, AuditRecord
from lakelink.gateway.server.authority import Authority
from lakelink.gateway.server.connection import Connection
from lakelink.gateway.server.hub import Hub
from lakelink.gateway.server.listener import Arrival, Listener
from lakelink.gateway.server.login import Login
from lakelink.gateway.server.networks import Networks
from lakelink.gateway.server.options import HostKeyPair, server_options
from lakelink.gateway.server.pace import Pace
from lakelink.gateway.server.policies import POLICIES
from lakelink.gateway.server.sftp import SftpSessions
from lakelink.gateway.subsystem import SftpSubsystem
from lakelink.model.account import Account
from lakelink.ports.random import Random

REPORT_EVERY_S = 1.0
QUIET_S = 3.0  # a session from which nothing came for so long, and that has nothing open, may be ended by a drain
POLL_S = 0.2
CLEARED_WITHIN_S = 30.0
REFUSALS_RECORDED_PER_S = 20  # what a flood adds beyond that is counted only


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a server works with."""

    settings: GatewaySettings
    keys: Sequence[HostKeyPair]
    hub: Hub
    authority: Authority
    sessions: SftpSessions
    audit: Audit
    random: Random


class GatewayServer:
    """Implements `login.House` and `listener.Porch`."""

    def __init__(self, parts: Parts) -> None:
        """Nothing listens yet.

        Raises:
            ConfigError: no host key fits the policy.
        """
        settings, limits = parts.settings, parts.settings.limits
        self.policy = POLICIES[settings.policy]
        self.authority = parts.authority
        self.banner = settings.banner
        self.max_attempts, self.max_channels = limits.max_attempts, limits.max_channels
        self._parts = parts
        self._allow = Networks(settings.allow)
        self._options = server_options(self.policy, parts.keys, limits.login_timeout_s, asyncssh.SSHServer)
        self._waiting: set[Login] = set()
        self._inside: dict[str, Login] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._counts: Counter[str] = Counter()
        self._paces: dict[str, Pace] = {}
        self._recorded = (0, 0)
        self._listener = Listener(self, Networks(settings.trusted_proxies))
        self._reporter: asyncio.Task[None] | None = None
        self.is_draining = False

    # Its life.

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from these listening sockets."""
        self._listener.start(sockets)
        self._reporter = asyncio.create_task(self._report())

    async def drain(self, within_s: float) -> bool:
        """Take no more connections, end who does nothing, let transfers run to their end; whether all were gone in time.

        Who is still there afterwards is hung up on: uploads under way leave nothing.
        """
        self.is_draining = True
        await self._listener.aclose()
        for login in list(self._waiting):
            login.disconnect("The server is going down")
        deadline_s = time.monotonic() + within_s
        while self._inside and time.monotonic() < deadline_s:
            for login in [each for each in self._inside.values() if _is_quiet(each)]:
                login.disconnect("The server is going down")
            await asyncio.sleep(POLL_S)
        left = [*self._inside.values(), *self._waiting]
        for login in left:
            login.abort()
        return not left

    async def aclose(self) -> None:
        """Hang up on everybody, and close what was open. Idempotent."""
        await self._listener.aclose()
        for login in [*self._inside.values(), *self._waiting]:
            login.abort()
        if self._reporter is not None:
            self._reporter.cancel()
            await asyncio.gather(self._reporter, return_exceptions=True)
        await asyncio.sleep(0)  # what was hung up on hears of it
        await asyncio.sleep(0)
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)
        self._tell()
        await self._parts.sessions.aclose()

    def kick(self, session_ids: Sequence[str]) -> None:
        """End sessions; uploads under way leave nothing. Who is not here is passed over."""
        for session_id in session_ids:
            if (login := self._inside.get(session_id)) is not None:
                self.record(login, "kick")
                login.disconnect("Ended by the operator")
                asyncio.get_running_loop().call_later(2.0, login.abort)

    # What the listener asks.

    async def admit(self, arrival: Arrival) -> bool:
        """Whether a connection is let in; SSH is spoken with it from now on, and its socket is no longer the caller's."""
        token, hub, taken = self._parts.random.token(), self._parts.hub, False
        try:
            reason = await self._refusal(token, arrival.address)
            if reason:
                self.refused(arrival.address, reason)
            else:
                taken = await self._welcome(token, arrival)
        finally:
            if not taken:
                hub.settled(token)
        return taken

    async def _refusal(self, token: str, address: str) -> str:
        if self._allow and address not in self._allow:
            return "not-allowed"
        try:
            return await self._parts.hub.arrive(token, address)
        except LakelinkError:
            return "unknown"

    def refused(self, address: str, reason: str) -> None:
        """Count a connection that was not let in, and write it down unless there are too many."""
        self._counts[f"refused_{reason.replace('-', '_')}"] += 1
        second = int(time.time())
        count = self._recorded[1] + 1 if self._recorded[0] == second else 1
        self._recorded = (second, count)
        if count <= REFUSALS_RECORDED_PER_S:
            record = AuditRecord(
                time_ns=time.time_ns(),
                session="",
                user="",
                address=address,
                operation="connect",
                code="refused",
                detail={"reason": reason},
            )
            self._parts.audit(record)

    async def _welcome(self, token: str, arrival: Arrival) -> bool:
        loop = asyncio.get_running_loop()
        login = Login(self, token, arrival.address, arrival.port)
        self._waiting.add(login)
        try:
            await loop.connect_accepted_socket(lambda: self._connection(loop, login, arrival), arrival.socket)
        except OSError:
            self.leave(login)
            return False
        return True

    def _connection(self, loop: asyncio.AbstractEventLoop, login: Login, arrival: Arrival) -> Connection:
        return Connection(loop, self._options, login, arrival.early)

    # What a login asks.

    async def failed(self, address: str, user: str) -> float:
        self._counts["logins_failed"] += 1
        try:
            return await self._parts.hub.failed(address, user)
        except LakelinkError:
            return 0.0

    async def enter(self, login: Login) -> str:
        if self.is_draining or login.account is None:
            return "draining"
        most = login.account.max_sessions or self._parts.settings.limits.max_sessions_per_user
        try:
            refusal = await self._parts.hub.open(login.live(), most)
        except LakelinkError:
            refusal = "unknown"
        if login not in self._waiting:  # it went away meanwhile
            refusal = refusal or "gone"
        if refusal:
            self._parts.hub.close(login.id)
        return refusal

    def through(self, login: Login) -> None:
        if login in self._waiting:
            self._waiting.discard(login)
            self._parts.hub.settled(login.id)
        self._inside[login.id] = login
        self._counts["logins"] += 1

    def leave(self, login: Login) -> None:
        if login in self._waiting:
            self._waiting.discard(login)
            self._parts.hub.settled(login.id)
            if login.failed_silently:
                self.record(login, "login", "refused", {"method": "key"})
                self._spawn(self.failed(login.address, login.user))
        if login.id in self._inside and login.id not in self._leaving:
            self._leaving[login.id] = task = asyncio.create_task(self._see_off(login))
            task.add_done_callback(lambda _: self._leaving.pop(login.id, None))

    async def _see_off(self, login: Login) -> None:
        """A session counts until what it left open is cleared away: it is not over before, and its last operations are written down."""
        try:
            async with asyncio.timeout(CLEARED_WITHIN_S):
                await login.ended()
        except TimeoutError:
            self.record(login, "logout", "unfinished", {"reason": "what it left open is still being cleared away"})
        del self._inside[login.id]
        if not any(each.user == login.user for each in self._inside.values()):
            self._paces.pop(login.user, None)
        self._counts["uploaded_bytes"] += login.uploaded_bytes
        self._counts["downloaded_bytes"] += login.downloaded_bytes
        seconds = f"{(time.time_ns() - login.since_ns) / 1e9:.1f}"
        moved = {"uploaded_bytes": str(login.uploaded_bytes), "downloaded_bytes": str(login.downloaded_bytes)}
        self.record(login, "logout", detail={"seconds": seconds} | moved)
        self._parts.hub.close(login.id)

    def record(self, login: Login, operation: str, code: str = "", detail: Mapping[str, str] | None = None) -> None:
        record = AuditRecord(
            time_ns=time.time_ns(),
            session=login.id,
            user=login.user,
            address=login.address,
            operation=operation,
            code=code,
            detail=detail or {},
        )
        self._parts.audit(record)

    def pace(self, account: Account) -> Pace | None:
        """What its sessions share of its bandwidth; None = it has all there is."""
        rate = account.bandwidth_bytes_per_s
        if not rate:
            return None
        found = self._paces.get(account.name)
        if found is None:
            moved = partial(self._parts.hub.moved, account.name)
            found = self._paces[account.name] = Pace(rate, time.monotonic, moved)
        found.follow(rate)
        return found

    async def subsystem(self, login: Login) -> SftpSubsystem:
        if login.visitor is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "Nobody is logged in")

        def audit(record: AuditRecord) -> None:
            login.count(record)
            self._counts["operations"] += 1
            if record.code:
                self._counts["operations_failed"] += 1
            self._parts.audit(record)

        try:
            return await self._parts.sessions.open(login.visitor, audit)
        except LakelinkError as error:
            self.record(login, "open", error.code, {"reason": error.message})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "The home cannot be opened") from error

    async def _report(self) -> None:
        idle_ns = int(self._parts.settings.limits.idle_timeout_s * 1e9)
        while True:
            self._tell()
            for login in list(self._inside.values()) if idle_ns else ():
                if time.time_ns() - login.active_ns > idle_ns and not login.is_working:
                    self.record(login, "idle")
                    login.disconnect("Idle for too long")
            await asyncio.sleep(REPORT_EVERY_S)

    def _tell(self) -> None:
        live = [login.live() for login in self._inside.values()]
        counts = dict(self._counts)
        for name in ("uploaded_bytes", "downloaded_bytes"):
            counts[name] = counts.get(name, 0) + sum(getattr(each, name) for each in live)
        self._parts.hub.report(live, counts)

    def _spawn(self, work: Awaitable[object]) -> None:
        self._listener.keep(asyncio.ensure_future(work))


def _is_quiet(login: Login) -> bool:
    """Nothing is under way: no file is open, and nothing came for a moment."""
    return not login.is_busy and time.time_ns() - login.active_ns > QUIET_S * 1e9


def listening(sockets: Sequence[socket.socket]) -> tuple[str, ...]:
    """Where they listen, as `HOST:PORT`."""
    found = []
    for each in sockets:
        host, port = each.getsockname()[:2]
        found.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return tuple(found)
