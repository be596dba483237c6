"""One client, from its first word to its last: who it says it is, how it proves that, and its sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

import asyncssh
from asyncssh.connection import SSHServerConnection

from lakelink.errors import LakelinkError
from lakelink.gateway.base import AuditRecord, Visitor
from lakelink.gateway.credentials.authorized_keys import parse_key
from lakelink.gateway.server.authority import Authority, admits
from lakelink.gateway.server.channel import Channel
from lakelink.gateway.server.connection import Connection
from lakelink.gateway.server.pace import Pace
from lakelink.gateway.server.policies import Policy
from lakelink.gateway.subsystem import SftpSubsystem
from lakelink.model.account import Account, Proof
from lakelink.model.gateway import LiveSession

NO_BEFORE_S = 0.4
"""A refused password is answered no earlier than this: what is left of differences in work does not show."""
PROMPT_ALL = "en-US"


class House(Protocol):
    """What a login needs of the server that it stands in."""

    policy: Policy
    authority: Authority
    banner: str
    max_attempts: int
    max_channels: int

    async def failed(self, address: str, user: str) -> float: ...
    async def enter(self, login: Login) -> str: ...
    def through(self, login: Login) -> None: ...
    def leave(self, login: Login) -> None: ...
    def record(self, login: Login, operation: str, code: str = "", detail: Mapping[str, str] | None = None) -> None: ...
    def pace(self, account: Account) -> Pace | None: ...
    async def subsystem(self, login: Login) -> SftpSubsystem: ...


class Login(asyncssh.SSHServer):
    """Implements `connection.Gatekeeper`."""

    def __init__(self, house: House, session_id: str, address: str, port: int) -> None:
        self.policy, self.max_attempts = house.policy, house.max_attempts
        self.id, self.address, self.port = session_id, address, port
        self.since_ns = time.time_ns()
        self.user = ""
        self.account: Account | None = None
        self.visitor: Visitor | None = None
        self.channels: dict[Channel, SftpSubsystem | None] = {}
        self.subsystems: list[SftpSubsystem] = []  # also those whose channel is gone and that still clear up
        self.connection: Connection | None = None
        self.uploaded_bytes = self.downloaded_bytes = self.operations = 0
        self._house = house
        self._key_shown = self._password_shown = False
        self._offered_key = False
        self._failed_passwords = 0

    # What asyncssh calls, in the order of a login.

    def connection_made(self, conn: SSHServerConnection) -> None:
        if isinstance(conn, Connection):
            self.connection = conn

    async def begin_auth(self, username: str) -> bool:
        if self.user:
            raise asyncssh.DisconnectError(asyncssh.DISC_PROTOCOL_ERROR, "The user may not change")
        self.user = username
        if self._house.banner:
            self._conn.send_auth_banner(self._house.banner, PROMPT_ALL)
        account = await self._find(username)
        if account is None or not admits(account, self.address, time.time_ns()) or account.proof is Proof.PASSWORD:
            return True
        self.account = account
        if lines := _usable(account, self.address):
            self._conn.set_authorized_keys(asyncssh.import_authorized_keys("\n".join(lines)))
        return True

    def public_key_auth_supported(self) -> bool:
        """The same for everybody, whatever is known about the name."""
        return not self._key_shown

    def password_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002  # it is not in the list of the account
        self._offered_key = True
        return False

    async def validate_password(self, username: str, password: str) -> bool:
        began_s = time.monotonic()
        try:
            account = await self._house.authority.check(username, password, self.address)
        except LakelinkError as error:
            self._house.record(self, "login", error.code, {"method": "password", "reason": error.message})
            account = None
        if account is not None and self._may_enter(account):
            self.account, self._password_shown = account, True
            return True
        self._failed_passwords += 1
        self._house.record(self, "login", "refused", {"method": "password"})
        delay_s = await self._house.failed(self.address, username)
        await asyncio.sleep(max(delay_s, NO_BEFORE_S - (time.monotonic() - began_s)))
        return False

    def has_shown_key(self) -> None:
        self._key_shown = True

    async def complete(self) -> bool:
        account = self.account
        if account is None or (account.proof is Proof.BOTH and not (self._key_shown and self._password_shown)):
            return False
        refusal = await self._house.enter(self)
        if refusal:
            self._house.record(self, "login", "refused", {"reason": refusal})
            raise asyncssh.DisconnectError(asyncssh.DISC_TOO_MANY_CONNECTIONS, "Too many sessions")
        return True

    def auth_completed(self) -> None:
        if self.account is None:
            raise RuntimeError("nobody is logged in")
        client = str(self._conn.get_extra_info("client_version", ""))
        self.visitor = Visitor(
            session=self.id, account=self.account, address=self.address, port=self.port, client=client
        )
        self._house.through(self)
        self._house.record(self, "login", detail={"method": self._methods(), "client": client} | self._algorithms())

    def session_requested(self) -> Any:
        if self.visitor is None or len(self.channels) >= self._house.max_channels:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "Too many sessions")
        channel = Channel(self._conn, asyncio.get_running_loop(), self._closed, self._house.pace(self.visitor.account))
        self.channels[channel] = None
        return channel, self._open(channel)

    def _closed(self, channel: Channel) -> None:
        self.channels.pop(channel, None)

    async def _open(self, channel: Channel) -> SftpSubsystem:
        subsystem = await self._house.subsystem(self)
        self.subsystems = [*(each for each in self.subsystems if not each.done.is_set()), subsystem]
        if channel in self.channels:
            self.channels[channel] = subsystem
        return subsystem

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it ended is not ours to tell
        self.channels.clear()
        self._house.leave(self)

    # What the server asks.

    @property
    def failed_silently(self) -> bool:
        """It offered keys, none was taken, and it went: one failed login, however many keys it has."""
        return self.visitor is None and self._offered_key and not self._failed_passwords

    @property
    def active_ns(self) -> int:
        return max((channel.active_ns for channel in self.channels), default=self.since_ns)

    @property
    def is_busy(self) -> bool:
        """Whether files are open or requests under way."""
        return any(subsystem is not None and subsystem.is_busy for subsystem in self.channels.values())

    @property
    def is_working(self) -> bool:
        """Whether requests are under way."""
        return any(subsystem is not None and subsystem.is_working for subsystem in self.channels.values())

    async def ended(self) -> None:
        """Returns when nothing of its sessions is open any more."""
        for subsystem in self.subsystems:
            await subsystem.ended()

    def live(self) -> LiveSession:
        """As it stands."""
        return LiveSession(
            id=self.id,
            user=self.user,
            address=self.address,
            port=self.port,
            client=self.visitor.client if self.visitor else "",
            since_ns=self.since_ns,
            uploaded_bytes=self.uploaded_bytes,
            downloaded_bytes=self.downloaded_bytes,
            operations=self.operations,
            active_ns=self.active_ns,
        )

    def count(self, record: AuditRecord) -> None:
        """What an operation moved."""
        self.operations += 1
        match record.operation:
            case "write" | "upload":
                self.uploaded_bytes += record.size_bytes
            case "read" | "download":
                self.downloaded_bytes += record.size_bytes

    def disconnect(self, reason: str) -> None:
        """Say why, and hang up."""
        if self.connection is not None:
            self.connection.disconnect(asyncssh.DISC_BY_APPLICATION, reason)

    def abort(self) -> None:
        if self.connection is not None:
            self.connection.abort()

    async def _find(self, name: str) -> Account | None:
        try:
            return await self._house.authority.find(name)
        except LakelinkError as error:
            self._house.record(self, "login", error.code, {"reason": error.message})
            return None

    def _may_enter(self, account: Account) -> bool:
        """With the right password: from there, now, and after its key where both are demanded."""
        if account.proof is Proof.KEY or not admits(account, self.address, time.time_ns()):
            return False
        return account.proof is not Proof.BOTH or self._key_shown

    def _methods(self) -> str:
        shown = [name for name, is_shown in (("key", self._key_shown), ("password", self._password_shown)) if is_shown]
        return "+".join(shown)

    def _algorithms(self) -> dict[str, str]:
        return {"cipher": str(self._conn.get_extra_info("recv_cipher", ""))}

    @property
    def _conn(self) -> Connection:
        if self.connection is None:
            raise asyncssh.ConnectionLost("not connected")
        return self.connection


def _usable(account: Account, address: str) -> list[str]:
    """The lines of the account that may be used from there now, as the SSH library reads them. A line that nobody can read lets nobody in."""
    found = []
    for line in account.keys:
        try:
            key = parse_key(line)
        except LakelinkError:
            continue
        if key.admits(address, time.time_ns()):
            found.append(key.demand)
    return found
