"""fanotify(7) permission and pre-content events, leases and bind mounts: the kernel's part of lazy loading.

Thin by intent, like `notify`: descriptors in, descriptors and bytes out, OSError with the kernel's errno. Constants are those of linux/fanotify.h,
linux/fcntl.h, linux/falloc.h and linux/mount.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from lakelink.ports.libc import checked, function

FAN_CLASS_CONTENT = 0x4
FAN_CLASS_PRE_CONTENT = 0x8
FAN_UNLIMITED_QUEUE = 0x10  # a permission event that finds a full queue is allowed: zeros
FAN_UNLIMITED_MARKS = 0x20
FAN_CLOEXEC = 0x1
FAN_NONBLOCK = 0x2
FAN_OPEN_PERM = 0x1_0000
FAN_PRE_ACCESS = 0x10_0000  # Linux 6.14
FAN_MARK_ADD = 0x1
FAN_MARK_REMOVE = 0x2
FAN_MARK_DONT_FOLLOW = 0x4
FAN_MARK_FLUSH = 0x80
FAN_ALLOW = 1
FAN_DENY = 2
FAN_NOFD = -1
_ERRNO_SHIFT = 24  # FAN_DENY_ERRNO, Linux 6.14, pre-content groups only
DENIABLE = frozenset({
    errno.EIO, errno.EPERM, errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT,
})  # fmt: skip
MARK_BOTH = FAN_OPEN_PERM | FAN_PRE_ACCESS

FALLOC_FL_KEEP_SIZE = 0x1
FALLOC_FL_PUNCH_HOLE = 0x2
MS_BIND = 0x1000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8
_END = 1 << 20  # more than a block of any file system
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
MAX_HANDLE_BYTES = 128

_metadata = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata
_response = struct.Struct("=iI")


class Permission(NamedTuple):
    """Somebody waits: `fd` is the file and, by its number alone, the question; to be answered, then closed."""

    fd: int
    mask: int
    pid: int


_int, _text, _pointer = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
_fanotify_init = function("fanotify_init", ctypes.c_uint, ctypes.c_uint)
_fanotify_mark = function("fanotify_mark", _int, ctypes.c_uint, ctypes.c_uint64, _int, _text)
_name_to_handle_at = function("name_to_handle_at", _int, _text, _pointer, _pointer, _int)
_open_by_handle_at = function("open_by_handle_at", _int, _pointer, _int)
_fallocate = function("fallocate", _int, _int, ctypes.c_int64, ctypes.c_int64)
_mount = function("mount", _text, _text, _text, ctypes.c_ulong, _pointer)
_umount2 = function("umount2", _text, _int)
_linkat = function("linkat", _int, _text, _int, _text, _int)
_syncfs = function("syncfs", _int)


def group(flags: int, event_flags: int = os.O_RDONLY) -> int:
    """A new group whose event descriptors are opened with `event_flags`. EPERM: no CAP_SYS_ADMIN; EINVAL: the class is not known."""
    return checked(_fanotify_init, flags, event_flags | os.O_CLOEXEC | os.O_LARGEFILE)


def mark(group_fd: int, fd: int, mask: int) -> None:
    """Mark the inode of an open file. EOPNOTSUPP, EINVAL: not on this file system, or not with this mask."""
    checked(_fanotify_mark, group_fd, FAN_MARK_ADD, mask, fd, None)


def mark_at(group_fd: int, directory_fd: int, name: bytes, mask: int) -> None:
    """Mark the inode of a name; a symbolic link itself."""
    checked(_fanotify_mark, group_fd, FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW, mask, directory_fd, name)


def unmark(group_fd: int, fd: int, mask: int) -> None:
    """Take the mark away; nothing where there is none."""
    try:
        checked(_fanotify_mark, group_fd, FAN_MARK_REMOVE, mask, fd, None)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def mark_path(group_fd: int, path: bytes, mask: int) -> None:
    """Mark what is at an absolute path, /proc/self/fd/N of a descriptor opened with O_PATH among them."""
    checked(_fanotify_mark, group_fd, FAN_MARK_ADD, mask, _AT_FDCWD, path)


def unmark_path(group_fd: int, path: bytes, mask: int) -> None:
    """Take the mark away; nothing where there is none."""
    try:
        checked(_fanotify_mark, group_fd, FAN_MARK_REMOVE, mask, _AT_FDCWD, path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def flush_marks(group_fd: int) -> None:
    """Take away all inode marks of the group, as a reboot does."""
    checked(_fanotify_mark, group_fd, FAN_MARK_FLUSH, 0, _AT_FDCWD, b"/")


def questions(events: bytes) -> Iterator[Permission]:
    """The events that one read(2) of the group gave."""
    at, end = 0, len(events)
    while at < end:
        length, _, _, _, mask, fd, pid = _metadata.unpack_from(events, at)
        yield Permission(fd, mask, pid)
        at += length


def allow(group_fd: int, fd: int) -> None:
    """Let whoever waits go on. Nothing where nobody waits any more."""
    _answer(group_fd, fd, FAN_ALLOW)


def deny(group_fd: int, fd: int, number: int) -> None:
    """Whoever waits gets this errno, EIO where the kernel would not hand it on, EPERM where it knows no errno here."""
    code = number if number in DENIABLE else errno.EIO
    try:
        _answer(group_fd, fd, FAN_DENY | code << _ERRNO_SHIFT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _answer(group_fd, fd, FAN_DENY)


def _answer(group_fd: int, fd: int, response: int) -> None:
    try:
        os.write(group_fd, _response.pack(fd, response))
    except OSError as error:
        if error.errno != errno.ENOENT:  # killed meanwhile, or answered by another process
            raise


def handle_of(fd: int) -> bytes:
    """The handle of an open file: length, type, bytes."""
    room = ctypes.create_string_buffer(MAX_HANDLE_BYTES + 8)
    ctypes.c_uint.from_buffer(room).value = MAX_HANDLE_BYTES
    mount = ctypes.c_int()
    checked(_name_to_handle_at, fd, b"", room, ctypes.byref(mount), _AT_EMPTY_PATH)
    return room.raw[: 8 + ctypes.c_uint.from_buffer(room).value]


def open_handle(mount_fd: int, handle: bytes, flags: int) -> int:
    """Open by handle, on the mount of `mount_fd`. ESTALE: the inode is gone."""
    return checked(_open_by_handle_at, mount_fd, ctypes.create_string_buffer(handle, len(handle)), flags | os.O_CLOEXEC)


def link_fd(fd: int, directory_fd: int, name: bytes) -> None:
    """Give a file without a name (O_TMPFILE) one; EEXIST where it is taken. By the descriptor itself, which CAP_DAC_READ_SEARCH allows."""
    checked(_linkat, fd, b"", directory_fd, name, _AT_EMPTY_PATH)


def allocate(fd: int, size_bytes: int) -> None:
    """Take the room for a file now; the size stays. ENOSPC, EDQUOT; EOPNOTSUPP where the file system cannot."""
    checked(_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, size_bytes)


def punch(fd: int, size_bytes: int) -> None:
    """Give up all bytes of a file of that size; the size stays. Up to behind its end: a last block that is cut in two is only zeroed."""
    checked(_fallocate, fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, (size_bytes // _END + 1) * _END)


def bind(source: str, target: str) -> None:
    """Mount --bind."""
    checked(_mount, os.fsencode(source), os.fsencode(target), None, MS_BIND, None)


def unmount(target: str, *, detach: bool = False) -> None:
    """EBUSY: somebody is inside, who with `detach` stays there while nobody else finds in; EINVAL: nothing is mounted there."""
    checked(_umount2, os.fsencode(target), UMOUNT_NOFOLLOW | (MNT_DETACH if detach else 0))


def sync_file_system(fd: int) -> None:
    """syncfs(2): all of the file system is on stable storage; an earlier failure to write back is raised."""
    checked(_syncfs, fd)
