"""One directory, without what is below it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator

from lakelink.errors import NotFound
from lakelink.locations.base import Batch
from lakelink.locations.local.directories import open_below
from lakelink.locations.local.oserror import GONE, translate
from lakelink.locations.local.root import Root
from lakelink.model.change import Skipped, SkipReason
from lakelink.model.entry import Kind, Row, kind_of_mode
from lakelink.model.path import OWN_DIRECTORY, display, join
from lakelink.ports.kernel import DirectoryEntry, Kernel

BATCH_ROWS = 1000
_READ = os.O_RDONLY | os.O_DIRECTORY


def list_directory(kernel: Kernel, root: Root, path: str) -> Generator[Batch, None, None]:
    """See `Browsable.list_directory`. What vanishes meanwhile is not there; devices and the like are skipped."""
    try:
        fd = open_below(kernel, root.fd(), path, _READ)
    except OSError as error:
        if error.errno in GONE:
            raise NotFound(f"there is no directory {display(path)}") from error
        raise translate(error, path) from error
    batch = Batch()
    try:
        with kernel.scandir(fd) as entries:
            for entry in entries:
                if entry.name != OWN_DIRECTORY:
                    _add(batch, join(path, entry.name), entry)
                if len(batch.rows) >= BATCH_ROWS:
                    yield batch
                    batch = Batch()
    except OSError as error:
        raise translate(error, path) from error
    finally:
        kernel.close(fd)
    yield batch


def _add(batch: Batch, path: str, entry: DirectoryEntry) -> None:
    try:
        st = entry.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ESTALE}:
            return
        raise
    kind = kind_of_mode(st.st_mode)
    if kind is Kind.OTHER:
        batch.skipped.append(Skipped(path, SkipReason.SPECIAL))
        return
    mode = stat.S_IMODE(st.st_mode)
    batch.rows.append(
        Row(path, kind, st.st_size, st.st_mtime_ns, mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_ino)
    )
