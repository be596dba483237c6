"""One worker as a process: `python -m lakelink.gateway.server.worker`, started by `Crew` and by nobody else.

It has its listening sockets and its control socket from its parent. When the control socket ends, the parent is gone, and so is the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from lakelink.config.document import Document, parse_document
from lakelink.config.gateway import GatewaySettings, read_gateway
from lakelink.gateway.accounts.declared import DeclaredAccounts
from lakelink.gateway.accounts.store import AccountStore, gateway_dir
from lakelink.gateway.credentials.passwords import PasswordChecker, nobody
from lakelink.gateway.server.audit import FILE, AuditLog
from lakelink.gateway.server.authority import Authority
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.server.hub import Hub
from lakelink.gateway.server.remote import RemoteHub
from lakelink.gateway.server.server import GatewayServer, Parts
from lakelink.gateway.server.services import identity_service
from lakelink.gateway.server.sftp import SftpSessions
from lakelink.gateway.server.unfinished import Unfinished
from lakelink.gateway.server.wire import LINE_BYTES
from lakelink.gateway.telling import Telling
from lakelink.gateway.workflows.service import WorkflowService
from lakelink.obs import log
from lakelink.ports.random import SystemRandom

ENDED = 0
PARENT_GONE = 3
SPOOL = "spool"


class Worker:
    """A server and everything that it needs, opened from settings. Also for a gateway of one process, as tests have it."""

    def __init__(
        self, state_dir: Path, document: Document, settings: GatewaySettings, hub: Hub, *, tells_changes: bool = False
    ) -> None:
        """Open the accounts, keys and the audit log; nothing listens yet. `tells_changes`: the hub wants to hear of them.

        Raises:
            ConfigError, StorageError, NotFound: one of them cannot be had.
        """
        directory = gateway_dir(state_dir)
        spool = Path(settings.spool) if settings.spool else directory / SPOOL
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.audit = AuditLog(Path(settings.audit_log) if settings.audit_log else directory / FILE)
        self.passwords = PasswordChecker()
        telling = Telling(document, hub.changed if tells_changes else None)
        self.workflows = WorkflowService(document, directory, telling)
        self.sessions = SftpSessions(
            document, settings, spool, self.workflows.stored, telling, Unfinished(directory, SystemRandom().token())
        )
        self._store = AccountStore(state_dir)
        places = (DeclaredAccounts(document), self._store)
        self.server = GatewayServer(
            Parts(
                settings=settings,
                keys=HostKeys(state_dir, settings.host_keys).load(),
                hub=hub,
                authority=Authority(places, self.passwords, identity_service(document)),
                sessions=self.sessions,
                audit=self.audit,
                random=SystemRandom(),
            )
        )

    async def aclose(self) -> None:
        """Hang up, and close everything. Idempotent."""
        await self.server.aclose()
        await self.workflows.aclose()
        self.passwords.close()
        self.audit.close()
        self._store.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until drained, or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--listen", type=int, nargs="+", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--config", default="")
    parser.add_argument("--settings", type=int)
    parser.add_argument("--log", default="text")
    parser.add_argument("--tell-changes", action="store_true")
    asked = parser.parse_args(arguments)
    log.configure(logging.WARNING, sys.stderr, as_json=asked.log == "json", journal=asked.log == "journal")
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)  # what clients do wrong is in the audit log
    warnings.simplefilter("ignore")  # what libraries think of the algorithms that an old client asks for
    gc.set_threshold(50_000, 20, 20)
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # of a terminal, for the whole group: the parent says what is to be done
        signal.signal(number, signal.SIG_IGN)
    return asyncio.run(_run(asked))


def _document(asked: argparse.Namespace) -> Document:
    """As the gateway has read it; the file may be another by now."""
    if not asked.config:
        return Document()
    with os.fdopen(asked.settings, encoding="utf-8") as file:
        return parse_document(file.read(), Path(asked.config))


async def _run(asked: argparse.Namespace) -> int:
    document = _document(asked)
    control = socket.socket(fileno=asked.control)
    reader, writer = await asyncio.open_connection(sock=control, limit=LINE_BYTES)
    hub = RemoteHub(reader, writer)
    worker = Worker(Path(asked.state), document, read_gateway(document), hub, tells_changes=asked.tell_changes)
    await asyncio.to_thread(nobody)  # the first unknown user waits no longer than the second
    await worker.sessions.sweep()
    drained = asyncio.Event()
    drains: list[asyncio.Task[None]] = []

    async def drain(within_s: float) -> None:
        await worker.server.drain(within_s)
        drained.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drained.set)
    worker.server.start([socket.socket(fileno=fd) for fd in asked.listen])
    worker.workflows.start()
    hub.hello(os.getpid())
    heard = asyncio.create_task(
        hub.listen(worker.server.kick, lambda within_s: drains.append(asyncio.create_task(drain(within_s))))
    )
    ended = asyncio.create_task(drained.wait())
    await asyncio.wait([heard, ended], return_when=asyncio.FIRST_COMPLETED)
    code = ENDED if drained.is_set() else PARENT_GONE
    await worker.aclose()
    writer.close()
    for task in (heard, ended, *drains):
        task.cancel()
    await asyncio.gather(heard, ended, *drains, return_exceptions=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
