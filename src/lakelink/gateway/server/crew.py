"""The workers of a gateway: started on shared ports, started again when they fail, replaced one by one on a reload, drained on a stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import replace

from lakelink.config.document import Document
from lakelink.config.gateway import GatewaySettings
from lakelink.errors import ConfigError, Unreachable
from lakelink.gateway.server.hub import SharedState
from lakelink.gateway.server.listener import bind
from lakelink.gateway.server.member import CrewPlan, Member
from lakelink.gateway.server.rules import shared_rules
from lakelink.gateway.server.wire import Kick
from lakelink.ports.clock import SystemClock
from lakelink.ports.random import SystemRandom


class Crew:
    """All workers of one gateway, and what they share. Used from one event loop."""

    def __init__(self, plan: CrewPlan) -> None:
        self.shared = SharedState(shared_rules(plan.settings), SystemClock(), SystemRandom())
        self.is_draining = False
        self._plan = plan
        self._sockets: list[list[socket.socket]] = []  # per worker, one of each address
        self._members: list[Member] = []
        self._retiring: dict[Member, asyncio.Task[bool]] = {}  # replaced, and with sessions still

    async def start(self) -> None:
        """Listen, and start the workers; all of them listen when it returns.

        Raises:
            ConfigError: a port cannot be had. Unreachable: a worker did not come up; its own words are on standard error.
        """
        try:
            self._bind()
            self._members = self._fresh(self._plan)
            await asyncio.gather(*(member.start() for member in self._members))
        except BaseException:
            await self.stop(0.0)
            raise

    @property
    def listening(self) -> tuple[str, ...]:
        """HOST:PORT, once for each address."""
        names = []
        for each in self._sockets[0] if self._sockets else ():
            host, port = each.getsockname()[:2]
            names.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return tuple(names)

    @property
    def pids(self) -> list[int]:
        """The processes that take connections."""
        return [member.pid for member in self._members if member.pid]

    async def reload(self, settings: GatewaySettings, document: Document) -> list[str]:
        """Replace every worker by one with these settings (and with the program as it is now on disk). Sessions that are open go on in the old
        ones, which end with them, or after the time for draining. Returns what was not taken over, a sentence each.

        Raises:
            Unreachable: a new worker did not come up; the old ones go on.
        """
        old, told = self._plan.settings, []
        if (settings.listen, settings.workers) != (old.listen, old.workers):
            told.append("where the gateway listens, and with how many workers, is taken over when it is started again")
            settings = replace(settings, listen=old.listen, workers=old.workers)
        config = str(document.path.absolute()) if document.path else ""
        plan = replace(self._plan, settings=settings, config=config, text=document.text)
        fresh = self._fresh(plan)
        try:
            await asyncio.gather(*(member.start() for member in fresh))
        except Unreachable:
            await asyncio.gather(*(member.end(0.0) for member in fresh))
            raise
        self._plan = plan
        self.shared.follow(shared_rules(settings))
        gone, self._members = self._members, fresh
        for member in gone:
            self._retiring[member] = task = asyncio.create_task(member.end(settings.drain_s))
            task.add_done_callback(lambda _, member=member: self._retiring.pop(member, None))  # type: ignore[misc]
        return told

    def kick(self, session_ids: Sequence[str]) -> list[str]:
        """End sessions, wherever they are; returns those that were there."""
        there = {session.id for session in self.shared.sessions} & set(session_ids)
        for member in (*self._members, *self._retiring):
            member.tell(Kick(sorted(there)))
        return sorted(there)

    async def stop(self, within_s: float) -> bool:
        """Drain all workers, and close the ports; whether all sessions ended by themselves."""
        self.is_draining = True
        self._close_sockets()
        members = (*self._members, *self._retiring)
        ended = await asyncio.gather(*(member.end(within_s) for member in members))
        await asyncio.gather(*self._retiring.values(), return_exceptions=True)
        return all(ended)

    def _fresh(self, plan: CrewPlan) -> list[Member]:
        return [Member(plan, self.shared, row) for row in self._sockets]

    def _bind(self) -> None:
        count = self._plan.settings.workers
        columns = []
        for address in self._plan.settings.listen:
            try:
                columns.append(bind(address.host, address.port, count))
            except OSError as error:
                for each in (each for column in columns for each in column):
                    each.close()
                raise ConfigError(
                    f"the gateway cannot listen on {address.host}:{address.port}: {error.strerror or error}",
                    hint="Is another server there? Ports below 1024 need root. --listen takes another one.",
                ) from error
        self._sockets = [list(row) for row in zip(*columns, strict=True)]

    def _close_sockets(self) -> None:
        for row in self._sockets:
            for each in row:
                with contextlib.suppress(OSError):
                    each.close()
        self._sockets = []
