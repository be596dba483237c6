"""The daemon as a process: its lock, its signals, its word to the service manager, from start to a clean stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakelink import __version__
from lakelink.api.answers import Daemon
from lakelink.config.document import Document, find_document, load_document
from lakelink.config.serve import Address, ServeSettings, read_serve
from lakelink.daemon import process
from lakelink.daemon.gateway import GatewayOptions, check_gateway
from lakelink.daemon.gateway_keeper import GatewayKeeper
from lakelink.daemon.gateway_metrics import gateway_families
from lakelink.daemon.handlers import Handlers
from lakelink.daemon.lake_feeds import start_webhook
from lakelink.daemon.lock import daemon_lock
from lakelink.daemon.metrics import render
from lakelink.daemon.notify import ServiceManager
from lakelink.daemon.opening import LinkOpener
from lakelink.daemon.scrape import MetricsServer
from lakelink.daemon.server import ApiServer
from lakelink.daemon.supervise import outcome
from lakelink.daemon.supervisor import Supervisor
from lakelink.errors import LakelinkError, StorageError
from lakelink.gateway.telling import Changed
from lakelink.obs import log
from lakelink.obs.log import Event
from lakelink.watch.lake import LakeFeeds
from lakelink.watch.notices import Notices
from lakelink.watch.s3_events import KeyEvent
from lakelink.watch.webhook import WebhookReceiver

TELL_EVERY_S = 1.0
GRACE_S = 3.0  # beyond the deadline of a stop, for what does not hear any more
STOPPED_HARD = 1
VIEWS_WITHIN_S = 300.0  # then it says that it serves all the same


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says; it wins over the settings."""

    state_dir: Path
    config: str | None = None
    metrics: Address | None = None
    on_ready: Callable[[Daemon], None] = lambda _: None
    log_form: str = "text"  # of what workers of a gateway say


def serve(options: ServeOptions) -> int:
    """Run until SIGTERM or SIGINT; 0 when every link ended in time.

    Raises:
        Busy: another daemon serves this state directory. ConfigError, Refused: the settings are wrong; no link was taken up.
        StorageError: the state directory cannot be used.
    """
    process.raise_file_limit()
    document = load_document(options.config)
    settings = read_serve(document)
    with daemon_lock(options.state_dir):
        return asyncio.run(_Daemon(options, document, settings).run())


