"""The hub as a worker sees it: over its control socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from lakelink.errors import Unreachable
from lakelink.gateway.server.pace import Ahead
from lakelink.gateway.server.wire import (
    Answer,
    Arrive,
    Change,
    Close,
    Drain,
    Failed,
    FromWorker,
    Hello,
    Kick,
    Moved,
    Open,
    Report,
    Settled,
    decode_to_worker,
    line_of,
)
from lakelink.gateway.telling import Changed
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

    async def arrive(self, token: str, address: str) -> str:
        number = next(self._numbers)
        return (await self._ask(number, Arrive(number, token, address))).refusal

    def settled(self, token: str) -> None:
        self._tell(Settled(token))

    async def failed(self, address: str, user: str) -> float:
        number = next(self._numbers)
        return (await self._ask(number, Failed(number, address, _text(user)))).delay_s

    async def open(self, session: LiveSession, most: int) -> str:
        number = next(self._numbers)
        return (await self._ask(number, Open(number, session, most))).refusal

    async def moved(self, user: str, bytes_per_s: int, up_bytes: int, down_bytes: int) -> Ahead:
        number = next(self._numbers)
        answer = await self._ask(number, Moved(number, _text(user), bytes_per_s, up_bytes, down_bytes))
        return Ahead(answer.up_s, answer.down_s)

    def report(self, sessions: list[LiveSession], counts: dict[str, int]) -> None:
        self._tell(Report(sessions, counts))

    def changed(self, change: Changed) -> None:
        self._tell(Change(change.bucket, change.key, change.subtree))

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
