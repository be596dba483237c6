"""One large object into a file: its ranges at once, its checksum taken while the bytes pass, the disk at work from the first range on."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from lakelink.errors import Corrupt, StorageError, Unreachable
from lakelink.locations.s3.checksums import COMBINABLE, Digest, Summer, combine
from lakelink.locations.s3.options import SMALL_BYTES, Checksum
from lakelink.ports.linux import begin_writeback
from lakelink.ports.wire import Chunk

if TYPE_CHECKING:
    from lakelink.locations.s3.download import S3Content

RANGE_BYTES = SMALL_BYTES
MAX_RANGE_BYTES = 32 << 20
RANGES = 16  # or more; fewer, longer ranges leave a server less to begin anew
WRITE_BYTES = 256 << 10
"""At a time. For a larger write the kernel looks for larger pieces of memory: those that no one used for long, and that a virtual machine often
has to get from its host first. Seen to treble the CPU time of a download."""
RESUMES = 8  # of one range; each goes on where the last one stopped
RESUME_PAUSE_S = 0.25


async def pour_ranges(content: S3Content, fd: int, algorithm: str) -> str:
    """Fill a file of the object's size; returns the digest of the bytes that came, "" where no algorithm is named.

    Raises:
        ChangedWhileRead, Corrupt, Unreachable, StorageError …: what is in the file then is of no use. OSError: of the file itself.
    """
    joined = Checksum(algorithm) if algorithm in COMBINABLE else None
    follower = _Follower(algorithm, fd) if algorithm and not joined else None
    range_bytes = min(max(RANGE_BYTES, content.size_bytes // RANGES), MAX_RANGE_BYTES)
    starts = iter(range(0, content.size_bytes, range_bytes))
    parts: dict[int, tuple[str, int]] = {}  # start -> (checksum, size)

    async def lane() -> None:
        for start in starts:
            end = min(start + range_bytes, content.size_bytes)
            text = await _Range(content, fd, (start, end), joined).fetch()
            parts[start] = (text, end - start)
            if follower is not None:
                follower.arrived(start, end)

    try:
        async with asyncio.TaskGroup() as group:
            if follower is not None:
                group.create_task(follower.follow(content.size_bytes))
            for _ in range(min(content.client.options.parts_at_once, -(-content.size_bytes // range_bytes))):
                group.create_task(lane())
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    if joined is not None:
        return combine(joined, [parts[start] for start in sorted(parts)])
    return follower.text if follower is not None else ""


class _Range:
    """The bytes [start, end) on their way into the file; a broken answer is taken up where it stopped."""

    def __init__(self, content: S3Content, fd: int, span: tuple[int, int], algorithm: Checksum | None) -> None:
        self._content = content
        self._fd = fd
        self._start, self._end = span
        self._algorithm = algorithm
        self._overflow = False
        self._begin()

    def _begin(self) -> None:
        self._position = self._start
        self._summer = Summer(self._algorithm) if self._algorithm else None

    async def fetch(self) -> str:
        """All of it is in the file; returns the checksum of these bytes, "" without an algorithm."""
        for attempt in range(RESUMES):
            try:
                await self._once(self._position)
                break
            except Unreachable:
                if attempt + 1 == RESUMES:
                    raise
                if self._position == self._end:
                    self._begin()  # what these bytes are was in the part of the answer that was lost
                await asyncio.sleep(RESUME_PAUSE_S * 2**attempt)
        return self._summer.text if self._summer else ""

    async def _once(self, begin: int) -> None:
        content, end = self._content, self._end
        request = content.get(begin, end)
        request.sink = self._take
        request.bulk_bytes = end - begin
        try:
            response = await content.checked(request)
        except OSError as error:
            if not self._overflow:
                raise
            raise StorageError(
                f"{content.key}: the store does not answer ranges: more bytes came than asked for"
            ) from error
        content.check_range(response, begin, end)
        if self._position != end:
            raise Corrupt(f"{content.key}: the range ended at {self._position} instead of {end}")

    def _take(self, chunk: Chunk) -> None:
        """On a native thread."""
        if self._position + len(chunk) > self._end:
            self._overflow = True
            raise OSError("more bytes than asked for")
        write_all(self._fd, chunk, self._position)
        if self._summer is not None:
            self._summer.update(chunk)
        self._position += len(chunk)
        if self._position == self._end and not self._content.hurried:
            # The disk works while the rest arrives, instead of all at once in the flush at the end.
            begin_writeback(self._fd, self._start, self._end - self._start)


class _Follower:
    """A digest that needs the bytes in order: taken from the file, right behind what has arrived without a gap."""

    def __init__(self, algorithm: str, fd: int) -> None:
        self._digest = Digest(algorithm)
        self._fd = fd
        self._arrived: dict[int, int] = {}  # start -> end
        self._news = asyncio.Event()

    def arrived(self, start: int, end: int) -> None:
        self._arrived[start] = end
        self._news.set()

    async def follow(self, size_bytes: int) -> None:
        """Ends when all bytes of the file are in the digest."""
        position = 0
        while position < size_bytes:
            end = self._arrived.pop(position, None)
            if end is None:
                self._news.clear()
                await self._news.wait()
            else:
                await asyncio.to_thread(self._digest.update_file, self._fd, position, end)
                position = end

    @property
    def text(self) -> str:
        return self._digest.text


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of a group: one cause is enough to act on.

    To be raised from `except ExceptionGroup`, never from `except*`: Python before 3.11.4, which Debian 12 has, puts what is raised there into
    a group again.
    """
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def write_all(fd: int, data: Chunk, offset: int) -> None:
    """All of it, however little the system takes at a time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view[:WRITE_BYTES], offset)
        offset += written
        view = view[written:]
