"""The hub as a worker sees it: over its control socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from lakelink.errors import Unreachable
from lakelink.gateway.server.wire import (
    Admits,
    Answer,
    Close,
    Drain,
    Failed,
    FromWorker,
    Hello,
    Kick,
    Open,
    Report,
    decode_to_worker,
    line_of,
)
from lakelink.model.gateway import LiveSession

ANSWERED_WITHIN_S = 5.0


class RemoteHub:
    """Implements `Hub`. `listen` has to run meanwhile; when it returns, the gateway is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}

    async def listen(self, on_kick: Callable[[list[str]], None], on_drain: Callable[[float], None]) -> None:
        """Heed what comes, until the other end is gone."""
        while line := await self._reader.readline():
            match decode_to_worker(line):
                case Answer() as answer:
                    future = self._asked.get(answer.id)
                    if future is not None and not future.done():
                        future.set_result(answer)
                case Kick(sessions):
                    on_kick(sessions)
                case Drain(within_s):
                    on_drain(within_s)

    def hello(self, pid: int) -> None:
        self._tell(Hello(pid))

    async def admits(self, address: str) -> bool:
        number = next(self._numbers)
        return (await self._ask(number, Admits(number, address))).admitted

    async def failed(self, address: str, user: str) -> float:
        number = next(self._numbers)
        return (await self._ask(number, Failed(number, address, _text(user)))).delay_s

    async def open(self, session: LiveSession, most: int) -> str:
        number = next(self._numbers)
        return (await self._ask(number, Open(number, session, most))).refusal

    def report(self, sessions: list[LiveSession], counts: dict[str, int], half_open: int) -> None:
        self._tell(Report(sessions, counts, half_open))

    def close(self, session_id: str) -> None:
        self._tell(Close(session_id))

    async def _ask(self, number: int, question: FromWorker) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            self._tell(question)
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await future
        except TimeoutError as error:
            raise Unreachable("the gateway does not answer its worker", hint="Is it stopping?") from error
        finally:
            del self._asked[number]

    def _tell(self, message: FromWorker) -> None:
        if not self._writer.is_closing():
            self._writer.write(line_of(message))


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
