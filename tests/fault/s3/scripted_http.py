"""A tiny HTTP server on loopback that does what a script says: real sockets, real resets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    connection: int = 0


class Reset(Exception):
    """Close the connection with RST instead of an answer."""


class Hang(Exception):
    """Never answer."""


@dataclass
class Reply:
    """An answer; `raw` goes out as it is."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    reset_after: bool = False
    pause_s: float = 0.0

    def encoded(self, *, head: bool) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Length": str(len(self.body))} | self.headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Said\r\n{lines}\r\n".encode() + (b"" if head else self.body)


Handler = Callable[[Seen], Reply | Awaitable[Reply]]


class ScriptedServer:
    """`async with ScriptedServer(handler) as server`: `server.url`, and `server.seen` in order."""

    def __init__(self, handler: Handler, ssl=None):
        self.handler = handler
        self.seen: list[Seen] = []
        self.connections = 0
        self._ssl = ssl
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._open:
            with contextlib.suppress(AttributeError):  # it is gone already: asyncio knows nothing of it any more
                writer.transport.abort()
        await asyncio.sleep(0)

    def _accepted(self, reader, writer):
        # No coroutine: asyncio leaves a connection open whose task is cancelled before its first step.
        self.connections += 1
        self._open.add(writer)
        self._tasks.add(asyncio.create_task(self._serve(reader, writer, self.connections)))

    async def _serve(self, reader, writer, number):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = first.split(" ", 2)
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
                if method == "CONNECT":
                    seen = Seen(method, target, headers, connection=number)
                else:
                    body = await reader.readexactly(int(headers.get("content-length") or 0))
                    seen = Seen(method, target, headers, body, number)
                self.seen.append(seen)
                try:
                    reply = self.handler(seen)
                    if asyncio.iscoroutine(reply):
                        reply = await reply
                except Reset:
                    _reset(writer)
                    return
                except Hang:
                    await asyncio.Event().wait()
                if reply.pause_s:
                    await asyncio.sleep(reply.pause_s)
                writer.write(reply.encoded(head=method == "HEAD"))
                await writer.drain()
                if reply.reset_after:
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


def _reset(writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def error(status: int, code: str, **headers: str) -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
    return Reply(status, body, headers)


LISTING = (
    b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
    b"<Contents><Key>p/a</Key><LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>1</Size></Contents>"
    b"</ListBucketResult>"
)
