"""One gateway process with one user and one key, for the benchmarks: python -m tests.bench.gateway_server KEYS_DIRECTORY PORT LOCATION."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncssh

from lakelink.config.document import Document
from lakelink.gateway.base import AuditRecord, Stored, Visitor
from lakelink.gateway.folders.shared import Shared
from lakelink.gateway.folders.view import View
from lakelink.gateway.sftp.limits import SftpLimits
from lakelink.gateway.subsystem import SftpSubsystem
from lakelink.locations.base import Location
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.account import Account, Folder


async def _opened(text: str) -> Location:
    return await open_location(parse_location(text, Document()), OpenOptions(writable=True))


class _Server(asyncssh.SSHServer):
    shared: Shared
    account: Account

    def session_requested(self) -> SftpSubsystem:
        visitor = Visitor(session="1", account=self.account, address="127.0.0.1")
        view = View(self.account, _opened, self.shared)
        return SftpSubsystem(visitor, view, _forget, SftpLimits(), _stored)


def _forget(record: AuditRecord) -> None:
    del record


async def _stored(stored: Stored) -> None:
    del stored


async def main(directory: str, port: str, location: str) -> None:
    _Server.shared = Shared()
    _Server.account = Account(name="partner", folders=(Folder(path="/", location=location),))
    await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_factory=_Server,
        server_host_keys=[f"{directory}/host"],
        authorized_client_keys=f"{directory}/key.pub",
        encoding=None,
        encryption_algs=["aes128-gcm@openssh.com"],
        compression_algs=["none"],
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    assert Path(sys.argv[1]).is_dir()
    asyncio.run(main(*sys.argv[1:4]))
