"""A staged file gets its name, if nobody has it."""

from __future__ import annotations

import contextlib
import errno
import os

from lakelink.ports.kernel import RENAME_NOREPLACE
from lakelink.ports.linux import LinuxKernel

_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def place(dir_fd: int, staged: str, name: str) -> None:
    """Afterwards `name` is what `staged` was, in one step, by the best means the file system has.

    Where it has neither RENAME_NOREPLACE nor hard links, what comes to that name between a look and the rename is replaced.

    Raises:
        FileExistsError: something has that name; it stays, and so does the staged file.
        OSError: it cannot be done.
    """
    try:
        LinuxKernel().rename(staged, name, old_dir_fd=dir_fd, new_dir_fd=dir_fd, flags=RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
    else:
        return
    try:
        os.link(staged, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
    else:
        os.unlink(staged, dir_fd=dir_fd)
        return
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.rename(staged, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
