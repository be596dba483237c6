"""The engine: bytes of a client in, bytes for it out. It knows no transport; whoever has one feeds it and takes what it sends.

Requests are worked on in the order in which they come, one at a time, as servers have always done it: what can be answered without waiting
is answered while it is fed, the rest by `run`. What is received and not worked on yet, and what is sent and not taken yet, are bounded
by the two sides telling each other to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from lakelink.errors import LakelinkError
from lakelink.gateway.sftp import files, names
from lakelink.gateway.sftp.eager import Begun
from lakelink.gateway.sftp.extensions import EXTENSIONS, Handler, offer
from lakelink.gateway.sftp.session import Session
from lakelink.gateway.sftp.status import Status, sentence_of, status_of, status_packet
from lakelink.gateway.sftp.wire import UINT32, VERSION, Fields, Framer, Malformed, Op, TooLong, packet

_HANDLERS: Mapping[int, tuple[str, Handler]] = {
    Op.OPEN: ("open", files.open_file),
    Op.CLOSE: ("close", files.close),
    Op.LSTAT: ("lstat", names.lstat),
    Op.FSTAT: ("fstat", files.fstat),
    Op.SETSTAT: ("setstat", names.setstat),
    Op.FSETSTAT: ("fsetstat", files.fsetstat),
    Op.OPENDIR: ("opendir", names.opendir),
    Op.READDIR: ("readdir", names.readdir),
    Op.REMOVE: ("remove", names.remove),
    Op.MKDIR: ("mkdir", names.mkdir),
    Op.RMDIR: ("rmdir", names.rmdir),
    Op.REALPATH: ("realpath", names.realpath),
    Op.STAT: ("stat", names.stat),
    Op.RENAME: ("rename", names.rename),
    Op.READLINK: ("readlink", names.readlink),
    Op.SYMLINK: ("symlink", names.symlink),
}
_AUDITED = frozenset({"open", "remove", "mkdir", "rmdir", "rename", "symlink", "setstat"})  # also when they fail
_WRITE_HEADER_BYTES = 64

Answer = bytes | memoryview
Waiting: TypeAlias = Coroutine[Any, Any, bytes]


class Ended(Exception):
    """The session is over: its client broke the protocol, or is gone."""


class Engine:
    """One session. `send` takes a whole answer and has copied it, or is done with it, when it returns. `sent` is called where no more answers
    follow at once, unless that is at the end of `feed`.
    """

    def __init__(self, session: Session, send: Callable[[Answer], None], sent: Callable[[], None]) -> None:
        self._session = session
        self._send = send
        self._sent = sent
        limits = session.limits
        self._framer = Framer(max(limits.packet_bytes, limits.write_bytes + _WRITE_HEADER_BYTES))
        self._reads = files.Answers(limits.read_bytes)
        self._waiting: tuple[bytes, str, Waiting] | None = None
        self._task: asyncio.Task[Any] | None = None  # that of `run`
        self._begun = False
        self._said_all = False
        self._held_back = False
        self._ended: Exception | None = None
        self._news = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether its transport should not read on for now."""
        return self._framer.held_bytes > self._session.limits.waiting_bytes

    @property
    def is_working(self) -> bool:
        """Whether a request is being worked on."""
        return self._waiting is not None

    def feed(self, data: bytes) -> None:
        """Take what arrived, and answer what can be answered at once."""
        if self._ended is None:
            self._framer.feed(data)
            if self._waiting is None:
                self._go_on()

    def hold_back(self) -> None:
        """The client does not take what was sent: nothing more is worked on until `let_go`."""
        self._held_back = True

    def let_go(self) -> None:
        """The client takes on."""
        self._held_back = False
        if self._waiting is None:
            self._go_on()
        if self._said_all:
            self._news.set()

    def finish(self) -> None:
        """The client has said all: `run` returns once that is worked on."""
        self._said_all = True
        self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """The client is gone, or cannot be understood: `run` returns as soon as what it works on is done."""
        self._ended = self._ended or error or Ended("the client is gone")
        self._news.set()

    async def run(self) -> None:
        """Work on what has to wait, until the session is over; then give up what is still open.

        Cancelled, it gives up what is open too.
        """
        self._task = asyncio.current_task()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting is not None:
                    await self._work()
                if self._ended is not None or (self._said_all and not self._held_back):
                    return
        finally:
            self._task = None
            try:
                await self._give_up()
            finally:
                await self._session.aclose()

    async def _give_up(self) -> None:
        """What was begun, and nobody awaited yet, clears away what it has done so far."""
        if self._waiting is None:
            return
        work, self._waiting = self._waiting[2], None
        if isinstance(work, Begun):
            with contextlib.suppress(asyncio.CancelledError, LakelinkError, Malformed, StopIteration):
                work.cancel()
                await work
        work.close()

    async def _work(self) -> None:
        if self._waiting is None:
            return
        request, name, coroutine = self._waiting
        try:
            answer = await coroutine
        except LakelinkError as error:
            answer = self._refused(request, name, error)
        except Malformed:
            answer = status_packet(request, Status.BAD_MESSAGE)
        finally:
            self._waiting = None
        if self._ended is None:
            self._send(answer)
            self._go_on()
            self._sent()

    def _refused(self, request: bytes, name: str, error: LakelinkError) -> bytes:
        if name in _AUDITED:
            self._session.note(name, "", 0, error.code, reason=error.message)
        return status_packet(request, status_of(error), sentence_of(error))

    def _go_on(self) -> None:
        """Answer packets until one has to wait, there are none, or the client does not take what was sent."""
        while not self._held_back and self._ended is None:
            try:
                data = self._framer.next()
                if data is None:
                    return
                self._handle(data)
            except TooLong as error:
                self.end(error)
            if self._waiting is not None:
                self._news.set()
                return

    def _handle(self, data: memoryview) -> None:
        kind = data[0]
        if not self._begun:
            self._greet(kind, data)
            return
        request = bytes(data[1:5])
        if len(request) < 4:
            raise TooLong("a packet without a request id")
        fields = Fields(data, 5)
        try:
            self._dispatch(kind, request, fields)
        except LakelinkError as error:
            self._send(self._refused(request, "", error))
        except Malformed:
            self._send(status_packet(request, Status.BAD_MESSAGE))

    def _greet(self, kind: int, data: memoryview) -> None:
        if kind != Op.INIT or len(data) < 5:
            raise TooLong("the client does not begin with INIT")
        self._begun = True
        self._send(packet(Op.VERSION, UINT32.pack(VERSION), offer()))

    def _dispatch(self, kind: int, request: bytes, fields: Fields) -> None:
        if kind == Op.WRITE:
            self._write(request, fields)
        elif kind == Op.READ:
            self._read(request, fields)
        elif kind == Op.EXTENDED:
            name = fields.string()
            found = EXTENSIONS.get(name)
            if found is None:
                self._send(status_packet(request, Status.OP_UNSUPPORTED))
            else:
                self._wait(request, name.decode("ascii").partition("@")[0], found[1](self._session, request, fields))
        else:
            handler = _HANDLERS.get(kind)
            if handler is None:
                self._send(status_packet(request, Status.OP_UNSUPPORTED))
            else:
                self._wait(request, handler[0], handler[1](self._session, request, fields))

    def _write(self, request: bytes, fields: Fields) -> None:
        opened = self._session.file(fields.string())
        offset, data = fields.uint64(), fields.span()
        files.require_size(offset + len(data))
        try:
            done = files.write_now(opened, offset, data)
        except LakelinkError as error:
            opened.trouble = error
            raise
        if done:
            self._send(status_packet(request, Status.OK))
        else:
            self._wait(request, "write", files.write(opened, request, offset, data))

    def _read(self, request: bytes, fields: Fields) -> None:
        opened = self._session.file(fields.string())
        span = fields.read_arguments()
        if span[0] > files.MOST_BYTES:
            self._send(status_packet(request, Status.EOF))
            return
        answer = self._reads.read_now(opened, request, span)
        if answer is not None:
            self._send(answer)
        else:
            self._wait(request, "read", files.read(self._session, opened, request, span))

    def _wait(self, request: bytes, name: str, coroutine: Waiting) -> None:
        """Answer at once what turns out not to have to wait: the turns of the loop that a task costs are more than most requests do."""
        if self._task is None:
            self._waiting = (request, name, coroutine)
            return
        try:
            self._waiting = (request, name, Begun(coroutine, self._task))
        except StopIteration as done:
            self._send(done.value)
        except LakelinkError as error:
            self._send(self._refused(request, name, error))
