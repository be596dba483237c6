"""Which stubs still stand for an object that is about to go: asked by inode, since a rename that nobody told of leaves the inode and moves the name."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import struct
from collections.abc import Sequence

from lakelink.links.hsm.guard import KernelGuard
from lakelink.links.hsm.stub import Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.ports import permission

_INO32_GEN = 1  # linux/exportfs.h, FILEID_INO32_GEN: inode and generation; to ext4 a generation of 0 is any
_WALKS = 2


class LivingStubs:
    """`lazy.Needed` over a real tree. On ext4 an inode is opened by its number; elsewhere the tree is walked, by names alone."""

    def __init__(self, guard: KernelGuard) -> None:
        self._guard = guard

    async def living(self, inodes: Sequence[int], path: str) -> list[str]:
        """See `lazy.Needed`."""
        return await asyncio.to_thread(self._living, set(inodes), path)

    def _living(self, inodes: set[int], path: str) -> list[str]:
        tree = self._guard.tree
        found: set[str] = set()
        left: set[int] = set()
        for inode in inodes:
            place = _by_number(tree, inode, path)
            if place is None:
                left.add(inode)
            elif place:
                found.add(place)
        for _ in range(_WALKS if left else 0):
            found |= {place for place in _walked(tree, left) if _stands_for(tree, place, path)}
        return sorted(found)


def _by_number(tree: Tree, inode: int, path: str) -> str | None:
    """Where a stub of the object at `path` is, by its inode; "" where there is none; None where this file system is not asked like that."""
    handle = struct.pack("=Ii", 8, _INO32_GEN) + struct.pack("=II", inode & 0xFFFF_FFFF, 0)
    try:
        fd = permission.open_handle(tree.fd, handle, os.O_PATH)
    except OSError as error:
        if error.errno == errno.ESTALE and _is_ext4(tree):
            return ""
        return None
    try:
        if os.fstat(fd).st_ino != inode:
            return None
        with contextlib.suppress(Unreadable):
            stub = tree.stub_of_path(fd)
            if stub is None or not stub.flags.is_stub or stub.origin.path != path or not os.fstat(fd).st_nlink:
                return ""
        return tree.path_of(fd)
    finally:
        os.close(fd)


def _is_ext4(tree: Tree) -> bool:
    with open("/proc/self/mountinfo", "rb") as table:  # noqa: PTH123
        device = b"%d:%d" % (os.major(os.fstat(tree.fd).st_dev), os.minor(os.fstat(tree.fd).st_dev))
        return any(b" - ext4 " in line and line.split(b" ")[2] == device for line in table)


def _walked(tree: Tree, inodes: set[int]) -> list[str]:
    """Paths at which these inodes are."""
    found: list[str] = []
    todo = [""]
    while todo:
        below = todo.pop()
        try:
            fd = os.open(below or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree.fd)
        except OSError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = f"{below}/{entry.name}" if below else entry.name
                    if entry.inode() in inodes:
                        found.append(path)
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(path)
        finally:
            os.close(fd)
    return found


def _stands_for(tree: Tree, place: str, path: str) -> bool:
    sight = tree.sight(place)
    return bool(sight and sight.stub and sight.stub.flags.is_stub and sight.stub.origin.path == path)
