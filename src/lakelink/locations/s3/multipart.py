"""Writing one large object, or one of unknown length, and copying one above 5 GiB, in parts.

Nothing is visible before Complete. The source is checked between the last byte read and Complete, so a file that changes meanwhile is
never stored torn. Any failure and any cancellation aborts the upload; what a killed process leaves is invisible, and `abort_abandoned`
removes it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime

from lakelink.errors import ChangedWhileRead, Corrupt, NotFound, StorageError
from lakelink.locations.base import Write
from lakelink.locations.content import Content, ExtendedContent, SourceFile
from lakelink.locations.s3.checksums import checksum_of, checksum_of_file
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.keys import encode_query
from lakelink.locations.s3.metadata import SECOND_NS
from lakelink.locations.s3.options import MAX_COPY_BYTES, MIB, MIN_PART_BYTES, SMALL_BYTES
from lakelink.locations.s3.parts import Upload
from lakelink.locations.s3.pouring import first_of
from lakelink.locations.s3.upload import StoreTraits, put_small, rewrite_headers
from lakelink.locations.s3.xml import element, records
from lakelink.model.entry import Entry

STREAM_BUFFER_BYTES = 64 * MIB  # parts of one stream held in memory, together, unless a single part is larger
COPY_PART_BYTES = 512 * MIB
EVEN_PARTS = 2000  # of a stream; later parts grow so that 10,000 of them hold 5 TiB
GROWTH_BYTES = MIB // 6


class FileBody:
    """A piece of a file as a request body; reads straight into the native buffer."""

    def __init__(self, fd: int, offset: int, size_bytes: int) -> None:
        self._fd = fd
        self._start = offset
        self._end = offset + size_bytes
        self._position = offset

    def readinto(self, buffer: memoryview) -> int:
        wanted = min(len(buffer), self._end - self._position)
        count = os.preadv(self._fd, [memoryview(buffer)[:wanted]], self._position) if wanted else 0
        if wanted and not count:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        self._position += count
        return count

    def read(self, size: int = -1) -> bytes:
        data = os.pread(
            self._fd, min(size, self._end - self._position) if size >= 0 else self._end - self._position, self._position
        )
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (self._start, self._position, self._end)[whence]
        self._position = base + offset
        return self._position - self._start


async def put_large(client: S3Client, store: StoreTraits, key: str, write: Write, content: Content) -> Entry:
    """Put content of any size, whole or not at all. Memory is bounded whatever the size.

    Raises:
        ChangedWhileRead: the source changed; nothing was stored. PreconditionFailed: the target is not what was expected.
    """
    source = await asyncio.to_thread(content.open_file)
    if source is None:
        return await _put_stream(client, store, key, write, content)
    try:
        upload = Upload(client, store, key, write)
        headers = await rewrite_headers(client, key, write)
        return await _carry_out(upload, headers, lambda: _send_file(upload, source))
    finally:
        source.close()


async def multipart_copy(
    upload: Upload, headers: list[tuple[str, str]], origin: list[tuple[str, str]], size_bytes: int
) -> Entry:
    """Copy an object above 5 GiB inside the store; `origin` are the headers that name it."""
    options = upload.client.options
    part_bytes = min(MAX_COPY_BYTES, max(options.part_bytes or COPY_PART_BYTES, options.part_size(size_bytes)))

    async def send() -> None:
        async def part(number: int, start: int) -> None:
            await upload.part_copy(number, origin, start, min(start + part_bytes, size_bytes))

        await _pieces(size_bytes, part_bytes, options.parts_at_once, part)

    return await _carry_out(upload, headers, send)


async def abort_abandoned(client: S3Client, prefix: str, older_than_s: float, *, whole: bool = False) -> int:
    """Abort the multipart uploads below `prefix` (or, with `whole`, of just that key) begun longer ago than that; returns how many."""
    aborted = 0
    marker = ""
    while True:
        query = f"prefix={encode_query(prefix)}&uploads="
        if marker:
            query = marker + query
        answer = await client.call(client.request("ListMultipartUploads", "GET", "", query=query), prefix)
        for _, fields in records(answer.body, {"Upload"}):
            begun_ns = int(datetime.fromisoformat(fields["Initiated"]).timestamp() * SECOND_NS)
            if client.clock.time_ns() - begun_ns < older_than_s * SECOND_NS or not fields["Key"].startswith(prefix):
                continue
            if whole and fields["Key"] != prefix:
                continue
            request = client.request(
                "AbortMultipartUpload", "DELETE", fields["Key"], query=f"uploadId={encode_query(fields['UploadId'])}"
            )
            try:
                await client.call(request, fields["Key"])
            except NotFound:
                continue
            aborted += 1
        following = element(answer.body, "NextKeyMarker"), element(answer.body, "NextUploadIdMarker")
        if element(answer.body, "IsTruncated") != "true" or not any(following):
            return aborted
        previous, marker = (
            marker,
            f"key-marker={encode_query(following[0])}&upload-id-marker={encode_query(following[1])}&",
        )
        if marker == previous:
            raise StorageError("the list of uploads goes on, but always from the same place")


async def _carry_out(upload: Upload, headers: list[tuple[str, str]], send: Callable[[], Awaitable[None]]) -> Entry:
    try:
        await upload.create(headers)
        await send()
        return await upload.complete()
    except BaseException:
        # Also when cancelled: the parts cost money until they are gone.
        await upload.abort()
        raise


async def _send_file(upload: Upload, source: SourceFile) -> None:
    size = source.size_bytes
    part_bytes = upload.client.options.part_size(size)

    async def part(number: int, offset: int) -> None:
        await _send_piece(upload, source, number, (offset, min(part_bytes, size - offset)))

    await _pieces(size, part_bytes, upload.client.options.parts_at_once, part)
    await asyncio.to_thread(source.check)


async def _send_piece(upload: Upload, source: SourceFile, number: int, piece: tuple[int, int]) -> None:
    offset, size_bytes = piece
    checksum = await asyncio.to_thread(checksum_of_file, upload.algorithm, source.fd, offset, size_bytes)
    try:
        await upload.part(number, FileBody(source.fd, offset, size_bytes), size_bytes, checksum)
    except (OSError, Corrupt) as error:
        # A part that ends early or does not match its own checksum is, first of all, a file that changed: `check` says so.
        await asyncio.to_thread(source.check)
        if isinstance(error, Corrupt):
            raise
        raise StorageError(f"{upload.key}: the source cannot be read: {error}") from error


async def _pieces(size_bytes: int, part_bytes: int, at_once: int, act: Callable[[int, int], Awaitable[None]]) -> None:
    """Act on each (number from 1, offset), some at once; the first failure stops the rest and is raised."""
    offsets = iter(enumerate(range(0, size_bytes, part_bytes), 1))

    async def lane() -> None:
        for number, offset in offsets:
            await act(number, offset)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, -(-size_bytes // part_bytes))):
                group.create_task(lane())
    except ExceptionGroup as errors:
        raise first_of(errors) from None


async def _put_stream(client: S3Client, store: StoreTraits, key: str, write: Write, content: Content) -> Entry:
    if isinstance(content, ExtendedContent):
        origin = copy_origin(client, content)
        if origin is not None:
            return await _extend(Upload(client, store, key, write), content, origin)
    part_bytes = _stream_part_bytes(client, content)
    parts = _grouped(content, part_bytes)
    try:
        head = [await anext(parts, b"")]
        if len(head[0]) == part_bytes:
            head.append(await anext(parts, b""))
        if len(head) == 1 or not head[1]:
            _check_length(content, len(head[0]))
            return await put_small(client, store, key, write, head[0])
        upload = Upload(client, store, key, write)
        headers = await rewrite_headers(client, key, write)
        return await _carry_out(upload, headers, lambda: _send_stream(upload, content, head, parts))
    finally:
        await parts.aclose()


def copy_origin(client: S3Client, content: ExtendedContent) -> list[tuple[str, str]] | None:
    """The headers that name what an extended content begins with, where the store itself can copy that: it is there, and large enough for a part."""
    from lakelink.locations.s3.copying import Origin
    from lakelink.locations.s3.download import S3Content

    origin = content.origin
    if not isinstance(origin, S3Content) or not origin.etag or not origin.client.same_store(client):
        return None
    if content.cut_bytes < MIN_PART_BYTES:
        return None
    return Origin(origin.client.bucket, origin.key, origin.etag, content.cut_bytes).headers()


async def _extend(upload: Upload, content: ExtendedContent, origin: list[tuple[str, str]]) -> Entry:
    """The old bytes by copies inside the store, which name the version that they read; the new ones as a stream of any length."""
    client, cut = upload.client, content.cut_bytes
    starts = list(range(0, cut, COPY_PART_BYTES))
    if len(starts) > 1 and cut - starts[-1] < MIN_PART_BYTES:
        starts.pop()  # the last piece is too small to be a part of its own
    spans = list(zip(starts, [*starts[1:], cut], strict=True))
    headers = await rewrite_headers(client, upload.key, upload.write)

    async def send() -> None:
        async def part(number: int, index: int) -> None:
            await upload.part_copy(number, origin, *spans[index])

        await _pieces(len(spans), 1, client.options.parts_at_once, part)
        rest = _grouped(content.rest, _stream_part_bytes(client, content))
        try:
            await _send_stream(upload, content, [], rest, first=len(spans))
        finally:
            await rest.aclose()

    return await _carry_out(upload, headers, send)


async def _send_stream(
    upload: Upload, content: Content, head: list[bytes], rest: AsyncGenerator[bytes, None], *, first: int = 0
) -> None:
    busy: dict[asyncio.Task[None], int] = {}
    number = first
    # Beside them one part is being filled, and is there twice while its pieces are joined.
    on_their_way = STREAM_BUFFER_BYTES
    if content.hold_bytes is not None:
        on_their_way = content.hold_bytes - 2 * _stream_part_bytes(upload.client, content)

    async def send(number: int, data: bytes) -> None:
        checksum = await asyncio.to_thread(checksum_of, upload.algorithm, data)
        await upload.part(number, data, len(data), checksum)

    async def all_parts() -> AsyncGenerator[bytes, None]:
        while head:
            yield head.pop(0)
        async for data in rest:
            yield data

    try:
        async with asyncio.TaskGroup() as group:
            async for data in all_parts():
                number += 1
                while busy and sum(busy.values()) + len(data) > on_their_way:
                    done, _ = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        del busy[task]
                busy[group.create_task(send(number, data))] = len(data)
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    _check_length(content, upload.size_bytes)


async def _readable(content: Content) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in content.chunks():
            yield chunk
    except OSError as error:
        raise StorageError(f"the source cannot be read: {error}", hint="Nothing was stored.") from error


def _stream_part_bytes(client: S3Client, content: Content) -> int:
    """The size of its first parts; where there is a bound, so much that four may be on their way beside the one that is being joined."""
    wanted = client.options.part_bytes or SMALL_BYTES
    return wanted if content.hold_bytes is None else max(MIN_PART_BYTES, min(wanted, content.hold_bytes // 6))


async def _grouped(content: Content, part_bytes: int) -> AsyncGenerator[bytes, None]:
    """The stream in parts of even size, later ones larger; the last one may be short."""
    number = 1
    pieces: list[bytes] = []
    held = 0
    async for chunk in _readable(content):
        view = memoryview(chunk)
        while view:
            wanted = part_bytes + max(0, number - EVEN_PARTS) * GROWTH_BYTES
            piece = view[: wanted - held]
            view = view[len(piece) :]
            pieces.append(chunk if len(piece) == len(chunk) else bytes(piece))
            held += len(piece)
            if held == wanted:
                yield _taken(pieces)
                held, number = 0, number + 1
    if held:
        yield _taken(pieces)


def _taken(pieces: list[bytes]) -> bytes:
    """All of them as one, which nobody else holds: whoever waits with it holds it once."""
    joined = b"".join(pieces)
    pieces.clear()
    return joined


def _check_length(content: Content, size_bytes: int) -> None:
    if content.size_bytes is not None and content.size_bytes != size_bytes:
        raise ChangedWhileRead(
            f"the source gave {size_bytes} bytes instead of {content.size_bytes}", hint="It will be looked at again."
        )
