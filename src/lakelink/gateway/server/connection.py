"""One SSH connection: what asyncssh does, minus all that an SFTP gateway does not give, plus what it has no option for.

The names with an underscore that are overridden here are asyncssh's own; the tests log in by every method and would notice a change.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import asyncssh
from asyncssh.connection import SSHServerConnectionOptions
from asyncssh.packet import SSHPacket

from lakelink.gateway.credentials.authorized_keys import SMALLEST_RSA_BITS
from lakelink.gateway.server.packets import Packets
from lakelink.gateway.server.policies import Policy

FIRST_FREE = 1  # every client asks by "none" first which methods there are


class Gatekeeper(Protocol):
    """What a connection asks of the login that it carries (`login.Login`)."""

    policy: Policy
    max_attempts: int
    address: str
    port: int

    def public_key_auth_supported(self) -> bool: ...

    def has_shown_key(self) -> None: ...

    async def complete(self) -> bool:
        """Whether everything was shown; then the session counts. Raises asyncssh.DisconnectError where it may not."""
        ...


class Connection(Packets):
    """The server's side, for a client whose address may have been told by a balancer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: SSHServerConnectionOptions,
        gatekeeper: Gatekeeper,
        early: bytes,
    ) -> None:
        super().__init__(loop, options)
        self._gatekeeper = gatekeeper
        owner: Any = gatekeeper
        self._protocol_factory = lambda: owner
        self._early = early
        self._failures = -FIRST_FREE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._early:  # what came behind the header of a balancer
            self.data_received(self._early)
            self._early = b""

    def _connection_made(self) -> None:
        self._peer_addr, self._peer_port = self._gatekeeper.address, self._gatekeeper.port
        self._peer_host = self._peer_addr
        super()._connection_made()

    async def reload_config(self) -> None:
        """There is no file to read anew for each user."""

    def send_userauth_failure(self, partial_success: bool) -> None:
        if not partial_success:
            self._failures += 1
        if self._failures >= self._gatekeeper.max_attempts:
            self.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many authentication failures")
            return
        super().send_userauth_failure(partial_success)

    async def send_userauth_success(self) -> None:
        """Only when all that the account demands was shown (RFC 4252, section 5.1: partial success)."""
        if not await self._gatekeeper.complete():
            self.send_userauth_failure(partial_success=True)
            return
        await super().send_userauth_success()

    def public_key_auth_supported(self) -> bool:
        """Until a key was shown: who has to show the password too is asked for that then, and not for the key once more."""
        return self._gatekeeper.public_key_auth_supported()

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """A key counts when it has signed, by an algorithm that the policy takes."""
        if msg and not self._is_strong(key_data, signature):
            return False
        good = await super().validate_public_key(username, key_data, msg, signature)
        if good and msg:
            self._gatekeeper.has_shown_key()
        return good

    async def _validate_openssh_certificate(self, username: str, cert: Any) -> Any:
        """One without principals would be everybody's."""
        return await super()._validate_openssh_certificate(username, cert) if cert.principals else None

    def _is_strong(self, key_data: bytes, signature: bytes) -> bool:
        try:
            algorithm = SSHPacket(signature).get_string().decode("ascii")
            packet = SSHPacket(key_data)
            kind = packet.get_string()
            if kind == b"ssh-rsa-cert-v01@openssh.com":
                packet.get_string()  # a nonce stands in front of the key
            if kind.startswith(b"ssh-rsa"):
                packet.get_mpint()
                if packet.get_mpint().bit_length() < SMALLEST_RSA_BITS:
                    return False
        except (asyncssh.Error, UnicodeDecodeError, ValueError):
            return False
        return algorithm in self._gatekeeper.policy.signatures
