"""The kernel as the link of a lazy tree uses it: stubs are never opened for their bytes.

Whoever opens a stub has it loaded, the link itself too; and what is not guarded would be read as zeros. So each file is looked at before it is opened,
and once more through the descriptor: a release cannot come behind that, since it needs the file to be closed everywhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from lakelink.links.hsm.stub import ATTRIBUTE, Unreadable, decode
from lakelink.ports.kernel import Name
from lakelink.ports.linux import LinuxKernel

NOT_FOR_BYTES = os.O_PATH | os.O_DIRECTORY | os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)
"""Opening with one of these never asks for the bytes of a file that was there before."""


class LazyKernel(LinuxKernel):
    """`Kernel` on this machine, for a lazy tree: opening a stub for its bytes is ENODATA, at once."""

    def is_stub(self, path: Name, *, dir_fd: int) -> bool:
        """See `Kernel.is_stub`."""
        return without_bytes(_named(path, dir_fd))

    def open(self, path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # type: ignore[override]
        """See `Kernel.open`.

        Raises:
            OSError: ENODATA: the file is a stub.
        """
        if flags & NOT_FOR_BYTES:
            return os.open(path, flags, mode, dir_fd=dir_fd)
        return open_with_bytes(
            path,
            lambda: _named(path, dir_fd),
            lambda: os.open(path, flags, mode, dir_fd=dir_fd),
            lambda fd: _value(fd, follow=True),
            os.close,
        )


def open_with_bytes(
    path: Name,
    before: Callable[[], bytes | None],
    opening: Callable[[], int],
    after: Callable[[int], bytes | None],
    close: Callable[[int], None],
) -> int:
    """Open a file, if neither its attribute `before` nor that `after` says that its bytes are not here.

    Raises:
        OSError: ENODATA: they are not.
    """
    if without_bytes(before()):
        raise _no_bytes(path)
    fd = opening()
    if without_bytes(after(fd)):
        close(fd)
        raise _no_bytes(path)
    return fd


def without_bytes(value: bytes | None) -> bool:
    """Whether the file with this attribute has no bytes that could be read. One that cannot be understood is believed to say so."""
    if value is None:
        return False
    try:
        return decode(value).flags.is_stub
    except Unreadable:
        return True


def _named(path: Name, dir_fd: int | None) -> bytes | None:
    """The attribute by a name. There is no getxattrat(2) before Linux 6.13; a descriptor's name in /proc leads to the very directory."""
    if dir_fd is not None:
        path = b"/proc/self/fd/%d/%b" % (dir_fd, os.fsencode(path))
    return _value(path, follow=False)


def _value(target: Name | int, *, follow: bool) -> bytes | None:
    try:
        return os.getxattr(target, ATTRIBUTE, follow_symlinks=follow)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return None  # a name that is not there is told by the call that follows
        raise


def _no_bytes(path: Name) -> OSError:
    return OSError(errno.ENODATA, os.strerror(errno.ENODATA), os.fsdecode(path))
