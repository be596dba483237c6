"""What a client can find out about an SSH server from outside: its host keys, what it negotiates, which keys it would take, whether a password is good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakelink.errors import Unreachable
from lakelink.gateway.takeover.keyfiles import fingerprint

WITHIN_S = 20.0
MOST_PACKET_BYTES = 256 << 10
KEXINIT = 20
LISTS = ("kexalgorithms", "hostkeyalgorithms", "ciphers", "ciphers back", "macs", "macs back")
HOST_KEYS: Mapping[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
}
NOT_NEGOTIATED = ("ext-info-s", "kex-strict-s-v00@openssh.com")


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Offer:
    """The version line and the algorithms that a server offers, by the names of sshd_config."""

    version: str
    algorithms: dict[str, list[str]] = field(default_factory=dict)


async def offer(server: Server) -> Offer:
    """What it offers before anybody has said who he is.

    Raises:
        Unreachable: it does not answer, or is no SSH server.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            reader, writer = await asyncio.open_connection(server.host, server.port, limit=MOST_PACKET_BYTES)
            try:
                writer.write(b"SSH-2.0-lakelink_verify\r\n")
                line = b""
                while not line.startswith(b"SSH-"):
                    line = await reader.readuntil(b"\n")
                return Offer(line.decode("utf-8", "replace").strip(), await _kexinit(reader))
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise Unreachable(
            f"{server} is no SSH server that answers: {error}", hint="Is it up, and is this its port?"
        ) from error


async def _kexinit(reader: asyncio.StreamReader) -> dict[str, list[str]]:
    """RFC 4253, sections 6 and 7.1."""
    size = int.from_bytes(await reader.readexactly(4))
    if not 18 <= size <= MOST_PACKET_BYTES:
        raise ValueError("a packet of a strange size")
    packet = await reader.readexactly(size)
    if packet[1] != KEXINIT:
        raise ValueError("its first packet is no KEXINIT")
    at, found = 18, {}
    for name in LISTS:
        length = int.from_bytes(packet[at : at + 4])
        words = packet[at + 4 : at + 4 + length].decode("ascii", "replace")
        found[name] = [word for word in words.split(",") if word and word not in NOT_NEGOTIATED]
        at += 4 + length
    return found


async def host_keys(server: Server, offered: Offer) -> dict[str, str]:
    """The fingerprint that clients are shown, for each type of key that it offers."""
    import asyncssh

    found: dict[str, str] = {}
    for kind, algorithms in HOST_KEYS.items():
        wanted = [name for name in algorithms if name in offered.algorithms.get("hostkeyalgorithms", ())]
        if not wanted:
            continue
        try:
            async with asyncio.timeout(WITHIN_S):
                key = await asyncssh.get_server_host_key(
                    server.host, server.port, server_host_key_algs=wanted, config=None
                )
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise Unreachable(
                f"{server} did not show its {kind} key: {error}", hint="Does it throttle this machine?"
            ) from error
        if key is not None:
            found[kind] = fingerprint(key.public_data)
    return found


async def would_accept(server: Server, user: str, public_key: str) -> bool:
    """Whether the server would take a signature of that key for that user. Nothing is signed, and nobody logs in.

    Raises:
        Unreachable: it did not answer.
    """
    import asyncssh

    key = asyncssh.import_public_key(public_key)
    probe = _probe(key)

    class Client(asyncssh.SSHClient):
        def public_key_auth_requested(self) -> Any:
            return None if probe.is_offered else probe.offer()

    await _connect(server, user, Client, public_key_auth=True, password_auth=False, kbdint_auth=False)
    return bool(probe.is_accepted)


async def takes_password(server: Server, user: str, password: str) -> bool:
    """Whether the user can log in with that password alone.

    Raises:
        Unreachable: it did not answer.
    """
    import asyncssh

    return await _connect(
        server, user, asyncssh.SSHClient, password=password, client_keys=None, public_key_auth=False, kbdint_auth=False
    )


async def _connect(server: Server, user: str, client: Any, **options: Any) -> bool:
    """Whether the user got in. Host keys are compared elsewhere, so that any is taken here."""
    import asyncssh

    try:
        async with asyncio.timeout(WITHIN_S):
            connection, _ = await asyncssh.create_connection(
                client,
                server.host,
                server.port,
                username=user,
                known_hosts=None,
                agent_path=None,
                config=None,
                **options,
            )
    except asyncssh.PermissionDenied:
        return False
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise Unreachable(f"{server} broke off with {user}: {error}", hint="Does it throttle this machine?") from error
    connection.abort()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(WITHIN_S):
            await connection.wait_closed()
    return True


def _probe(key: Any) -> Any:
    """A pair of keys without a private half: it learns that it was asked to sign, which a server does only for a key that it would take."""
    import asyncssh.public_key as library

    class Probe(library.SSHKeyPair):
        is_offered = False
        is_accepted = False

        def offer(self) -> Any:
            self.is_offered = True
            return [self]

        def sign(self, data: bytes) -> bytes:
            del data
            self.is_accepted = True
            raise ValueError("nothing is signed")

    algorithms: Sequence[bytes] = key.sig_algorithms
    return Probe(key.algorithm, algorithms[0], algorithms, algorithms, key.public_data, b"")
