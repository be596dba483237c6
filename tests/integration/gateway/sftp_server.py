"""A gateway of these tests: asyncssh with one user, one key, and the subsystem. No accounts, no policies: those have tests of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from lakelink.config.document import Document
from lakelink.gateway.base import AuditRecord, Stored, Visitor
from lakelink.gateway.folders.shared import Shared, SharedOptions
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.gateway.subsystem import SftpSubsystem
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.account import Account, Folder


@dataclass
class Gateway:
    """What a test knows of a running one."""

    directory: Path
    port: int
    key: asyncssh.SSHKey
    shared: Shared
    audit: list[AuditRecord] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    sessions: list[SftpSubsystem] = field(default_factory=list)

    @property
    def key_file(self) -> str:
        return str(self.directory / "key")

    @property
    def options(self) -> list[str]:
        """For OpenSSH's programs."""
        known = self.directory / "known_hosts"
        return [
            "-q",
            "-F",
            "/dev/null",
            "-i",
            self.key_file,
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "BatchMode=yes",
        ]

    async def quiet(self) -> None:
        """Every session so far is over, and has cleared away what it left open."""
        for session in self.sessions:
            await session.done.wait()

    def connect(self):
        """A connection by asyncssh's client, as a context."""
        return asyncssh.connect(
            "127.0.0.1", self.port, username="partner", client_keys=[self.key], known_hosts=None, config=None
        )


async def opened(text: str) -> Location:
    """As a gateway opens it; the store of `s3://` is that of the environment."""
    return await open_location(parse_location(text, Document()), OpenOptions(writable=True))


class _Server(asyncssh.SSHServer):
    def __init__(self, make: Callable[[], SftpSubsystem], key: asyncssh.SSHKey) -> None:
        self._make = make
        self._key = key.convert_to_public()

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "partner" and key == self._key

    def session_requested(self) -> SftpSubsystem:
        return self._make()


@contextlib.asynccontextmanager
async def gateway(
    directory: Path,
    folders: tuple[Folder, ...],
    *,
    shared: SharedOptions | None = None,
    limits: SftpLimits | None = None,
    opener: Callable[[str], object] | None = None,
    account: Account | None = None,
) -> AsyncIterator[Gateway]:
    """One, in this loop, until the context ends."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103
    key.write_private_key(str(directory / "key"))
    (directory / "key").chmod(0o600)
    process = Shared(shared)
    account = account or Account(name="partner", folders=folders, uid=4711, gid=4712)
    running = Gateway(directory, 0, key, process)

    async def on_stored(stored: Stored) -> None:
        running.stored.append(stored)

    def make() -> SftpSubsystem:
        visitor = Visitor(session=f"s{len(running.sessions)}", account=account, address="127.0.0.1")
        session = SftpSubsystem(
            visitor, View(account, opener or opened, process), running.audit.append, limits or SftpLimits(), on_stored
        )
        running.sessions.append(session)
        return session

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Server(make, key),
        server_host_keys=[host_key],
        encoding=None,
        encryption_algs=["aes128-gcm@openssh.com", "aes128-ctr"],  # libssh2 of Debian 12 knows no GCM
    )
    running.port = server.get_port()
    public = host_key.export_public_key().decode().strip()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{running.port} {public}\n")
    try:
        yield running
    finally:
        server.close()
        await server.wait_closed()
        for session in running.sessions:
            if session._running is not None:
                session._running.cancel()
                await asyncio.wait([session._running])
        await process.aclose()


async def _serve(arguments: list[str]) -> None:
    directory, location = arguments
    async with gateway(Path(directory), (Folder(path="/", location=location),)) as running:
        print(running.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    os.umask(0o077)
    asyncio.run(_serve(sys.argv[1:]))