class _Daemon:
    def __init__(self, options: ServeOptions, document: Document, settings: ServeSettings) -> None:
        self._options = options
        self._settings = settings
        self._document = document
        self._manager = ServiceManager()
        self._stop = asyncio.Event()
        self._started_ns = time.time_ns()
        self._metrics: MetricsServer | None = None
        self._webhook: WebhookReceiver | None = None
        self._notices: Notices | None = None
        self._gateway = GatewayKeeper(
            GatewayOptions(
                state_dir=options.state_dir,
                config=options.config,
                log_form=options.log_form,
                on_changed=self._changed,
            )
        )
        self._settings_error = ""
        self._said = ""  # to the service manager
        self._reloading = asyncio.Lock()

    async def run(self) -> int:
        state_dir = self._options.state_dir
        async with AsyncExitStack() as stack:
            self._webhook = await start_webhook(self._settings.webhook)
            lake_feeds = LakeFeeds(self._webhook)
            self._notices = lake_feeds.notices
            stack.push_async_callback(lake_feeds.aclose)
            opener = LinkOpener(state_dir, lambda: supervisor.document, lake_feeds)
            supervisor = Supervisor(state_dir, self._document, opener)
            handlers = Handlers(supervisor, self._describe, lambda: self._reload(supervisor), self._gateway)
            await self._start_metrics(supervisor, stack)
            told = supervisor.start()
            server = ApiServer(state_dir, handlers)
            try:
                await server.start()
            except OSError as error:
                raise StorageError(
                    f"the socket in {state_dir} cannot be made: {error.strerror}", hint="Check the directory's rights."
                ) from error
            stack.push_async_callback(server.aclose)
            stack.push_async_callback(self._gateway.stop, 0.0)
            self._listen_to_signals(supervisor)
            await self._unless_stopped(self._gateway.start(self._document))
            tasks = [asyncio.create_task(self._tell(supervisor)), asyncio.create_task(self._keep_alive())]
            await self._unless_stopped(supervisor.views(), VIEWS_WITHIN_S)
            self._announce(supervisor, told)
            await self._stop.wait()
            self._manager.stopping()
            await self._gateway.stop()  # first, so that links still carry what was just uploaded
            hard = self._stop_hard_after(self._settings.stop_within_s + GRACE_S)
            for task in tasks:
                task.cancel()
            await server.aclose()
            in_time = await supervisor.stop(self._settings.stop_within_s)
            hard.cancel()
        log.emit(logging.INFO, Event.DAEMON_STOPPED, {"pid": os.getpid(), "exit_code": 0 if in_time else STOPPED_HARD})
        if not in_time:
            # A task that does not hear would be waited for without end; power may fail at any moment, and this is no worse.
            logging.shutdown()
            os._exit(STOPPED_HARD)
        return 0

    def _changed(self, change: Changed) -> None:
        """A user of the gateway changed something in the lake: links hear of it from us, whatever the store tells and when."""
        if self._notices is not None:
            self._notices.tell(KeyEvent(change.bucket, change.key, subtree=change.subtree))

    def _describe(self) -> Daemon:
        used = process.usage()
        settings = find_document(self._options.config)
        return Daemon(
            pid=os.getpid(),
            version=__version__,
            uid=os.geteuid(),
            started_ns=self._started_ns,
            state_dir=os.fsdecode(os.fsencode(self._options.state_dir)),
            settings=str(settings or ""),
            settings_error=self._settings_error,
            metrics=self._metrics.url if self._metrics else "",
            webhook=self._webhook.url if self._webhook else "",
            open_files=used.open_files,
            max_open_files=used.max_open_files,
            threads=used.threads,
            rss_bytes=used.rss_bytes,
        )

    async def _start_metrics(self, supervisor: Supervisor, stack: AsyncExitStack) -> None:
        address = self._options.metrics or self._settings.metrics
        if address is None:
            return

        def page() -> str:
            started_s = self._started_ns / 1e9
            more = gateway_families(self._gateway.condition(), self._gateway.status())
            used = process.usage()
            return render(supervisor.statuses(), used, started_s=started_s, version=__version__, more=more)

        server = MetricsServer(address.host, address.port, page)
        await server.start()
        stack.push_async_callback(server.aclose)
        self._metrics = server

    def _announce(self, supervisor: Supervisor, told: list[str]) -> None:
        for sentence in told:
            log.emit(logging.INFO, Event.SETTINGS_READ, {"message": sentence})
        count = len(supervisor.statuses())
        log.emit(logging.INFO, Event.DAEMON_STARTED, {"pid": os.getpid(), "links": count})
        self._manager.ready(_links(count))
        self._options.on_ready(self._describe())

    async def _unless_stopped(self, work: Coroutine[Any, Any, None], within_s: float | None = None) -> None:
        """Do it to its end, or until the daemon is to stop, or for so long."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._wait_for_stop())]
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    def _listen_to_signals(self, supervisor: Supervisor) -> None:
        loop = asyncio.get_running_loop()
        background: set[asyncio.Task[object]] = set()

        def on_hangup() -> None:
            task: asyncio.Task[object] = asyncio.create_task(outcome(self._reload(supervisor)))
            background.add(task)
            task.add_done_callback(background.discard)

        def on_stop() -> None:
            if self._stop.is_set():  # asked twice: at once
                os._exit(STOPPED_HARD)
            self._stop.set()

        loop.add_signal_handler(signal.SIGHUP, on_hangup)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_stop)

    async def _reload(self, supervisor: Supervisor) -> list[str]:
        """Read the settings again; wrong ones change nothing, and `status` says so until they are right."""
        async with self._reloading:
            self._manager.reloading()
            try:
                document = load_document(self._options.config)
                settings = read_serve(document)
                check_gateway(document)
                told = await supervisor.reload(document)
                told += await self._gateway.reload(document)
            except LakelinkError as error:
                self._settings_error = error.message
                log.emit(
                    logging.ERROR,
                    Event.SETTINGS_REFUSED,
                    {"code": error.code, "message": error.message, "hint": error.hint},
                )
                raise
            finally:
                self._manager.ready(_links(len(supervisor.statuses())))
            self._settings_error = ""
            was = self._settings
            if (settings.metrics, settings.webhook) != (was.metrics, was.webhook):
                told.append("where [serve] listens is taken over when the daemon is started again")
            self._settings = settings
            for sentence in told or ["nothing has changed"]:
                log.emit(logging.INFO, Event.SETTINGS_READ, {"message": sentence})
            return told

    async def _tell(self, supervisor: Supervisor) -> None:
        """Changes of state to the log, the sum of all to the service manager."""
        while True:
            await outcome(self._tell_once(supervisor))
            await asyncio.sleep(TELL_EVERY_S)

    async def _tell_once(self, supervisor: Supervisor) -> None:
        supervisor.tell_changes()
        statuses = supervisor.statuses()
        bad = [status.name for status in statuses if status.reason]
        gateway = self._gateway.condition()
        bad += ["the gateway"] if gateway is not None and gateway.reason else []
        now = _links(len(statuses)) + (f", in trouble: {', '.join(bad)}" if bad else "")
        if now != self._said:
            self._said = now
            self._manager.status(now)

    async def _keep_alive(self) -> None:
        """The service manager's watchdog: it restarts a daemon whose loop does not turn any more."""
        if not self._manager.watchdog_s:
            return
        while True:
            self._manager.alive()
            await asyncio.sleep(self._manager.watchdog_s / 3)

    def _stop_hard_after(self, seconds: float) -> threading.Timer:
        """A thread and not the loop keeps this time, since a loop that hangs is one reason to be stopped."""
        timer = threading.Timer(seconds, os._exit, [STOPPED_HARD])
        timer.daemon = True
        timer.start()
        return timer


def _links(count: int) -> str:
    return f"{count} link{'' if count == 1 else 's'}"
