"""A gateway without links, as a process: `lakelink gateway serve`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

from lakelink.config.document import load_document
from lakelink.daemon import process
from lakelink.daemon.gateway import GatewayOptions, GatewayService
from lakelink.daemon.notify import ServiceManager
from lakelink.daemon.supervise import outcome
from lakelink.errors import LakelinkError
from lakelink.model.gateway import GatewayStatus
from lakelink.obs import log
from lakelink.obs.log import Event

STOPPED_HARD = 1


def serve_gateway(options: GatewayOptions, on_ready: Callable[[GatewayStatus], None]) -> int:
    """Run until SIGTERM or SIGINT; 0 when every session ended in time. SIGHUP reads the settings again and replaces the workers.

    Raises:
        Busy: a gateway runs on this state directory. ConfigError: the settings are wrong, or a port cannot be had.
    """
    process.raise_file_limit()
    return asyncio.run(_run(options, on_ready))


async def _run(options: GatewayOptions, on_ready: Callable[[GatewayStatus], None]) -> int:
    service = GatewayService(options, load_document(options.config))
    manager, stop = ServiceManager(), asyncio.Event()
    loop, background = asyncio.get_running_loop(), set[asyncio.Task[object]]()

    def on_stop() -> None:
        if stop.is_set():  # asked twice: at once
            os._exit(STOPPED_HARD)
        stop.set()

    def on_hangup() -> None:
        task: asyncio.Task[object] = asyncio.create_task(outcome(_reload(service, options, manager)))
        background.add(task)
        task.add_done_callback(background.discard)

    await service.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    alive = asyncio.create_task(_keep_alive(manager))
    try:
        manager.ready(f"SFTP on {', '.join(service.listening)}")
        on_ready(service.status())
        await stop.wait()
        manager.stopping()
    finally:
        alive.cancel()
        ended = await service.stop()
    return 0 if ended else STOPPED_HARD


async def _reload(service: GatewayService, options: GatewayOptions, manager: ServiceManager) -> None:
    manager.reloading()
    try:
        for sentence in await service.reload(load_document(options.config)) or ["the settings are read again"]:
            log.emit(logging.INFO, Event.SETTINGS_READ, {"message": sentence})
    except LakelinkError as error:
        fields: dict[log.Field, log.Value] = {"code": error.code, "message": error.message, "hint": error.hint}
        log.emit(logging.ERROR, Event.SETTINGS_REFUSED, fields)
    finally:
        manager.ready(f"SFTP on {', '.join(service.listening)}")


async def _keep_alive(manager: ServiceManager) -> None:
    if not manager.watchdog_s:
        return
    while True:
        manager.alive()
        await asyncio.sleep(manager.watchdog_s / 3)
