"""The open files of one simulated process, with their locks and leases."""

from __future__ import annotations

import errno
import fcntl
import os

from lakelink.testing.sim.disk import Disk
from lakelink.testing.sim.inode import Inode, fail


class Open:
    """One open file description."""

    __slots__ = ("inode", "leased", "position", "writes")

    def __init__(self, inode: Inode, flags: int) -> None:
        self.inode = inode
        self.position = 0
        self.leased = False
        self.writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) and not flags & os.O_PATH


class Descriptors:
    """Numbers from `first_fd` on, so that no real descriptor is ever mistaken for one of these."""

    def __init__(self, disk: Disk, first_fd: int) -> None:
        self._disk = disk
        self._next = first_fd
        self._open: dict[int, Open] = {}

    def add(self, file: Open) -> int:
        """A number for it. Each is used once, so that a descriptor used after its end is always noticed."""
        self._next += 1
        self._open[self._next] = file
        file.inode.opens += 1
        file.inode.writers += file.writes
        return self._next

    def get(self, fd: int) -> Open:
        file = self._open.get(fd)
        if file is None:
            fail(errno.EBADF)
        return file

    def inode(self, fd: int) -> Inode:
        return self.get(fd).inode

    def __len__(self) -> int:
        return len(self._open)

    def close(self, fd: int) -> None:
        file = self.get(fd)
        del self._open[fd]
        inode = file.inode
        inode.opens -= 1
        inode.writers -= file.writes
        inode.leases -= file.leased
        inode.locks.pop(fd, None)
        if file.writes:
            self._disk.tell(inode)
        self._disk.release(inode)

    def close_all(self) -> None:
        """The process has ended."""
        for fd in list(self._open):
            self.close(fd)

    def forget(self) -> None:
        """The machine has ended: there is nothing to give back to."""
        self._open.clear()

    def flock(self, fd: int, operation: int) -> None:
        """Take, change or give back the advisory lock of an open file, never waiting."""
        inode = self.inode(fd)
        wanted = operation & ~fcntl.LOCK_NB
        if wanted == fcntl.LOCK_UN:
            inode.locks.pop(fd, None)
            return
        others = [held for holder, held in inode.locks.items() if holder != fd]
        if others and (wanted == fcntl.LOCK_EX or fcntl.LOCK_EX in others):
            fail(errno.EWOULDBLOCK)
        inode.locks[fd] = wanted

    def lease(self, fd: int) -> bool:
        """A read lease: whoever wants to write waits until `fd` is closed."""
        file = self.get(fd)
        if file.inode.writers:
            return False
        file.inode.leases += not file.leased
        file.leased = True
        return True
