"""The port where metrics are read: `GET /metrics`, and `GET /healthz` for whoever only wants to know whether the loop turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from lakelink.daemon.http import HEAD_BYTES, BadRequest, HttpRequest, read_request, response_head
from lakelink.daemon.metrics import CONTENT_TYPE
from lakelink.errors import ConfigError

CONNECTIONS = 16
WRITE_WITHIN_S = 20.0
PLAIN = "text/plain; charset=utf-8"


class MetricsServer:
    """Answers scrapes with what `page` returns at that moment."""

    def __init__(self, host: str, port: int, page: Callable[[], str]) -> None:
        self._host, self._port, self._page = host, port, page
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is read."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/metrics"

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the port cannot be had.
        """
        try:
            self._server = await asyncio.start_server(self._accepted, self._host, self._port, limit=HEAD_BYTES)
        except OSError as error:
            raise ConfigError(
                f"metrics cannot be served on {self._host}:{self._port}: {error.strerror or error}",
                hint="Choose another port, for example --metrics 9464.",
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """Stop listening. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: asyncio leaves a connection open whose task is cancelled before its first step.
        task = asyncio.create_task(self._connected(reader, writer))
        self._open.add(task)
        task.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not writer.is_closing() or writer.transport.get_write_buffer_size():
            writer.transport.abort()  # the asker takes too long, or the daemon ends

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) > CONNECTIONS:
            return
        with contextlib.suppress(OSError):  # also TimeoutError; the asker is gone
            writer.write(await self._reply(reader))
            async with asyncio.timeout(WRITE_WITHIN_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = await read_request(reader)
        except BadRequest as error:
            return _answer(error.status, PLAIN, f"{error.reason}\n")
        return self._respond(request) if request else b""

    def _respond(self, request: HttpRequest) -> bytes:
        match request.method, request.target.partition("?")[0]:
            case "GET" | "HEAD", "/metrics":
                return _answer(HTTPStatus.OK, CONTENT_TYPE, self._page(), head=request.method == "HEAD")
            case "GET" | "HEAD", "/healthz":
                return _answer(HTTPStatus.OK, PLAIN, "ok\n", head=request.method == "HEAD")
            case _:
                return _answer(HTTPStatus.NOT_FOUND, PLAIN, "metrics are at /metrics\n")


def _answer(status: HTTPStatus, content_type: str, text: str, *, head: bool = False) -> bytes:
    body = text.encode("utf-8")
    return response_head(status, content_type, len(body)) + (b"" if head else body)
