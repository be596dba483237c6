"""The real kernel: `os` where it has the call, libc where it does not."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from lakelink.ports.kernel import DirectoryEntry, Name
from lakelink.ports.libc import LIBC, checked

SYS_OPENAT2 = 437  # the same on every architecture: linux/scripts/syscall.tbl
RESOLVE_NO_MAGICLINKS = 0x02  # linux/openat2.h
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
AT_EMPTY_PATH = 0x1000  # linux/fcntl.h
SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


class _OpenHow(ctypes.Structure):
    """struct open_how of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _function(symbol: str, *argtypes: type) -> Callable[..., int] | None:
    function = getattr(LIBC, symbol, None)
    if function is None:
        return None
    function.argtypes = argtypes
    function.restype = ctypes.c_long if symbol == "syscall" else ctypes.c_int
    return function  # type: ignore[no-any-return]


_fd, _name = ctypes.c_int, ctypes.c_char_p
_syscall = _function("syscall", ctypes.c_long, _fd, _name, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_renameat2 = _function("renameat2", _fd, _name, _fd, _name, ctypes.c_uint)
_linkat = _function("linkat", _fd, _name, _fd, _name, ctypes.c_int)
_syncfs = _function("syncfs", _fd)
_sync_file_range = _function("sync_file_range", _fd, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def begin_writeback(fd: int, offset: int, size_bytes: int) -> None:
    """Let the disk begin with these bytes, without waiting for it: a hint, which makes nothing durable and never fails.

    A write that the disk refuses is told by the flush that follows, as ever (sync_file_range(2): WRITE alone takes no error away).
    """
    if _sync_file_range is not None:
        _sync_file_range(fd, offset, size_bytes, SYNC_FILE_RANGE_WRITE)


class LinuxKernel:
    """`Kernel` on this machine. Stateless but for what it learns about the kernel; safe from any thread."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    stat = staticmethod(os.stat)
    fstat = staticmethod(os.fstat)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    unlink = staticmethod(os.unlink)
    fchmod = staticmethod(os.fchmod)
    chmod = staticmethod(os.chmod)
    fchown = staticmethod(os.fchown)
    chown = staticmethod(os.chown)
    read = staticmethod(os.read)
    pread = staticmethod(os.pread)
    write = staticmethod(os.write)
    pwrite = staticmethod(os.pwrite)
    lseek = staticmethod(os.lseek)
    ftruncate = staticmethod(os.ftruncate)
    copy_file_range = staticmethod(os.copy_file_range)
    fdatasync = staticmethod(os.fdatasync)
    flock = staticmethod(fcntl.flock)
    geteuid = staticmethod(os.geteuid)

    def __init__(self, *, openat2: bool = True) -> None:
        self._openat2 = openat2 and _syscall is not None
        self._proc = Path("/proc/self/fd").is_dir()

    def open_beneath(self, path: str, flags: int, *, dir_fd: int) -> int:
        if self._openat2 and _syscall is not None:
            # No O_NOFOLLOW: with O_PATH it would open a final link itself, without an error; NO_SYMLINKS refuses it.
            how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
            raw = os.fsencode(path)
            try:
                return checked(_syscall, SYS_OPENAT2, dir_fd, raw, ctypes.byref(how), ctypes.sizeof(how), name=raw)
            except OSError as error:
                # ENOSYS: Linux before 5.6. EPERM: a sandbox that knows the call only as forbidden. Neither says anything about the path.
                if error.errno not in {errno.ENOSYS, errno.EPERM}:
                    raise
                self._openat2 = False
        return self._open_stepwise(path, flags, dir_fd)

    def _open_stepwise(self, path: str, flags: int, dir_fd: int) -> int:
        *parents, last = path.split("/")
        here = dir_fd
        try:
            for name in parents:
                step = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                if here != dir_fd:
                    os.close(here)
                here = step
            return os.open(last, flags | os.O_NOFOLLOW, dir_fd=here)
        finally:
            if here != dir_fd:
                os.close(here)

    def scandir(self, fd: int) -> AbstractContextManager[Iterator[DirectoryEntry]]:
        return os.scandir(fd)

    def readlink(self, path: Name, *, dir_fd: int | None = None) -> bytes:
        return os.readlink(os.fsencode(path), dir_fd=dir_fd)

    def symlink(self, target: bytes, path: Name, *, dir_fd: int) -> None:
        os.symlink(target, os.fsencode(path), dir_fd=dir_fd)

    def link(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int) -> None:
        os.link(old, new, src_dir_fd=old_dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)

    def link_fd(self, fd: int, new: Name, *, dir_fd: int) -> None:
        # open(2), O_TMPFILE: through /proc any owner may; AT_EMPTY_PATH asks for a capability before Linux 6.10.
        if self._proc:
            os.link(b"/proc/self/fd/%d" % fd, os.fsencode(new), dst_dir_fd=dir_fd, follow_symlinks=True)
        elif _linkat is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        else:
            checked(_linkat, fd, b"", dir_fd, os.fsencode(new), AT_EMPTY_PATH, name=new)

    def rename(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int, flags: int = 0) -> None:
        if not flags:
            os.rename(old, new, src_dir_fd=old_dir_fd, dst_dir_fd=new_dir_fd)
        elif _renameat2 is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        else:
            checked(_renameat2, old_dir_fd, os.fsencode(old), new_dir_fd, os.fsencode(new), flags, name=new)

    def utime(
        self, path: Name | int, *, ns: tuple[int, int], dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        os.utime(path, ns=ns, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def clone(self, target_fd: int, source_fd: int) -> None:
        fcntl.ioctl(target_fd, FICLONE, source_fd)

    def syncfs(self, fd: int) -> None:
        if _syncfs is None:
            os.sync()
        else:
            checked(_syncfs, fd)

    def lease(self, fd: int) -> bool | None:
        try:
            # Whoever opens the file for writing while the lease is held makes the kernel send a signal: SIGIO, which kills, unless told otherwise.
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return False if error.errno == errno.EAGAIN else None
        return True

    def is_stub(self, path: Name, *, dir_fd: int) -> bool:  # noqa: ARG002  # plain trees have none
        return False

    def mount_of(self, fd: int) -> tuple[int, int]:
        device = os.fstat(fd).st_dev
        try:
            lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
        except OSError:
            return 0, device
        return next((int(line.split()[1]) for line in lines if line.startswith("mnt_id:")), 0), device
