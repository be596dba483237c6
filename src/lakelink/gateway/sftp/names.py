"""Requests about names."""

from __future__ import annotations

from lakelink.errors import Declined
from lakelink.gateway.sftp.attributes import encode_name, read_attributes, seen_of
from lakelink.gateway.sftp.files import set_attributes
from lakelink.gateway.sftp.handles import OpenDirectory
from lakelink.gateway.sftp.session import Session
from lakelink.gateway.sftp.status import Status, status_packet
from lakelink.gateway.sftp.wire import UINT32, Fields, Op, packet, string
from lakelink.model.path import display

_NAMES_OVERHEAD_BYTES = 64


async def stat(session: Session, request: bytes, fields: Fields) -> bytes:
    """STAT."""
    return await _stat(session, request, fields, follow=True)


async def lstat(session: Session, request: bytes, fields: Fields) -> bytes:
    """LSTAT."""
    return await _stat(session, request, fields, follow=False)


async def _stat(session: Session, request: bytes, fields: Fields, *, follow: bool) -> bytes:
    entry = await session.view.stat(session.path(fields.string()), follow=follow)
    return packet(Op.ATTRS, request, seen_of(entry, session.view.shown(entry)).encode())


async def setstat(session: Session, request: bytes, fields: Fields) -> bytes:
    """SETSTAT."""
    path = session.path(fields.string())
    await set_attributes(session, path, read_attributes(fields))
    session.note("setstat", path)
    return status_packet(request, Status.OK)


async def opendir(session: Session, request: bytes, fields: Fields) -> bytes:
    """OPENDIR."""
    session.require_handle()
    opened = OpenDirectory(session.view, session.path(fields.string()))
    await opened.begin()
    return packet(Op.HANDLE, request, string(session.remember(opened)))


async def readdir(session: Session, request: bytes, fields: Fields) -> bytes:
    """READDIR."""
    names = await session.directory(fields.string()).next(session.limits.read_bytes - _NAMES_OVERHEAD_BYTES)
    if not names:
        return status_packet(request, Status.EOF)
    return packet(Op.NAME, request, UINT32.pack(len(names)), *names)


async def remove(session: Session, request: bytes, fields: Fields) -> bytes:
    """REMOVE."""
    path = session.path(fields.string())
    await session.view.remove(path)
    session.note("remove", path)
    return status_packet(request, Status.OK)


async def mkdir(session: Session, request: bytes, fields: Fields) -> bytes:
    """MKDIR."""
    path = session.path(fields.string())
    await session.view.make_directory(path, read_attributes(fields).mode)
    session.note("mkdir", path)
    return status_packet(request, Status.OK)


async def rmdir(session: Session, request: bytes, fields: Fields) -> bytes:
    """RMDIR."""
    path = session.path(fields.string())
    await session.view.remove_directory(path)
    session.note("rmdir", path)
    return status_packet(request, Status.OK)


async def realpath(session: Session, request: bytes, fields: Fields) -> bytes:
    """REALPATH. Pure: names need not exist, and links are not looked at."""
    return packet(Op.NAME, request, UINT32.pack(1), encode_name(session.path(fields.string()), None))


async def rename(session: Session, request: bytes, fields: Fields) -> bytes:
    """RENAME."""
    return await _rename(session, request, fields, replaces=False)


async def posix_rename(session: Session, request: bytes, fields: Fields) -> bytes:
    """posix-rename@openssh.com."""
    return await _rename(session, request, fields, replaces=True)


async def _rename(session: Session, request: bytes, fields: Fields, *, replaces: bool) -> bytes:
    path, new_path = session.path(fields.string()), session.path(fields.string())
    most = session.limits.directory_rename_paths
    await session.view.rename(path, new_path, replaces=replaces, most_paths=most)
    session.note("rename", path, to=display(new_path))
    return status_packet(request, Status.OK)


async def readlink(session: Session, request: bytes, fields: Fields) -> bytes:
    """READLINK."""
    target = await session.view.read_link(session.path(fields.string()))
    return packet(Op.NAME, request, UINT32.pack(1), encode_name(target, None))


async def symlink(session: Session, request: bytes, fields: Fields) -> bytes:
    """SYMLINK, with its arguments in the order that OpenSSH sends: target first, whatever the draft says."""
    target, path = fields.string(), session.path(fields.string())
    if b"\0" in target or not target:
        raise Declined("No link can have this target")
    await session.view.make_link(path, target.decode("utf-8", "surrogateescape"))
    session.note("symlink", path)
    return status_packet(request, Status.OK)
