"""An upload to a location that takes bytes in order only.

Small files are held in memory and sent in one go. Larger ones flow on while they arrive, in bounded memory. What comes out of order waits
for what is missing; where that takes too much, or bytes are written twice, all of it is collected in a spool file and sent at the end. Bytes
that were sent on cannot be had back: who writes to them again is refused, and nothing is stored.
"""

from __future__ import annotations

import asyncio

from lakelink.errors import LakelinkError, OutOfOrder, PreconditionFailed
from lakelink.handles.feed import LIMIT_BYTES as FEED_BYTES
from lakelink.handles.feed import Feed
from lakelink.handles.room import Room
from lakelink.handles.spool import Spool, SpoolFile
from lakelink.handles.writer import Target, settled
from lakelink.locations.base import Read, SetPosix, Write
from lakelink.locations.content import BytesContent, Content, ExtendedContent, StreamContent
from lakelink.model.entry import Entry, Expect, Kind, Posix

IN_MEMORY_BYTES = 8 << 20  # up to here a file is sent in one go
EARLY_BYTES = 16 << 20  # that wait for what is missing before them
STREAM_HOLD_BYTES = 32 << 20  # by the location: parts on their way, and the one that is being filled
STREAM_ROOM_BYTES = STREAM_HOLD_BYTES + FEED_BYTES  # what a stream holds in all
_ROOM_STEP_BYTES = 256 << 10


