"""The gateway inside a daemon: its workers, and what can be asked about it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakelink.api import calls
from lakelink.config.document import Document
from lakelink.config.gateway import GatewaySettings, has_gateway, read_gateway
from lakelink.config.gateway_workflows import read_workflows
from lakelink.daemon.lock import daemon_lock
from lakelink.daemon.server import ApiServer, Asked
from lakelink.errors import InternalError, NotFound, StorageError
from lakelink.gateway.accounts.declared import declared_accounts
from lakelink.gateway.accounts.store import gateway_dir
from lakelink.gateway.server.crew import Crew
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.server.member import CrewPlan
from lakelink.gateway.server.services import identity_service
from lakelink.gateway.telling import Hear
from lakelink.gateway.workflows.steps import check_workflow
from lakelink.model.gateway import GatewayStatus, LiveSession
from lakelink.obs import log
from lakelink.obs.log import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Where it lives, and what wins over the settings."""

    state_dir: Path
    config: str | None = None
    listen: str = ""
    log_form: str = "text"
    on_changed: Hear | None = None  # hears what users change in the lake


def check_gateway(document: Document) -> None:
    """The settings of a gateway are right, where there are any.

    Raises:
        ConfigError: they are not.
    """
    if has_gateway(document):
        read_gateway(document)
        _check_rest(document)


def _check_rest(document: Document) -> None:
    """What workers would stumble over."""
    declared_accounts(document)
    identity_service(document)
    for workflow in read_workflows(document):
        check_workflow(workflow, document)


class GatewayService:
    """One gateway of a state directory: at most one runs, in a daemon or by itself. Start it once, stop it once."""

    def __init__(self, options: GatewayOptions, document: Document) -> None:
        """Read the settings; nothing listens yet.

        Raises:
            ConfigError: they are wrong.
        """
        self._options = options
        self._document = document
        self.settings = self._read(document)
        self._started_ns = time.time_ns()
        self._crew: Crew | None = None
        self._held = ExitStack()
        self._server: ApiServer | None = None
        self._by_call: dict[type[calls.Call[Any]], Callable[[Any], Awaitable[Any]]] = {
            calls.GetGateway: self._status,
            calls.ListSessions: self._sessions,
            calls.KickSessions: self._kick,
            calls.LiftBan: self._unban,
        }

    async def start(self) -> None:
        """Make host keys where there are none, listen, and take questions on a socket of its own (`STATE/gateway`).

        Raises:
            Busy: another gateway runs on this state directory. ConfigError, Unreachable: a port or a worker cannot be had.
        """
        directory = gateway_dir(self._options.state_dir)
        self._held.enter_context(daemon_lock(directory))
        try:
            keys = HostKeys(self._options.state_dir, self.settings.host_keys)
            keys.ensure()
            keys.list()
            crew = Crew(self._plan())
            if self._options.on_changed is not None:
                crew.shared.on_changed = self._options.on_changed
            await crew.start()
            self._crew = crew
            self._server = ApiServer(directory, self)
            await self._server.start()
        except OSError as error:
            await self.stop(0.0)
            raise StorageError(
                f"the socket in {directory} cannot be made: {error.strerror}", hint="Check the directory's rights."
            ) from error
        except BaseException:
            await self.stop(0.0)
            raise
        listening = ", ".join(crew.listening)
        log.emit(
            logging.INFO, Event.GATEWAY_STARTED, {"endpoint": listening, "message": f"policy {self.settings.policy}"}
        )

    async def reload(self, document: Document) -> list[str]:
        """Take other settings over; open sessions go on. Returns what was not taken over, a sentence each.

        Raises:
            ConfigError: they are wrong. Unreachable: a worker did not come up with them. Everything goes on as before.
        """
        settings = self._read(document)
        if self._crew is None:
            return []
        told = await self._crew.reload(settings, document)
        self.settings, self._document = settings, document
        return told

    async def stop(self, within_s: float | None = None) -> bool:
        """Drain the workers within that time (`drain` of the settings), and let go of everything; whether all ended by themselves. Idempotent."""
        ended = True
        if self._crew is not None:
            crew, self._crew = self._crew, None
            ended = await crew.stop(self.settings.drain_s if within_s is None else within_s)
            log.emit(logging.INFO, Event.GATEWAY_STOPPED, {"message": "drained" if ended else "sessions were cut off"})
        if self._server is not None:
            await self._server.aclose()
            self._server = None
        self._held.close()
        return ended

    async def __call__(self, asked: Asked) -> Any:
        """Carry out one call about the gateway.

        Raises:
            LakelinkError: what the asker is told.
        """
        handler = self._by_call.get(type(asked.call))
        if handler is None:
            raise NotFound(
                f"{asked.call.name} is nothing that a gateway does",
                hint="The daemon of the state directory answers it.",
            )
        return await handler(asked.call)

    @property
    def is_running(self) -> bool:
        return self._crew is not None

    @property
    def listening(self) -> tuple[str, ...]:
        return self._running.listening if self._crew else ()

    def status(self) -> GatewayStatus:
        """How it stands."""
        crew = self._running
        shared = crew.shared
        keys = HostKeys(self._options.state_dir, self.settings.host_keys).list()
        return GatewayStatus(
            pid=os.getpid(),
            started_ns=self._started_ns,
            listening=crew.listening,
            policy=self.settings.policy,
            workers=len(crew.pids),
            host_keys=tuple(f"{key.type} {key.fingerprint}" for key in keys),
            sessions=len(shared.sessions),
            half_open=shared.half_open,
            is_draining=crew.is_draining,
            banned=tuple(sorted(shared.throttle.banned(time.monotonic()).items())),
            counts=tuple(shared.counts.items()),
        )

    async def _status(self, _call: calls.GetGateway) -> GatewayStatus:
        return self.status()

    async def _sessions(self, _call: calls.ListSessions) -> list[LiveSession]:
        return self._running.shared.sessions

    async def _kick(self, call: calls.KickSessions) -> list[str]:
        of_user = [each.id for each in self._running.shared.sessions if call.user and each.user == call.user]
        return self._running.kick([*call.sessions, *of_user])

    async def _unban(self, call: calls.LiftBan) -> bool:
        return self._running.shared.throttle.lift(call.address)

    def _read(self, document: Document) -> GatewaySettings:
        environ = (
            {**os.environ, "LAKELINK_GATEWAY_LISTEN": self._options.listen} if self._options.listen else os.environ
        )
        _check_rest(document)
        return read_gateway(document, environ)

    def _plan(self) -> CrewPlan:
        return CrewPlan(
            state_dir=self._options.state_dir.absolute(),
            config=str(self._document.path.absolute()) if self._document.path else "",
            text=self._document.text,
            settings=self.settings,
            log_form=self._options.log_form,
            tells_changes=self._options.on_changed is not None,
        )

    @property
    def _running(self) -> Crew:
        if self._crew is None:
            raise InternalError("the gateway does not run")
        return self._crew
