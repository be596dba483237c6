"""The kernel as one process sees it: the `Kernel` port over a simulated disk, with descriptors that a crash takes away.

Every call is a point at which something else may happen (`between`): another process acts, the call fails, or this process is gone. So a check and
what follows it are as far apart as on a real machine.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from lakelink.model.path import OWN_DIRECTORY
from lakelink.ports.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE, DirectoryEntry, Name
from lakelink.testing.sim.descriptors import Descriptors, Open
from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.inode import Inode, fail
from lakelink.testing.sim.names import require_absent, require_replaceable, text_of

Between: TypeAlias = Callable[[str, str], None]
"""(call, what it is about): called before each effect. May act, raise OSError, or raise Crash."""
AtOpen: TypeAlias = Callable[[Inode], None]  # before a file is opened for its bytes; may raise OSError
OWN = OWN_DIRECTORY.encode()
_UMASK = 0o022
_PROC = "/proc/self/fd/"
_MAX_LINKS_FOLLOWED = 8


class SimKernel:
    """`Kernel` for one process. `looked` is told of each inode whose state the process learns while it has a name that users see."""

    def __init__(
        self, disk: Disk, between: Between, *, first_fd: int, looked: Callable[[Inode], None] | None = None
    ) -> None:
        self.at_open: AtOpen = lambda _inode: None
        self.disk = disk
        self.files = Descriptors(disk, first_fd)
        self.between = between
        self._looked = looked or (lambda _inode: None)

    # Opening and looking
    def open(self, path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self.between("open", text_of(path))
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            parent = self._reach(path, dir_fd, follow=True)
            parent.require_directory()
            inode = self.disk.make(stat.S_IFREG | (mode & ~_UMASK), device=parent.dev)
            return self.files.add(Open(inode, flags))
        try:
            inode = self._reach(path, dir_fd, follow=not flags & os.O_NOFOLLOW)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            parent, name = self._parent(path, dir_fd)
            inode = self.disk.make(stat.S_IFREG | (mode & ~_UMASK), device=parent.dev)
            self.disk.change([(parent, name, inode)])
            return self.files.add(Open(inode, flags))
        if flags & os.O_CREAT and flags & os.O_EXCL:
            fail(errno.EEXIST, path)
        return self._opened(inode, flags, path)

    def _opened(self, inode: Inode, flags: int, path: Name) -> int:
        if inode.is_link and not flags & os.O_PATH:
            fail(errno.ELOOP, path)
        if flags & os.O_DIRECTORY:
            inode.require_directory()
        if inode.is_file and not flags & os.O_PATH:
            self.at_open(inode)
        file = Open(inode, flags)
        if file.writes and inode.is_directory:
            fail(errno.EISDIR, path)
        if file.writes and inode.leases:
            fail(errno.EWOULDBLOCK, path)
        fd = self.files.add(file)
        if flags & os.O_TRUNC and file.writes:
            self._resize(inode, 0)
        return fd

    def open_beneath(self, path: str, flags: int, *, dir_fd: int) -> int:
        self.between("open_beneath", path)
        inode = self.files.inode(dir_fd)
        for component in os.fsencode(path).split(b"/"):
            if inode.is_link:
                fail(errno.ELOOP, path)
            if component == b"..":
                fail(errno.EXDEV, path)
            inode = self.disk.lookup(inode, component)
        if inode.is_link:
            fail(errno.ELOOP, path)
        return self._opened(inode, flags, path)

    def close(self, fd: int, /) -> None:
        self.between("close", "")
        self.files.close(fd)

    def scandir(self, fd: int, /) -> AbstractContextManager[Iterator[DirectoryEntry]]:
        """The names as they are now; each is looked at when it is asked for, and may be another or gone by then."""
        self.between("scandir", "")
        directory = self.files.inode(fd)
        directory.require_directory()
        names = list(directory.entries)
        return nullcontext(_Entry(self, directory, name) for name in names)

    def stat(self, path: Name, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        self.between("stat", text_of(path))
        aside = dir_fd is not None and self.files.inode(dir_fd).own
        return self._seen(self._reach(path, dir_fd, follow=follow_symlinks), aside=aside)

    def stat_entry(self, directory: Inode, name: bytes, *, follow: bool) -> os.stat_result:
        """As `stat` of a name in an open directory."""
        self.between("stat", os.fsdecode(name))
        return self._seen(self._follow(directory, self.disk.lookup(directory, name), follow=follow))

    def fstat(self, fd: int) -> os.stat_result:
        self.between("fstat", "")
        return self._seen(self.files.inode(fd))

    def readlink(self, path: Name, *, dir_fd: int | None = None) -> bytes:
        self.between("readlink", text_of(path))
        inode = self._reach(path, dir_fd, follow=False)
        if not inode.is_link:
            fail(errno.EINVAL, path)
        return bytes(inode.data)

    # Names
    def mkdir(self, path: Name, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self.between("mkdir", text_of(path))
        parent, name = self._parent(path, dir_fd)
        require_absent(parent, name)
        inode = self.disk.make(stat.S_IFDIR | (mode & ~_UMASK), device=parent.dev)
        inode.own = parent.own or name == OWN
        self.disk.change([(parent, name, inode)])

    def rmdir(self, path: Name, *, dir_fd: int | None = None) -> None:
        self.between("rmdir", text_of(path))
        parent, name = self._parent(path, dir_fd)
        inode = self.disk.lookup(parent, name)
        inode.require_directory()
        if inode.entries:
            fail(errno.ENOTEMPTY, path)
        self.disk.change([(parent, name, None)])

    def unlink(self, path: Name, *, dir_fd: int | None = None) -> None:
        self.between("unlink", text_of(path))
        parent, name = self._parent(path, dir_fd)
        if self.disk.lookup(parent, name).is_directory:
            fail(errno.EISDIR, path)
        self.disk.change([(parent, name, None)])

    def symlink(self, target: bytes, path: Name, *, dir_fd: int) -> None:
        self.between("symlink", text_of(path))
        parent, name = self._parent(path, dir_fd)
        require_absent(parent, name)
        inode = self.disk.make(stat.S_IFLNK | 0o777, device=parent.dev)
        inode.data = bytearray(target)
        self.disk.change([(parent, name, inode)])

    def link(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int) -> None:
        self.between("link", f"{text_of(old)} -> {text_of(new)}")
        self._link(self.disk.lookup(self.files.inode(old_dir_fd), os.fsencode(old)), new, new_dir_fd)

    def link_fd(self, fd: int, new: Name, *, dir_fd: int) -> None:
        self.between("link_fd", text_of(new))
        self._link(self.files.inode(fd), new, dir_fd)

    def _link(self, inode: Inode, new: Name, dir_fd: int) -> None:
        parent, name = self._parent(new, dir_fd)
        require_absent(parent, name)
        if inode.is_directory:
            fail(errno.EPERM, new)
        if inode.dev != parent.dev:
            fail(errno.EXDEV, new)
        self.disk.change([(parent, name, inode)])

    def rename(self, old: Name, new: Name, *, old_dir_fd: int, new_dir_fd: int, flags: int = 0) -> None:
        self.between("rename", f"{text_of(old)} -> {text_of(new)} {flags or ''}")
        source, old_name = self._parent(old, old_dir_fd)
        target, new_name = self._parent(new, new_dir_fd)
        inode = self.disk.lookup(source, old_name)
        there = target.entries.get(new_name)
        if inode.dev != target.dev:
            fail(errno.EXDEV, new)
        if inode.is_directory and (target is inode or any(below is target for _, below in self.disk.tree(inode))):
            fail(errno.EINVAL, new)
        if flags & RENAME_EXCHANGE:
            if there is None:
                fail(errno.ENOENT, new)
            self.disk.change([(source, old_name, there), (target, new_name, inode)])
            return
        if there is not None:
            if flags & RENAME_NOREPLACE:
                fail(errno.EEXIST, new)
            if there is inode:
                return
            require_replaceable(inode, there, new)
        self.disk.change([(target, new_name, inode), (source, old_name, None)])

    def fchmod(self, fd: int, mode: int) -> None:
        self.between("fchmod", f"{mode:o}")
        self._chmod(self.files.inode(fd), mode)

    def chmod(self, path: Name, mode: int) -> None:
        self.between("chmod", f"{text_of(path)} {mode:o}")
        self._chmod(self._reach(path, None, follow=True), mode)

    def _chmod(self, inode: Inode, mode: int) -> None:
        inode.mode = stat.S_IFMT(inode.mode) | (mode & 0o7777)
        self._changed(inode)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        self.between("fchown", f"{uid}:{gid}")
        self._chown(self.files.inode(fd), uid, gid)

    def chown(self, path: Name, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        self.between("chown", f"{text_of(path)} {uid}:{gid}")
        self._chown(self._reach(path, dir_fd, follow=follow_symlinks), uid, gid)

    def _chown(self, inode: Inode, uid: int, gid: int) -> None:
        inode.uid, inode.gid = uid, gid
        if inode.is_file:
            inode.mode &= ~(stat.S_ISUID | stat.S_ISGID)
        self._changed(inode)

    def utime(
        self, path: Name | int, *, ns: tuple[int, int], dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        self.between("utime", text_of(path))
        inode = self.files.inode(path) if isinstance(path, int) else self._reach(path, dir_fd, follow=follow_symlinks)
        inode.atime_ns, inode.mtime_ns = ns
        self._changed(inode)

    def read(self, fd: int, length: int, /) -> bytes:
        self.between("read", "")
        file = self.files.get(fd)
        data = self._bytes(file, file.position, length)
        file.position += len(data)
        return data

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        self.between("pread", "")
        return self._bytes(self.files.get(fd), offset, length)

    def _bytes(self, file: Open, offset: int, length: int) -> bytes:
        if file.inode.is_directory:
            fail(errno.EISDIR)
        return bytes(file.inode.data[offset : offset + length])

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        self.between("write", "")
        file = self.files.get(fd)
        file.position += (written := self._put(file, data, file.position))
        return written

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int, /) -> int:
        self.between("pwrite", "")
        return self._put(self.files.get(fd), data, offset)

    def _put(self, file: Open, data: bytes | memoryview, offset: int) -> int:
        if not file.writes:
            fail(errno.EBADF)
        inode = file.inode
        if len(inode.data) < offset:
            inode.data += bytes(offset - len(inode.data))
        inode.data[offset : offset + len(data)] = data
        inode.hole = False
        self._modified(inode)
        return len(data)

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        self.between("lseek", "")
        file = self.files.get(fd)
        size = len(file.inode.data)
        if whence in {os.SEEK_DATA, os.SEEK_HOLE}:
            if position >= size:
                fail(errno.ENXIO)
            file.position = position if whence == os.SEEK_DATA else size
        else:
            file.position = (0, file.position, size)[whence] + position
        return file.position

    def ftruncate(self, fd: int, length: int, /) -> None:
        self.between("ftruncate", str(length))
        file = self.files.get(fd)
        if not file.writes:
            fail(errno.EINVAL)
        self._resize(file.inode, length)

    def _resize(self, inode: Inode, length: int) -> None:
        inode.hole = inode.hole or not length  # what a file is extended by is a hole
        del inode.data[length:]
        inode.data += bytes(length - len(inode.data))
        self._modified(inode)

    def copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        self.between("copy_file_range", "")
        return self._put(self.files.get(dst), self._bytes(self.files.get(src), offset_src or 0, count), offset_dst or 0)

    def clone(self, target_fd: int, source_fd: int) -> None:  # noqa: ARG002  # it is refused whatever it names
        self.between("clone", "")
        fail(errno.EOPNOTSUPP)

    # Durability, locks, facts
    def fdatasync(self, fd: int) -> None:
        self.between("fdatasync", "")
        self.disk.sync_data(self.files.inode(fd))

    def syncfs(self, fd: int) -> None:
        self.between("syncfs", "")
        self.files.get(fd)
        self.disk.sync_all()

    def flock(self, fd: int, operation: int, /) -> None:
        self.between("flock", str(operation))
        self.files.flock(fd, operation)

    def lease(self, fd: int) -> bool | None:
        self.between("lease", "")
        return self.files.lease(fd)

    def is_stub(self, path: Name, *, dir_fd: int) -> bool:
        return self._reach(path, dir_fd, follow=False).has_no_bytes

    def mount_of(self, fd: int) -> tuple[int, int]:
        self.between("mount_of", "")
        device = self.files.inode(fd).dev
        return device, device

    def geteuid(self) -> int:
        return 0

    def _reach(self, path: Name, dir_fd: int | None, *, follow: bool) -> Inode:
        text = text_of(path)
        if text.startswith(_PROC):
            return self.files.inode(int(text[len(_PROC) :]))
        here = self.disk.top if dir_fd is None or text.startswith("/") else self.files.inode(dir_fd)
        components = [part for part in os.fsencode(path).split(b"/") if part]
        for i, component in enumerate(components or [b"."]):
            last = i >= len(components) - 1
            here = self._follow(here, self.disk.lookup(here, component), follow=follow or not last)
        return here

    def _follow(self, directory: Inode, inode: Inode, *, follow: bool) -> Inode:
        for _ in range(_MAX_LINKS_FOLLOWED):
            if not inode.is_link or not follow:
                return inode
            target = bytes(inode.data)
            here = self.disk.top if target.startswith(b"/") else directory
            for component in (part for part in target.split(b"/") if part):
                if component == b"..":
                    fail(errno.ENOENT, target)  # directories do not know what is above them here; nobody needs it
                here = self.disk.lookup(here, component)
            inode = here
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def _parent(self, path: Name, dir_fd: int | None) -> tuple[Inode, bytes]:
        parent, _, name = os.fsencode(path).rpartition(b"/")
        above = self._reach(parent, dir_fd, follow=True) if parent or dir_fd is None else self.files.inode(dir_fd)
        above.require_directory()
        if not above.nlink:
            fail(errno.ENOENT, path)
        if len(name) > 255:
            fail(errno.ENAMETOOLONG, path)
        return above, name

    def _seen(self, inode: Inode, *, aside: bool = False) -> os.stat_result:
        if not aside:
            self._looked(inode)
        return inode.stat()

    def _changed(self, inode: Inode) -> None:
        inode.ctime_ns = self.disk.now_ns()
        self.disk.changes += not inode.own
        self.disk.soil(inode)
        self.disk.tell(inode)

    def _modified(self, inode: Inode) -> None:
        inode.mtime_ns = self.disk.now_ns()
        self._changed(inode)


class _Entry:
    """What `scandir` yields."""

    def __init__(self, kernel: SimKernel, directory: Inode, name: bytes) -> None:
        self._kernel = kernel
        self._directory = directory
        self._name = name

    @property
    def name(self) -> str:
        return os.fsdecode(self._name)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._kernel.stat_entry(self._directory, self._name, follow=follow_symlinks)