class StreamWriter:
    """See the module, and `Writer`. With `keep_bytes` the file begins as what is there, and that much of it stays."""

    def __init__(self, target: Target, posix: Posix, spool: Spool, room: Room, *, keep_bytes: int = 0) -> None:
        self._target = target
        self.posix = posix
        self.keeps_times = False
        self._spool = spool
        self._room = room
        self._room_taken = 0
        self._base = keep_bytes  # of the old content: what lies behind `_end` shows through
        self._floor = 0  # the file is at least so long
        self._start = self._end = 0  # of what was written in order
        self._pieces: list[bytes] = []
        self._early: dict[int, bytes] = {}
        self._early_bytes = 0
        self._file: SpoolFile | None = None
        self._feed = Feed()
        self._sending: asyncio.Task[Entry] | None = None
        self._sent_posix = posix

    @property
    def size_bytes(self) -> int:
        if self._file is not None:
            return self._file.size_bytes
        early = max((at + len(data) for at, data in self._early.items()), default=0)
        return max(self._end, self._base, self._floor, early)

    def write_now(self, offset: int, data: memoryview) -> bool:
        if self._file is not None or offset != self._end or self._early or not self._feed.has_room:
            return False
        if not data:
            return True
        if self._sending is not None:
            if self._sending.done():
                return False
        elif self._end - self._start + len(data) > IN_MEMORY_BYTES or not self._reserve(self._held + len(data)):
            return False
        self._append(bytes(data))
        return True

    async def write(self, offset: int, data: memoryview) -> None:
        if not data:
            return
        piece = bytes(data)
        if self._file is None and self._takes(offset):
            await self._in_order(offset, piece)
            return
        if (
            self._file is None
            and offset > self._end
            and self._early_bytes + len(piece) <= EARLY_BYTES
            and self._reserve(self._held + len(piece))
        ):
            self._early[offset] = piece
            self._early_bytes += len(piece)
            return
        file = self._file or await self._collect()
        await file.write(offset, piece)

    async def read(self, offset: int, size_bytes: int) -> bytes:
        if self._file is None:
            await self._collect()
        return await self._file.read(offset, size_bytes) if self._file else b""

    async def truncate(self, size_bytes: int) -> None:
        if self._file is not None:
            await self._file.truncate(size_bytes)
            return
        self._floor = size_bytes
        self._base = min(self._base, size_bytes)
        if size_bytes < max(self._end, *(at + len(data) for at, data in self._early.items()), 0):
            if size_bytes == 0 and self._sending is None:
                self._forget()
                return
            file = await self._collect()
            await file.truncate(size_bytes)

    async def commit(self) -> Entry:
        if self._file is None and (self._early or self._floor > max(self._end, self._base)):
            await self._collect()
        posix = settled(self, self._target.clock)
        if self._file is None and self._sending is None and not self._reserve(self._needed_at_the_end()):
            await self._collect()
        if self._file is not None:
            return await self._store(self._file.content(), posix)
        if self._sending is None:
            if max(self._end, self._base) <= IN_MEMORY_BYTES:
                return await self._store(BytesContent(await self._joined()), posix)
            await self._begin()
        await self._push_rest()
        self._feed.end()
        entry = await self._sent()
        if self.keeps_times and self.posix != self._sent_posix:
            entry = await self._describe(entry)
        return entry

    async def discard(self) -> None:
        task, self._sending = self._sending, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        if task is not None and not task.cancelled():
            task.exception()  # seen: whoever discards does not want to hear of it
        if self._file is not None:
            self._file.close()
        self._forget()
        self._room.give(self._room_taken)
        self._room_taken = 0

    # In order

    def _takes(self, offset: int) -> bool:
        """Whether the bytes there are the next ones. The first may begin anywhere in what is there already."""
        return offset == self._end or (not self._held and self._sending is None and offset <= self._base)

    async def _in_order(self, offset: int, piece: bytes) -> None:
        if offset != self._end:
            self._start = self._end = offset
        while True:
            if self._sending is None and self._end - self._start + len(piece) > IN_MEMORY_BYTES:
                if not self._reserve(self._held + STREAM_ROOM_BYTES):
                    file = await self._collect()
                    await file.write(self._end, piece)
                    return
                await self._begin()
            if self._sending is not None:
                await self._take_turn()
            self._append(piece)
            following = self._early.pop(self._end, None)
            if following is None:
                return
            self._early_bytes -= len(following)
            piece = following

    def _append(self, piece: bytes) -> None:
        self._end += len(piece)
        if self._sending is not None:
            self._feed.push(piece)
        else:
            self._pieces.append(piece)

    @property
    def _held(self) -> int:
        return self._early_bytes + (0 if self._sending is not None else self._end - self._start)

    def _reserve(self, wanted_bytes: int) -> bool:
        missing = wanted_bytes - self._room_taken
        if missing <= 0:
            return True
        step = -(-missing // _ROOM_STEP_BYTES) * _ROOM_STEP_BYTES
        if not self._room.take(step):
            return False
        self._room_taken += step
        return True

    def _needed_at_the_end(self) -> int:
        """What is held while all of it is sent: what stays of the old content comes to that."""
        size = max(self._end, self._base)
        if size > IN_MEMORY_BYTES:
            return self._held + STREAM_ROOM_BYTES
        return self._held + (self._base + size if self._base else 0)

    # Sending while it arrives

    async def _begin(self) -> None:
        self._target = await self._target.looked_at()
        self._sent_posix = self.posix = settled(self, self._target.clock)
        pieces, self._pieces = self._pieces, []
        self._sending = asyncio.create_task(self._send())
        for piece in pieces:
            self._feed.push(piece)

    async def _send(self) -> Entry:
        stream = StreamContent(self._feed.chunks, hold_bytes=STREAM_HOLD_BYTES)
        content: Content = stream
        if self._start:
            content = ExtendedContent(await self._old(), self._start, stream)
        return await self._store(content, self._sent_posix)

    async def _take_turn(self) -> None:
        """Returns when there is room in the feed.

        Raises:
            LakelinkError: what ended the sending.
        """
        if self._sending is None or self._feed.has_room:
            return
        room = asyncio.ensure_future(self._feed.room())
        try:
            await asyncio.wait([room, self._sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
        if self._sending.done():
            await self._sent()

    async def _sent(self) -> Entry:
        if self._sending is None:
            raise OutOfOrder("the upload was given up")
        return await asyncio.shield(self._sending)

    async def _push_rest(self) -> None:
        """What was there behind the last byte written stays."""
        if self._base > self._end:
            async for chunk in (await self._old()).chunks(self._end, self._base):
                await self._take_turn()
                self._feed.push(chunk)
                self._end += len(chunk)

    # Out of order

    async def _collect(self) -> SpoolFile:
        """All that the file is so far, in a spool file; from now on everything goes there.

        Raises:
            OutOfOrder: some of it was sent on already. NoSpace: there is no room for it.
        """
        if self._sending is not None:
            raise OutOfOrder(
                "it was written out of order after its beginning had been sent on",
                hint="Let the client write in order: one connection, no segments.",
            )
        file = await self._spool.open()
        try:
            if self._base:
                offset = 0
                async for chunk in (await self._old()).chunks(0, self._base):
                    await file.write(offset, chunk)
                    offset += len(chunk)
            offset = self._start
            for piece in self._pieces:
                await file.write(offset, piece)
                offset += len(piece)
            for at, piece in self._early.items():
                await file.write(at, piece)
            if self._floor > file.size_bytes:
                await file.truncate(self._floor)
        except BaseException:
            file.close()
            raise
        self._file = file
        self._forget()
        return file

    def _forget(self) -> None:
        self._pieces.clear()
        self._early.clear()
        self._early_bytes = 0
        self._start = self._end = 0

    # Storing

    async def _joined(self) -> bytes:
        pieces = self._pieces
        if self._start or self._base > self._end:
            old = await (await self._old()).load()
            pieces = [old[: self._start], *pieces, old[self._end : self._base]]
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []  # nothing is written any more, and it need not be held twice while it is sent
        return joined

    async def _old(self) -> Content:
        before = self._target.before
        if before is None:
            raise OutOfOrder("there is nothing to go on from")
        wanted = Read(self._target.path, before.size_bytes, before.version, fetch=False)
        (content,) = await self._target.location.read([wanted])
        if isinstance(content, LakelinkError):
            raise content
        return content

    async def _store(self, content: Content, posix: Posix) -> Entry:
        while True:
            target = self._target
            (answer,) = await target.location.write([Write(target.path, Kind.FILE, content, posix, target.expect)])
            if not isinstance(answer, LakelinkError):
                return answer
            if not isinstance(answer, PreconditionFailed) or target.look is None:
                raise answer
            self._target = await target.looked_at()  # whatever is there, it is not what was thought

    async def _describe(self, entry: Entry) -> Entry:
        """The metadata that was named after the sending had begun."""
        expect = Expect(entry.version)
        (answer,) = await self._target.location.set_posix([SetPosix(self._target.path, Kind.FILE, self.posix, expect)])
        if isinstance(answer, LakelinkError):
            raise answer
        return answer
