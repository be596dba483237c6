"""A location whose trouble as a whole is a halt of its link, with the code and the advice of that halt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Literal, NoReturn, TypeVar

from lakelink.errors import LakelinkError
from lakelink.links.halts import halt_of
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, Read, SetPosix, Write
from lakelink.locations.content import Content
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.entry import Entry

A = TypeVar("A")


class Halting(Delegating):
    """`inner`, as one side of a link. Only what a verb raises is translated; the trouble of one path stays a value."""

    def __init__(self, inner: Location, side: Literal["files", "lake"], where: str) -> None:
        """`where`: the directory or URL, for people."""
        super().__init__(inner)
        self._side: Literal["files", "lake"] = side
        self._where = where

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        try:
            async for batch in self.inner.scan(excludes):
                yield batch
        except LakelinkError as error:
            self._raise(error)

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        return await self._halting(self.inner.stat(paths))

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        return await self._halting(self.inner.read(reads))

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        return await self._halting(self.inner.write(writes))

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        return await self._halting(self.inner.delete(deletes))

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        return await self._halting(self.inner.set_posix(changes))

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        return await self._halting(self.inner.copy(copies))

    async def flush(self) -> None:
        await self._halting(self.inner.flush())

    async def _halting(self, call: Awaitable[A]) -> A:
        try:
            return await call
        except LakelinkError as error:
            self._raise(error)

    def _raise(self, error: LakelinkError) -> NoReturn:
        halt = halt_of(error, self._side, self._where)
        if halt is None or halt is error:
            raise error
        raise halt from error
