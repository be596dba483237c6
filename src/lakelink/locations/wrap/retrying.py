"""Trouble that may pass is waited out: exponential backoff with full jitter, bounded in attempts.

What may be repeated is said by the error itself (`retry is LATER`). A precondition is never repeated: when the answer of a write was
lost and the repetition is told that the target has moved, that is the answer, since nobody knows whose version is there. Look again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from lakelink.core.backoff import Backoff
from lakelink.errors import Corrupt, LakelinkError, Retry
from lakelink.locations.base import Batch, Copy, Delete, Excludes, Location, Read, SetPosix, Write
from lakelink.locations.content import Content
from lakelink.locations.wrap.delegating import Delegating, DelegatingContent
from lakelink.model.entry import Entry
from lakelink.ports.clock import Clock
from lakelink.ports.random import Random

Q = TypeVar("Q")
A = TypeVar("A")


class Patience:
    """The pauses of one call: `again` waits, and says whether there is another try."""

    def __init__(self, backoff: Backoff, clock: Clock, random: Random) -> None:
        self._backoff, self._clock, self._random = backoff, clock, random
        self._attempt = 0

    async def again(self, error: LakelinkError) -> bool:
        if error.retry is not Retry.LATER or not self._backoff.may_repeat(self._attempt):
            return False
        await self._clock.sleep(self._backoff.delay_s(self._attempt, self._random.uniform()))
        self._attempt += 1
        return True


class Retrying(Delegating):
    """`inner`, patiently. An error that is left after all attempts is answered or raised as it came."""

    def __init__(self, inner: Location, backoff: Backoff, clock: Clock, random: Random) -> None:
        super().__init__(inner)
        self._backoff, self._clock, self._random = backoff, clock, random

    def _patience(self) -> Patience:
        return Patience(self._backoff, self._clock, self._random)

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        """Repeated from the start while nothing was handed out; later, a scan that breaks is an error, never shorter."""
        patience = self._patience()
        begun = False
        while True:
            try:
                async for batch in self.inner.scan(excludes):
                    begun = True
                    yield batch
            except LakelinkError as error:
                if begun or not await patience.again(error):
                    raise
            else:
                return

    async def stat(self, paths: Sequence[str]) -> list[Entry | LakelinkError | None]:
        return await self._each(self.inner.stat, paths)

    async def read(self, reads: Sequence[Read]) -> list[Content | LakelinkError]:
        answers = await self._each(self.inner.read, reads)
        ranges = self.traits.ranges
        return [
            a
            if isinstance(a, LakelinkError) or a.size_bytes is None
            else RetryingContent(a, self._patience, ranges=ranges)
            for a in answers
        ]

    async def write(self, writes: Sequence[Write]) -> list[Entry | LakelinkError]:
        # A pipe cannot be read twice: its write is tried once.
        return await self._each(
            self.inner.write, writes, lambda write: write.content is None or write.content.size_bytes is not None
        )

    async def delete(self, deletes: Sequence[Delete]) -> list[LakelinkError | None]:
        return await self._each(self.inner.delete, deletes)

    async def set_posix(self, changes: Sequence[SetPosix]) -> list[Entry | LakelinkError]:
        return await self._each(self.inner.set_posix, changes)

    async def copy(self, copies: Sequence[Copy]) -> list[Entry | LakelinkError]:
        return await self._each(self.inner.copy, copies)

    async def flush(self) -> None:
        patience = self._patience()
        while True:
            try:
                return await self.inner.flush()
            except LakelinkError as error:
                if not await patience.again(error):
                    raise

    async def _each(
        self,
        verb: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        wanted: Sequence[Q],
        repeatable: Callable[[Q], bool] = lambda _: True,
    ) -> list[A]:
        """Answers in the order of `wanted`; only the paths whose trouble may pass are asked for again."""
        answers: dict[int, A] = {}
        open_ones = list(range(len(wanted)))
        patience = self._patience()
        while True:
            try:
                got = await verb([wanted[i] for i in open_ones])
            except LakelinkError as error:
                if not all(repeatable(wanted[i]) for i in open_ones) or not await patience.again(error):
                    raise
                continue
            answers.update(zip(open_ones, got, strict=True))
            open_ones = [i for i in open_ones if _may_pass(answers[i]) and repeatable(wanted[i])]
            errors = [answer for i in open_ones if isinstance(answer := answers[i], LakelinkError)]
            if not errors or not await patience.again(errors[0]):
                return [answers[i] for i in range(len(wanted))]


def _may_pass(answer: object) -> bool:
    return isinstance(answer, LakelinkError) and answer.retry is Retry.LATER


class RetryingContent(DelegatingContent):
    """A content is of one version, so it can be taken up again where it broke off."""

    def __init__(self, inner: Content, patience: Callable[[], Patience], *, ranges: bool) -> None:
        super().__init__(inner)
        self._patience = patience
        self._ranges = ranges

    async def load(self) -> bytes:
        return await self._whole(self.inner.load)

    async def pour(self, fd: int) -> int:
        return await self._whole(lambda: self.inner.pour(fd))

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        patience = self._patience()
        done = 0
        while True:
            try:
                async for chunk in self._from(start, end, done):
                    done += len(chunk)
                    yield chunk
            except LakelinkError as error:
                # A checksum that is off says nothing about where: bytes already handed out may be the bad ones.
                if (done and isinstance(error, Corrupt)) or not await patience.again(error):
                    raise
            else:
                return

    async def _from(self, start: int, end: int | None, done: int) -> AsyncIterator[bytes]:
        """The chunks from `start` + `done` on; without ranges, by reading over what was handed out already."""
        skip = 0 if self._ranges else done
        async for chunk in self.inner.chunks(start + done - skip, end):
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(0, skip - len(chunk))

    async def _whole(self, read: Callable[[], Awaitable[A]]) -> A:
        patience = self._patience()
        while True:
            try:
                return await read()
            except LakelinkError as error:
                if not await patience.again(error):
                    raise
