"""Requests about open files. A request without waiting is answered at once; what has to wait is a coroutine."""

from __future__ import annotations

from lakelink.errors import Declined, LakelinkError, NotPermitted
from lakelink.gateway.base import Stored
from lakelink.gateway.folders.opening import Opening, Upload
from lakelink.gateway.sftp.attributes import Attributes, read_attributes, seen_of
from lakelink.gateway.sftp.handles import OpenFile
from lakelink.gateway.sftp.session import Session
from lakelink.gateway.sftp.status import Status, status_packet
from lakelink.gateway.sftp.wire import UINT32, Fields, Op, OpenFlag, packet, string
from lakelink.handles.reader import Reader

COPY_BYTES = 1 << 20
MOST_BYTES = 1 << 62
_HEADER_BYTES = 13  # length, kind, request id, length of the data


async def open_file(session: Session, request: bytes, fields: Fields) -> bytes:
    """OPEN."""
    path = session.path(fields.string())
    flags = fields.uint32()
    attributes = read_attributes(fields)
    session.require_handle()
    wanted = Opening(
        read=bool(flags & OpenFlag.READ),
        write=bool(flags & OpenFlag.WRITE),
        append=bool(flags & OpenFlag.APPEND),
        create=bool(flags & OpenFlag.CREAT),
        truncate=bool(flags & OpenFlag.TRUNC),
        exclusive=bool(flags & OpenFlag.EXCL),
        mode=attributes.mode,
    )
    opened: Reader | Upload
    if wanted.write or wanted.append:
        opened = await session.view.write_file(path, wanted)
        opened_file = OpenFile(path, opened, append=wanted.append)
    else:
        opened_file = OpenFile(path, await session.view.read_file(path))
    return packet(Op.HANDLE, request, string(session.remember(opened_file)))


def require_size(end: int) -> None:
    """A file may be so long.

    Raises:
        Declined: no file is.
    """
    if end > MOST_BYTES:
        raise Declined("The file would be too large")


class Answers:
    """READ into a buffer of the session's own, header and data in one piece: no copy beyond the one that the transport makes."""

    def __init__(self, limit_bytes: int) -> None:
        self._buffer = bytearray(_HEADER_BYTES + limit_bytes)
        self._view = memoryview(self._buffer)
        self._limit = limit_bytes

    def read_now(self, opened: OpenFile, request: bytes, span: tuple[int, int]) -> memoryview | bytes | None:
        """The answer, where it can be had without waiting; good until the next call."""
        reader = opened.reader
        if reader is None:
            return None
        offset, size = span[0], min(span[1], self._limit)
        count = reader.read_now(offset, self._view[_HEADER_BYTES : _HEADER_BYTES + size])
        if count is None:
            return None
        if not count and size:
            return status_packet(request, Status.EOF)
        opened.moved_bytes += count
        self._buffer[:_HEADER_BYTES] = b"".join(
            (UINT32.pack(_HEADER_BYTES - 4 + count), bytes((Op.DATA,)), request, UINT32.pack(count))
        )
        return self._view[: _HEADER_BYTES + count]


async def read(session: Session, opened: OpenFile, request: bytes, span: tuple[int, int]) -> bytes:
    """READ that has to wait."""
    data = await _read(opened, span[0], min(span[1], session.limits.read_bytes))
    opened.moved_bytes += len(data)
    if not data and span[1]:
        return status_packet(request, Status.EOF)
    return packet(Op.DATA, request, string(data))


async def _read(opened: OpenFile, offset: int, size_bytes: int) -> bytes:
    if opened.reader is not None:
        return await opened.reader.read(offset, size_bytes)
    if opened.upload is not None:
        return await opened.upload.writer.read(offset, size_bytes)
    raise Declined("It is closed")


def writable(opened: OpenFile) -> Upload:
    """The upload of a handle.

    Raises:
        NotPermitted: it was opened for reading only.
    """
    if opened.upload is None:
        raise NotPermitted(f"{opened.path} was not opened for writing")
    return opened.upload


def write_now(opened: OpenFile, offset: int, data: memoryview) -> bool:
    """WRITE, where it can be taken without waiting."""
    upload = writable(opened)
    if opened.append:
        offset = upload.writer.size_bytes
    upload.quota.require(offset + len(data))
    if not upload.writer.write_now(offset, data):
        return False
    opened.moved_bytes += len(data)
    return True


async def write(opened: OpenFile, request: bytes, offset: int, data: memoryview) -> bytes:
    """WRITE that has to wait."""
    upload = writable(opened)
    if opened.append:
        offset = upload.writer.size_bytes
    try:
        await upload.writer.write(offset, data)
    except LakelinkError as error:
        opened.trouble = error
        raise
    opened.moved_bytes += len(data)
    return status_packet(request, Status.OK)


