"""The daemon's interface: typed calls by HTTP over a Unix socket, bounded in number, size and time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from lakelink.api.calls import CALLS, VERSION, Call, GetStatus
from lakelink.api.failure import failure_of
from lakelink.api.principal import Principal
from lakelink.daemon import endpoint
from lakelink.daemon.http import HEAD_BYTES, BadRequest, HttpRequest, read_request, response_head
from lakelink.daemon.supervise import outcome
from lakelink.errors import LakelinkError, NotFound, NotPermitted, Unreachable, UsageError
from lakelink.obs import log
from lakelink.obs.log import Event

CONNECTIONS = 64
BEAT_S = 2.0
ANSWER_WITHIN_S = 50.0  # a little less than clients wait, so that they hear why
WRITE_WITHIN_S = 20.0  # a reader that takes nothing for so long is gone
JSON = "application/json"
LINES = "application/jsonl"

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Asked:
    """A call and who asks. A handler of a long call may `beat` as often as it likes; the newest value is sent now and then."""

    call: Call[Any]
    principal: Principal
    beat: Callable[[Any], None]


Handler = Callable[[Asked], Awaitable[Any]]


class ApiServer:
    """Listens on the socket of a state directory, and hands each call to `handler`, which answers or raises a LakelinkError."""

    def __init__(self, state_dir: Path, handler: Handler) -> None:
        self._state_dir = state_dir
        self._handler = handler
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. The daemon's lock is held.

        Raises:
            OSError: the socket cannot be made.
        """
        listener = endpoint.listen(self._state_dir)
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=HEAD_BYTES)

    async def aclose(self) -> None:
        """Take no more calls and end those under way. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        endpoint.remove(self._state_dir)
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not inside a task")
        crowd = len(self._open)
        self._open.add(task)
        try:
            if crowd < CONNECTIONS:
                await self._converse(reader, writer)
            elif crowd < 2 * CONNECTIONS:  # beyond that it is not even told
                await self._turn_away(reader, writer)
        except (OSError, TimeoutError):  # the asker is gone; there is nobody to tell
            pass
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request is None:
                return
            principal = _principal(writer)
            principal.check()
            call = _call_of(request)
        except BadRequest as error:
            await _send(writer, error.status, {"failure": failure_of(UsageError(error.reason))})
            return
        except LakelinkError as error:
            await _send(writer, _status_of(error), {"failure": failure_of(error)})
            return
        log.emit(logging.DEBUG, Event.CALL_TAKEN, {"call": call.name, "uid": principal.uid, "pid": principal.pid})
        if call.long:
            await self._stream(call, principal, reader, writer)
            return
        answer = await outcome(self._answer(Asked(call, principal, lambda _: None)))
        if isinstance(answer, LakelinkError):
            await _send(writer, _status_of(answer), {"failure": failure_of(answer)})
        else:
            await _send(writer, HTTPStatus.OK, answer)

    async def _turn_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Who is not heard to the end gets a broken pipe instead of the reason."""
        with contextlib.suppress(BadRequest):
            await read_request(reader)
        busy = Unreachable(f"{CONNECTIONS} calls are under way", hint="Ask again in a moment.")
        await _send(writer, HTTPStatus.SERVICE_UNAVAILABLE, {"failure": failure_of(busy)})

    async def _answer(self, asked: Asked) -> Any:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._handler(asked)
        except TimeoutError as error:
            raise Unreachable(
                f"{asked.call.name} was not answered within {ANSWER_WITHIN_S:.0f} s",
                hint="Whether it was done is not known; it may be asked again.",
            ) from error

    async def _stream(
        self, call: Call[Any], principal: Principal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A long call: JSON lines until it is done, or the asker is gone, which ends it."""
        news = _News()
        work = asyncio.ensure_future(outcome(self._handler(Asked(call, principal, news.tell))))
        left = asyncio.ensure_future(reader.read(1))
        try:
            writer.write(response_head(HTTPStatus.OK, LINES, None))
            async for beat in news.until(work, left):
                await _write(writer, _encode({"beat": beat}) + b"\n")
            if work.done():
                answer = work.result()
                failed = isinstance(answer, LakelinkError)
                line = {"failure": failure_of(answer)} if failed else {"answer": answer}
                await _write(writer, _encode(line) + b"\n")
        finally:
            for future in (work, left):
                future.cancel()
            await asyncio.gather(work, left, return_exceptions=True)


class _News:
    """The newest beat of a long call; older ones that were not sent are dropped."""

    def __init__(self) -> None:
        self._fresh = asyncio.Event()
        self._value: Any = None

    def tell(self, value: Any) -> None:
        self._value = value
        self._fresh.set()

    async def until(self, *ends: asyncio.Future[Any]) -> AsyncIterator[Any]:
        """Beats, at least one every `BEAT_S`, until one of the ends is done."""
        while not any(end.done() for end in ends):
            fresh = asyncio.ensure_future(self._fresh.wait())
            await asyncio.wait([fresh, *ends], timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            fresh.cancel()
            self._fresh.clear()
            value, self._value = self._value, None
            if value is not None or not any(end.done() for end in ends):
                yield value


def _principal(writer: asyncio.StreamWriter) -> Principal:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, gid = _PEER.unpack(raw)
    return Principal(uid, gid, pid)


def _call_of(request: HttpRequest) -> Call[Any]:
    prefix = f"/v{VERSION}/"
    if (request.method, request.target) == ("GET", f"{prefix}status"):  # for people with curl
        return GetStatus()
    kind = CALLS.get(request.target.removeprefix(prefix)) if request.target.startswith(prefix) else None
    if kind is None:
        raise NotFound(f"there is no call {request.target}", hint=f"Known below {prefix}: {', '.join(sorted(CALLS))}.")
    if request.method != "POST":
        raise UsageError(f"{request.target} is called by POST")
    try:
        call: Call[Any] = msgspec.json.decode(request.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{kind.name}: {error}", hint="Are the command and the daemon of one version?") from error
    return call


def _status_of(error: LakelinkError) -> HTTPStatus:
    match error:
        case NotFound():
            return HTTPStatus.NOT_FOUND
        case NotPermitted():
            return HTTPStatus.FORBIDDEN
        case UsageError():
            return HTTPStatus.BAD_REQUEST
        case Unreachable():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR if error.exit_code == 70 else HTTPStatus.CONFLICT


async def _send(writer: asyncio.StreamWriter, status: HTTPStatus, document: Any) -> None:
    body = _encode(document)
    await _write(writer, response_head(status, JSON, len(body)) + body)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(WRITE_WITHIN_S):
        await writer.drain()
