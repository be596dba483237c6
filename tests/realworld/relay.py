"""An HTTP/1.1 relay between the daemon and the store. It knows where requests begin and end: it counts those that change something, and does
what networks do: cuts a request in the middle, loses an answer whose effect has happened, truncates bodies, delays, resets.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_CHUNK = 1 << 16
_BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
READS = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Weather:
    """How often what happens to a request, in shares of one; `down` = nothing passes at all."""

    cut_request: float = 0.0
    lose_answer: float = 0.0
    truncate_answer: float = 0.0
    reset: float = 0.0
    busy: float = 0.0
    delay: float = 0.0
    longest_delay_s: float = 1.5
    down: bool = False

    @classmethod
    def bad(cls, share: float) -> Weather:
        """All of it, so often in all."""
        each = share / 6
        return cls(each, each, each, each, each, each)


class _Cut(Exception):
    """The connection ends here, by a reset."""


@dataclass(slots=True)
class _Head:
    raw: bytes
    first: str
    length: int
    chunked: bool


class Relay:
    """`endpoint` leads to the store at `port`. Runs in a thread of its own; `weather` may be replaced at any time."""

    def __init__(self, store_port: int, seed: int) -> None:
        self._store_port = store_port
        self._random = random.Random(seed)
        self.weather = Weather()
        self.mutations = 0
        self.changes = 0  # those that could be seen: not the parts of an upload, nor that one is given up
        self.requests = 0
        self.harmed: dict[str, int] = {}
        self.markers: list[
            tuple[str, tuple[float, float]]
        ] = []  # the path of the request without its slash, and when it was put
        self.recent: deque[str] = deque(maxlen=4000)
        self.endpoint = ""
        self._began_s = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._made: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60), "the relay does not listen"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def cut_all(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(lambda: [_reset(writer) for writer in list(self._open)])

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=1 << 20))
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            for writer in self._made:  # also those that are closed but for what the other side did not take
                with suppress(AttributeError):  # it is gone already: asyncio knows nothing of it any more
                    writer.transport.abort()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: asyncio leaves a connection open whose task is cancelled before its first step.
        self._note_open(writer)
        task = self._loop.create_task(self._connected(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note_open(self, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._made.append(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store: asyncio.StreamWriter | None = None
        try:
            back, store = await asyncio.open_connection("127.0.0.1", self._store_port, limit=1 << 20)
            self._note_open(store)
            while await self._exchange((reader, writer), (back, store)):
                pass
        except (_Cut, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _reset(writer)
            if store is not None:
                _reset(store)
        finally:
            for each in (writer, store):
                if each is not None:
                    self._open.discard(each)
                    each.close()

    async def _exchange(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        store: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        """One request and its answer; False when the connection ends."""
        head = await _read_head(client[0])
        if head is None:
            return False
        method = head.first.partition(" ")[0]
        harm = self._harm()
        self._note(head.first, harm)
        if harm in {"reset", "down"}:
            raise _Cut
        if harm == "delay":
            await asyncio.sleep(self._random.random() * self.weather.longest_delay_s)
        if harm == "busy":
            client[1].write(_BUSY)
            await client[1].drain()
            return False
        began_s = time.monotonic()
        store[1].write(head.raw)
        await _pass_body(client[0], store[1], head, cut=harm == "cut_request")
        if harm == "cut_request":
            raise _Cut
        answer = await _read_head(store[0])
        while answer is not None and answer.first.split(" ")[1] == "100":
            client[1].write(answer.raw)
            answer = await _read_head(store[0])
        self._note_marker(head.first, began_s)
        if answer is None or harm == "lose_answer":
            raise _Cut
        client[1].write(answer.raw)
        status = answer.first.split(" ")[1]
        if method != "HEAD" and status not in {"204", "304"}:
            await _pass_body(store[0], client[1], answer, cut=harm == "truncate_answer")
        await client[1].drain()
        if harm == "truncate_answer":
            raise _Cut
        return b"connection: close" not in answer.raw.lower()

    def _note_marker(self, first: str, began_s: float) -> None:
        method, path, _ = first.split(" ", 2)
        if method == "PUT" and path.endswith("/"):
            self.markers.append((unquote(path)[:-1], (began_s, time.monotonic())))

    def _harm(self) -> str:
        weather = self.weather
        if weather.down:
            return "down"
        dice = self._random.random()
        for name in ("cut_request", "lose_answer", "truncate_answer", "reset", "busy", "delay"):
            dice -= getattr(weather, name)
            if dice < 0:
                return name
        return ""

    def _note(self, first: str, harm: str) -> None:
        self.requests += 1
        method = first.partition(" ")[0]
        if method not in READS:
            self.mutations += 1
            self.changes += method == "POST" or "uploadId=" not in first
        if harm:
            self.harmed[harm] = self.harmed.get(harm, 0) + 1
        self.recent.append(f"{time.monotonic() - self._began_s:8.3f}  {first.rpartition(' ')[0]} {harm}")


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_head(reader: asyncio.StreamReader) -> _Head | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = raw.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return _Head(
        raw, first, int(headers.get("content-length", 0)), "chunked" in headers.get("transfer-encoding", "").lower()
    )


async def _pass_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head, *, cut: bool) -> None:
    """The body as it comes; with `cut` about half of it."""
    if head.chunked:
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            writer.write(line)
            await _pass(reader, writer, size // 2 if cut else size + 2)
            if cut or not size:
                return
    await _pass(reader, writer, head.length // 2 if cut else head.length)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
    while left:
        data = await reader.read(min(left, _CHUNK))
        if not data:
            raise _Cut
        writer.write(data)
        left -= len(data)
        await writer.drain()


@contextmanager
def relay_to(endpoint: str, seed: int = 0) -> Iterator[Relay]:
    relay = Relay(urlsplit(endpoint).port or 80, seed)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
