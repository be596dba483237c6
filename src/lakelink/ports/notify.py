"""The kernel's notification calls, as a port: inotify(7), fanotify(7), file handles and what identifies a file system.

Thin by intent: descriptors in, descriptors out, events as the bytes that read(2) gives. Errors are OSError with the kernel's errno. Constants
and layouts are those of linux/inotify.h, linux/fanotify.h and linux/fs.h; the numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from pathlib import Path
from typing import Protocol

from lakelink.ports.libc import checked, function

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_UNMOUNT = 0x2000
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x0100_0000
IN_EXCL_UNLINK = 0x0400_0000  # no events of files that have no name any more
IN_ISDIR = 0x4000_0000

FAN_MODIFY = 0x2
FAN_ATTRIB = 0x4
FAN_CLOSE_WRITE = 0x8
FAN_MOVED_FROM = 0x40
FAN_MOVED_TO = 0x80
FAN_CREATE = 0x100
FAN_DELETE = 0x200
FAN_Q_OVERFLOW = 0x4000
FAN_EVENT_ON_CHILD = 0x0800_0000
FAN_RENAME = 0x1000_0000  # Linux 5.17: both names in one event
FAN_ONDIR = 0x4000_0000
FAN_CLOEXEC = 0x1
FAN_NONBLOCK = 0x2
FAN_UNLIMITED_MARKS = 0x20
FAN_REPORT_DFID_NAME = 0xC00  # Linux 5.9: the handle of the directory and the name in it, no open descriptor
FAN_MARK_ADD = 0x1
FAN_MARK_REMOVE = 0x2
FAN_MARK_FILESYSTEM = 0x100

FS_IOC_GETFSUUID = 0x8011_1500  # Linux 6.9, _IOR(0x15, 0, struct fsuuid2): one byte of length, 16 of UUID
EXT4_IOC_GETFSUUID = 0x8008_662C  # Linux 6.0, _IOR('f', 44, struct fsuuid): two u32 (length, flags), then the UUID
BTRFS_IOC_FS_INFO = 0x8400_941F  # _IOR(0x94, 31, 1024 bytes): two u64, then the UUID (linux/btrfs.h)
XFS_IOC_FSGEOMETRY_V1 = 0x8070_5864  # _IOR('X', 100, 112 bytes): eight u32 and four u64, then the UUID (xfs_fs.h)
UUID_BYTES = 16
AT_EMPTY_PATH = 0x1000
_MAX_HANDLE_BYTES = 128  # linux/exportfs.h: MAX_HANDLE_SZ
_AT_FDCWD = -100
_STATFS_BYTES = 256  # more than struct statfs of any architecture; its first word is f_type


class Notify(Protocol):
    """Everything the feeds ask of the kernel beside `Kernel`."""

    def inotify_init(self) -> int:
        """A new instance, non-blocking. EMFILE: the user has fs.inotify.max_user_instances of them, or the process too many descriptors."""
        ...

    def inotify_add_watch(self, fd: int, directory_fd: int, mask: int) -> int:
        """Watch the very directory that is open as `directory_fd`; its number, the same for the same inode.

        ENOSPC: fs.inotify.max_user_watches is reached. ENOENT: there is no /proc to name the descriptor by.
        """
        ...

    def inotify_rm_watch(self, fd: int, watch: int) -> None: ...

    def fanotify_init(self, flags: int) -> int:
        """A new group. EPERM: no CAP_SYS_ADMIN; EINVAL, ENOSYS: the kernel does not know the flags; EMFILE: fs.fanotify.max_user_groups."""
        ...

    def fanotify_mark(self, fd: int, flags: int, mask: int, directory_fd: int) -> None:
        """EOPNOTSUPP, ENODEV, EXDEV: this file system reports no file handles; ENOSPC: fs.fanotify.max_user_marks."""
        ...

    def handle_of(self, directory_fd: int) -> bytes:
        """The file handle of an open directory, as events carry it: length, type, bytes."""
        ...

    def open_handle(self, mount_fd: int, handle: bytes, flags: int) -> int:
        """Open what `handle` names on the mount of `mount_fd`. ESTALE: it was deleted. EPERM: no CAP_DAC_READ_SEARCH."""
        ...

    def place_of(self, fd: int) -> bytes:
        """The absolute path at which an open file is at this moment, as this process sees it (/proc/self/fd)."""
        ...

    def file_system_magic(self, fd: int) -> int:
        """f_type of statfs(2)."""
        ...

    def file_system_fsid(self, fd: int) -> int:
        """f_fsid of statfs(2); 0 where there is none."""
        ...

    def mount_table(self) -> bytes:
        """/proc/self/mountinfo; b"" where there is no /proc."""
        ...

    def file_system_uuid(self, fd: int) -> bytes:
        """The UUID in the superblock, 16 bytes; b"" where the file system does not tell, or has none."""
        ...


_int, _pointer = ctypes.c_int, ctypes.c_void_p
_inotify_init1 = function("inotify_init1", _int)
_inotify_add_watch = function("inotify_add_watch", _int, ctypes.c_char_p, ctypes.c_uint32)
_inotify_rm_watch = function("inotify_rm_watch", _int, _int)
_fanotify_init = function("fanotify_init", ctypes.c_uint, ctypes.c_uint)
_fanotify_mark = function("fanotify_mark", _int, ctypes.c_uint, ctypes.c_uint64, _int, ctypes.c_char_p)
_name_to_handle_at = function("name_to_handle_at", _int, ctypes.c_char_p, _pointer, _pointer, _int)
_open_by_handle_at = function("open_by_handle_at", _int, _pointer, _int)
_fstatfs = function("fstatfs", _int, _pointer)


class LinuxNotify:
    """`Notify` on this machine; stateless, safe from any thread."""

    def inotify_init(self) -> int:
        return checked(_inotify_init1, os.O_CLOEXEC | os.O_NONBLOCK)

    def inotify_add_watch(self, fd: int, directory_fd: int, mask: int) -> int:
        # By descriptor, not by path: a rename between the opening and the call cannot put the watch on something else.
        return checked(_inotify_add_watch, fd, b"/proc/self/fd/%d" % directory_fd, mask)

    def inotify_rm_watch(self, fd: int, watch: int) -> None:
        checked(_inotify_rm_watch, fd, watch)

    def fanotify_init(self, flags: int) -> int:
        return checked(_fanotify_init, flags, os.O_RDONLY)

    def fanotify_mark(self, fd: int, flags: int, mask: int, directory_fd: int) -> None:
        checked(_fanotify_mark, fd, flags, mask, directory_fd, None)

    def handle_of(self, directory_fd: int) -> bytes:
        room = ctypes.create_string_buffer(_MAX_HANDLE_BYTES + 8)
        ctypes.c_uint.from_buffer(room).value = _MAX_HANDLE_BYTES
        mount = ctypes.c_int()
        checked(_name_to_handle_at, directory_fd, b"", room, ctypes.byref(mount), AT_EMPTY_PATH)
        return room.raw[: 8 + ctypes.c_uint.from_buffer(room).value]

    def open_handle(self, mount_fd: int, handle: bytes, flags: int) -> int:
        return checked(_open_by_handle_at, mount_fd, ctypes.create_string_buffer(handle, len(handle)), flags)

    def place_of(self, fd: int) -> bytes:
        return os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115  # bytes in, bytes out

    def file_system_magic(self, fd: int) -> int:
        room = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
        checked(_fstatfs, fd, room)
        return room[0] & 0xFFFF_FFFF

    def file_system_fsid(self, fd: int) -> int:
        return os.fstatvfs(fd).f_fsid

    def mount_table(self) -> bytes:
        try:
            return Path("/proc/self/mountinfo").read_bytes()
        except OSError:
            return b""

    def file_system_uuid(self, fd: int) -> bytes:
        for request, size, offset in (
            (FS_IOC_GETFSUUID, 17, 1),
            (EXT4_IOC_GETFSUUID, 24, 8),
            (BTRFS_IOC_FS_INFO, 1024, 16),
            (XFS_IOC_FSGEOMETRY_V1, 112, 64),
        ):
            room = bytearray(size)
            if request == EXT4_IOC_GETFSUUID:
                room[0] = UUID_BYTES
            try:
                fcntl.ioctl(fd, request, room)
            except OSError:
                continue
            found = bytes(room[offset : offset + UUID_BYTES])
            if any(found):
                return found
        return b""
