"""The gateway in a daemon with links: started when its section is there, tried again while it does not start. Links never wait for it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from lakelink.api.answers import GatewayCondition
from lakelink.config.document import Document
from lakelink.config.gateway import has_gateway
from lakelink.core.backoff import Backoff
from lakelink.daemon.gateway import GatewayOptions, GatewayService
from lakelink.daemon.server import Asked
from lakelink.daemon.supervise import outcome
from lakelink.errors import LakelinkError, NotFound, Unreachable
from lakelink.model.gateway import GatewayStatus
from lakelink.obs import log
from lakelink.obs.log import Event
from lakelink.ports.clock import Clock, SystemClock
from lakelink.ports.random import Random, SystemRandom

PAUSES = Backoff(base_s=2.0, cap_s=60.0)
NOTHING_HERE = "A [gateway] section in its settings makes it run one."


class GatewayKeeper:
    """At most one gateway, as the settings want it. Used from one event loop; calls may overlap."""

    def __init__(self, options: GatewayOptions, clock: Clock | None = None, random: Random | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._wanted: Document | None = None
        self._service: GatewayService | None = None
        self._trouble: LakelinkError | None = None
        self._since_ns = 0
        self._retries: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start(self, document: Document) -> None:
        """What the settings want is running when this returns, or was tried once and is tried again from now on. It raises nothing."""
        async with self._changing:
            await self._follow(document)

    async def reload(self, document: Document) -> list[str]:
        """Follow other settings; returns what came of it, a sentence each. One that does not start is no reason to refuse them.

        Raises:
            ConfigError, Unreachable: the running gateway does not take them over, and goes on as before.
        """
        async with self._changing:
            if self._service is not None and has_gateway(document):
                self._wanted = document
                return await self._service.reload(document)
            was = self._wanted is not None
            await self._follow(document)
            if self._trouble is not None:
                return [f"the gateway does not start, and is tried again: {self._trouble.message}"]
            if self._service is not None:
                return ["the gateway is started"]
            return ["the gateway is stopped, since its section is gone"] if was else []

    async def stop(self, within_s: float | None = None) -> bool:
        """Drain it, as `GatewayService.stop`; it is not tried again. Idempotent."""
        async with self._changing:
            self._wanted = self._trouble = None
            await self._end_retries()
            return await self._end(within_s)

    def condition(self) -> GatewayCondition | None:
        """How it stands; None where the settings want none."""
        if self._service is not None and self._service.is_running:
            status = self._service.status()
            return GatewayCondition(
                state="running",
                since_ns=status.started_ns,
                listening=list(status.listening),
                sessions=status.sessions,
            )
        if self._trouble is not None:
            trouble = self._trouble
            return GatewayCondition(
                state="failed",
                since_ns=self._since_ns,
                code=trouble.code,
                reason=trouble.message,
                hint=trouble.hint,
            )
        return GatewayCondition(state="starting") if self._wanted is not None else None

    def status(self) -> GatewayStatus | None:
        """What is counted, while it runs."""
        return self._service.status() if self._service is not None and self._service.is_running else None

    async def __call__(self, asked: Asked) -> Any:
        """Carry out one call about the gateway.

        Raises:
            NotFound: the settings want none. Unreachable: it does not run, and why. LakelinkError: what the gateway says.
        """
        if self._service is not None and self._service.is_running:
            return await self._service(asked)
        if self._wanted is None:
            raise NotFound("this daemon runs no gateway", hint=NOTHING_HERE)
        if self._trouble is None:
            raise Unreachable("the gateway is just starting", hint="Ask again in a moment.")
        raise Unreachable(
            f"the gateway does not start ({self._trouble.code}): {self._trouble.message}",
            hint=self._trouble.hint or "It is tried again and again; `lakelink status` shows it.",
        )

    # What it does.

    async def _follow(self, document: Document) -> None:
        await self._end_retries()
        self._wanted = document if has_gateway(document) else None
        self._trouble = None
        if self._wanted is None:
            await self._end(None)
            return
        await self._try(self._wanted)
        if self._service is None:
            self._retries = asyncio.create_task(self._keep_trying(), name="gateway")

    async def _end(self, within_s: float | None) -> bool:
        service, self._service = self._service, None
        return await service.stop(within_s) if service is not None else True

    async def _end_retries(self) -> None:
        """The caller holds `_changing`, so that it is waiting and never cut off in the middle of a try."""
        task, self._retries = self._retries, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_trying(self) -> None:
        attempt = 0
        while self._service is None:
            await self._clock.sleep(PAUSES.delay_s(attempt, 0.5 + self._random.uniform() / 2))
            attempt += 1
            async with self._changing:
                if self._wanted is not None and self._service is None:
                    await self._try(self._wanted)

    async def _try(self, document: Document) -> None:
        found = await outcome(_started(self._options, document))
        if isinstance(found, LakelinkError):
            self._note(found)
        else:
            self._service, self._trouble = found, None

    def _note(self, trouble: LakelinkError) -> None:
        again = self._trouble is not None and str(self._trouble) == str(trouble)
        if self._trouble is None:
            self._since_ns = time.time_ns()
        self._trouble = trouble
        # The same trouble every minute is one line, and the rest for whoever looks closely.
        fields: dict[log.Field, log.Value] = {"code": trouble.code, "message": trouble.message, "hint": trouble.hint}
        log.emit(logging.DEBUG if again else logging.ERROR, Event.GATEWAY_FAILED, fields)


async def _started(options: GatewayOptions, document: Document) -> GatewayService:
    service = GatewayService(options, document)
    await service.start()
    return service
