"""Extended requests, and how a client learns of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from lakelink.gateway.folders.space import space_of
from lakelink.gateway.sftp import files, names
from lakelink.gateway.sftp.attributes import encode_name, read_attributes
from lakelink.gateway.sftp.session import Session
from lakelink.gateway.sftp.status import Status, status_packet
from lakelink.gateway.sftp.wire import UINT32, UINT64, Fields, Op, packet, string

Handler: TypeAlias = Callable[[Session, bytes, Fields], Coroutine[Any, Any, bytes]]

_BLOCK_BYTES = 4096
_MAX_NAME_BYTES = 255


async def limits(session: Session, request: bytes, fields: Fields) -> bytes:
    """limits@openssh.com."""
    del fields
    bounds = session.limits
    numbers = (bounds.packet_bytes, bounds.read_bytes, bounds.write_bytes, bounds.handles)
    return packet(Op.EXTENDED_REPLY, request, *(UINT64.pack(number) for number in numbers))


async def statvfs(session: Session, request: bytes, fields: Fields) -> bytes:
    """statvfs@openssh.com."""
    return await _statvfs(session, request, session.path(fields.string()))


async def fstatvfs(session: Session, request: bytes, fields: Fields) -> bytes:
    """fstatvfs@openssh.com."""
    handle = fields.string()
    found = session.open.get(handle)
    return await _statvfs(session, request, found.path if found else session.file(handle).path)


async def _statvfs(session: Session, request: bytes, path: str) -> bytes:
    total, free = await space_of(session.view.places, path)
    blocks, left = total // _BLOCK_BYTES, free // _BLOCK_BYTES
    numbers = (_BLOCK_BYTES, _BLOCK_BYTES, blocks, left, left, 1 << 32, 1 << 31, 1 << 31, 0, 2, _MAX_NAME_BYTES)
    return packet(Op.EXTENDED_REPLY, request, *(UINT64.pack(number) for number in numbers))


async def hardlink(session: Session, request: bytes, fields: Fields) -> bytes:
    """hardlink@openssh.com: objects have one name."""
    session.path(fields.string()), session.path(fields.string())
    return status_packet(request, Status.OP_UNSUPPORTED)


async def lsetstat(session: Session, request: bytes, fields: Fields) -> bytes:
    """lsetstat@openssh.com: as SETSTAT; of a link, its own attributes, which say nothing here."""
    path = session.path(fields.string())
    attributes = read_attributes(fields)
    entry = await session.view.stat(path, follow=False)
    if entry.target is None:
        await files.set_attributes(session, path, attributes)
    return status_packet(request, Status.OK)


async def expand_path(session: Session, request: bytes, fields: Fields) -> bytes:
    """expand-path@openssh.com: `~` and `~/x` are where a session begins."""
    raw = fields.string()
    if raw == b"~" or raw.startswith(b"~/"):
        raw = raw[1:].lstrip(b"/")
    return packet(Op.NAME, request, UINT32.pack(1), encode_name(session.path(raw), None))


EXTENSIONS: Mapping[bytes, tuple[bytes, Handler]] = {
    b"posix-rename@openssh.com": (b"1", names.posix_rename),
    b"statvfs@openssh.com": (b"2", statvfs),
    b"fstatvfs@openssh.com": (b"2", fstatvfs),
    b"hardlink@openssh.com": (b"1", hardlink),
    b"fsync@openssh.com": (b"1", files.fsync),
    b"lsetstat@openssh.com": (b"1", lsetstat),
    b"limits@openssh.com": (b"1", limits),
    b"expand-path@openssh.com": (b"1", expand_path),
    b"copy-data": (b"1", files.copy_data),
}
_SILENT = frozenset({b"hardlink@openssh.com"})  # answered, and not offered


def offer() -> bytes:
    """The pairs of a VERSION answer."""
    return b"".join(string(name) + string(version) for name, (version, _) in EXTENSIONS.items() if name not in _SILENT)