async def close(session: Session, request: bytes, fields: Fields) -> bytes:
    """CLOSE. For an upload the moment in which it is stored; if it is not, the client is told."""
    handle = fields.string()
    opened = session.open.get(handle)
    if opened is None:
        return status_packet(request, Status.FAILURE, "No such handle")
    del session.open[handle]
    if isinstance(opened, OpenFile):
        if opened.reader is not None:
            await opened.reader.aclose()
            session.note("read", opened.path, opened.moved_bytes)
        elif opened.upload is not None:
            await _store(session, opened, opened.upload)
    return status_packet(request, Status.OK)


async def _store(session: Session, opened: OpenFile, upload: Upload) -> None:
    trouble = opened.trouble
    if trouble is not None:
        await session.view.discard(upload)
        session.note("write", opened.path, opened.moved_bytes, trouble.code)
        raise trouble
    try:
        entry = await session.view.commit(upload)
    except BaseException as error:
        await session.view.discard(upload)
        session.note("write", opened.path, opened.moved_bytes, getattr(error, "code", "LL900"))
        raise
    session.note("write", opened.path, entry.size_bytes)
    place = upload.place
    await session.on_stored(
        Stored(
            visitor=session.visitor,
            path=opened.path,
            location=place.text,
            relative=place.relative,
            size_bytes=entry.size_bytes,
        )
    )


async def fstat(session: Session, request: bytes, fields: Fields) -> bytes:
    """FSTAT."""
    handle = fields.string()
    opened = session.open.get(handle)
    if isinstance(opened, OpenFile):
        entry = opened.entry
    else:
        entry = await session.view.stat(session.directory(handle).path, follow=True)
    return packet(Op.ATTRS, request, seen_of(entry, session.view.shown(entry)).encode())


async def fsetstat(session: Session, request: bytes, fields: Fields) -> bytes:
    """FSETSTAT."""
    handle = fields.string()
    attributes = read_attributes(fields)
    opened = session.open.get(handle)
    if isinstance(opened, OpenFile) and opened.upload is not None:
        await describe(opened.upload, attributes)
    elif isinstance(opened, OpenFile):
        if attributes.size_bytes is not None:
            writable(opened)
        await set_attributes(session, opened.path, attributes)
    else:
        await set_attributes(session, session.directory(handle).path, attributes)
    return status_packet(request, Status.OK)


async def describe(upload: Upload, attributes: Attributes) -> None:
    """Size, mode and times of a file that is being written."""
    writer = upload.writer
    if attributes.size_bytes is not None:
        require_size(attributes.size_bytes)
        upload.quota.require(attributes.size_bytes)
        await writer.truncate(attributes.size_bytes)
    writer.posix = attributes.on(writer.posix)
    writer.keeps_times = writer.keeps_times or attributes.mtime_s is not None


async def set_attributes(session: Session, path: str, attributes: Attributes) -> None:
    """SETSTAT of a path. Owners are accepted and not changed: clients send them along, and an upload must not fail for it."""
    upload = session.view.upload_at(path)
    if upload is not None:
        await describe(upload, attributes)
        return
    if attributes.size_bytes is not None:
        entry = await session.view.stat(path, follow=True)
        if entry.size_bytes != attributes.size_bytes:
            resized = await session.view.write_file(path, Opening(write=True))
            try:
                require_size(attributes.size_bytes)
                resized.quota.require(attributes.size_bytes)
                await resized.writer.truncate(attributes.size_bytes)
                await session.view.commit(resized)
            finally:
                await session.view.discard(resized)
    if attributes.mode is None and attributes.mtime_s is None:
        await session.view.stat(path, follow=True)
        return
    entry = await session.view.stat(path, follow=True)
    seen = seen_of(entry, session.view.shown(entry))
    await session.view.set_posix(path, attributes.on(seen.posix))


async def fsync(session: Session, request: bytes, fields: Fields) -> bytes:
    """fsync@openssh.com: what was written is not stored before CLOSE, which answers only then; so there is nothing to promise earlier."""
    session.file(fields.string())
    return status_packet(request, Status.OK)


async def copy_data(session: Session, request: bytes, fields: Fields) -> bytes:
    """copy-data (draft-ietf-secsh-filexfer-extensions-00): from one handle to another, without the client in between."""
    origin = session.file(fields.string())
    offset, left = fields.uint64(), fields.uint64()
    target = session.file(fields.string())
    position = fields.uint64()
    if origin is target:
        raise Declined("A file is not copied onto itself")
    upload = writable(target)
    to_end = left == 0
    while to_end or left:
        data = await _read(origin, offset, COPY_BYTES if to_end else min(left, COPY_BYTES))
        if not data:
            break
        require_size(position + len(data))
        upload.quota.require(position + len(data))
        await upload.writer.write(position, memoryview(data))
        target.moved_bytes += len(data)
        offset, position, left = offset + len(data), position + len(data), max(0, left - len(data))
    return status_packet(request, Status.OK)
