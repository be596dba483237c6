"""Making stubs from rows, as plain system calls; and as a program that does it for another process, which makes use of a second core.

`python -m lakelink.links.hsm.maker TREE_FD GROUP_FD MASK CONTROL_FD`: rows come as marshalled lists behind four bytes of length, inodes go back.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TypeAlias

from lakelink.links.hsm.stub import ATTRIBUTE
from lakelink.ports import permission
from lakelink.ports.linux import LinuxKernel

Row: TypeAlias = tuple[bytes, int, int, int, int, int, int, bytes]
"""Path below the tree, size, mode, uid, gid, atime and mtime in ns, the attribute's value."""

length_of = struct.Struct("=I")
_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_TAKEN_BY_CHOWN = 0o6000  # set-user-ID and set-group-ID
_kernel = LinuxKernel()


def dress(fd: int, row: Row, group_fd: int, mask: int) -> int:
    """Make an open, empty file the stub of a row; its inode. It has no name yet, or one that no user finds."""
    _, size_bytes, mode, uid, gid, atime_ns, mtime_ns, value = row
    found = os.fstat(fd)
    os.ftruncate(fd, size_bytes)
    # Each change of an inode is a transaction of the file system: what is so already is left.
    if (found.st_uid, found.st_gid) != (uid, gid):
        os.fchown(fd, uid, gid)
    if found.st_mode & 0o7777 != mode or mode & _TAKEN_BY_CHOWN:
        os.fchmod(fd, mode)
    os.setxattr(fd, ATTRIBUTE, value)
    os.utime(fd, ns=(atime_ns, mtime_ns))
    permission.mark(group_fd, fd, mask)
    return found.st_ino


def carry_out(tree_fd: int, group_fd: int, mask: int, rows: Sequence[Row]) -> list[int]:
    """The inode of each stub that was made, or the errno, negative. Neighbours in one directory open it once."""
    made: list[int] = []
    parent, directory_fd = b"/", -1
    try:
        for row in rows:
            above, _, name = row[0].rpartition(b"/")
            try:
                if above != parent:
                    if directory_fd >= 0:
                        os.close(directory_fd)
                    parent, directory_fd = b"/", -1
                    # No component may be a symlink: it could lead out of the tree.
                    directory_fd = _kernel.open_beneath(os.fsdecode(above) or ".", _DIRECTORY, dir_fd=tree_fd)
                    parent = above
                made.append(_one(directory_fd, name, row, (group_fd, mask)))
            except OSError as error:
                made.append(-(error.errno or 1))
    finally:
        if directory_fd >= 0:
            os.close(directory_fd)
    return made


def _one(directory_fd: int, name: bytes, row: Row, guard: tuple[int, int]) -> int:
    fd = os.open(".", _NAMELESS, row[2] & 0o777, dir_fd=directory_fd)
    try:
        inode = dress(fd, row, *guard)
        permission.link_fd(fd, directory_fd, name)
    finally:
        os.close(fd)
    return inode


def receive(control: socket.socket) -> list[int] | list[Row] | None:
    """The next list; None at the end."""
    head = control.recv(length_of.size, socket.MSG_WAITALL)
    if len(head) < length_of.size:
        return None
    (length,) = length_of.unpack(head)
    data = control.recv(length, socket.MSG_WAITALL) if length else b""
    if len(data) < length:
        return None
    return marshal.loads(data)  # type: ignore[no-any-return]  # noqa: S302  # from our own process, over a socket without a name


def send(control: socket.socket, items: list[int] | list[Row]) -> None:
    data = marshal.dumps(items)
    control.sendall(length_of.pack(len(data)) + data)


def main(arguments: list[str]) -> None:
    """Until the other end closes."""
    os.umask(0)  # a file gets its mode as it is made
    tree_fd, group_fd, mask = map(int, arguments[1:4])
    with socket.socket(fileno=int(arguments[4])) as control:
        while (rows := receive(control)) is not None:
            send(control, carry_out(tree_fd, group_fd, mask, rows))  # type: ignore[arg-type]  # rows come this way


if __name__ == "__main__":
    main(sys.argv)
