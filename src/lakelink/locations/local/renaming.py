"""A new name for what is there, without touching its bytes."""

from __future__ import annotations

import errno
import os

from lakelink.errors import Unsupported
from lakelink.locations.local.hands import Hands
from lakelink.locations.local.metadata import entry_of, matches, version_of
from lakelink.locations.local.oserror import NOT_OFFERED
from lakelink.locations.local.place import Place, Replacement, look, remove, require, taken
from lakelink.model.entry import Entry, Expect, Kind, Version, kind_of_mode
from lakelink.model.path import display, split
from lakelink.ports.kernel import RENAME_NOREPLACE

_ELSEWHERE = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK})


def rename(hands: Hands, origin: tuple[str, Version], new_path: str, expect: Expect) -> Entry:
    """See `Renamer.rename`; errors are raised, those of the system as OSError."""
    path, version = origin
    hands.require_name(path)
    hands.require_name(new_path)
    kernel = hands.means.kernel
    old = hands.place(path, Kind.FILE)
    st = look(kernel, old)
    if st is None or not matches(version, kind_of_mode(st.st_mode), st):
        raise taken(path, "is not the version that was to be renamed")
    new = hands.place(new_path, Kind.FILE, make=True)
    try:
        if expect.version is not None:
            _replace(hands, old, new, (version_of(st), expect.version))
        else:
            _take(hands, old, new, version_of(st), is_directory=kind_of_mode(st.st_mode) is Kind.DIR)
    except OSError as error:
        if error.errno in _ELSEWHERE:
            raise Unsupported(f"{display(path)} cannot become {display(new_path)} without a copy") from error
        raise
    is_link = kind_of_mode(st.st_mode) is Kind.SYMLINK
    return entry_of(st, os.fsdecode(kernel.readlink(new.name, dir_fd=new.dir_fd)) if is_link else None)


def _take(hands: Hands, old: Place, new: Place, version: Version, *, is_directory: bool) -> None:
    """A name that is free; EEXIST where it is not."""
    kernel = hands.means.kernel
    try:
        kernel.rename(old.name, new.name, old_dir_fd=old.dir_fd, new_dir_fd=new.dir_fd, flags=RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in NOT_OFFERED or is_directory:
            raise
        kernel.link(old.name, new.name, old_dir_fd=old.dir_fd, new_dir_fd=new.dir_fd)
        remove(kernel, hands.means.areas.of(old.dir_fd, split(old.path)[0]), old, version, keep=False)


def _replace(hands: Hands, old: Place, new: Place, versions: tuple[Version, Version]) -> None:
    """A name that is taken: a second name of the file is exchanged for what is there, as any new content is; only then the first one goes.

    Until then the file has at least one name that people know.
    """
    kernel = hands.means.kernel
    ours, displaced = versions
    require(kernel, new, displaced)
    area = hands.means.areas.of(new.dir_fd, split(new.path)[0])
    replacement = Replacement(kernel, area, new, ours, displaced, keep=hands.means.trash)
    kernel.link(old.name, replacement.name, old_dir_fd=old.dir_fd, new_dir_fd=area.tmp_fd)
    replacement.run()
    remove(kernel, hands.means.areas.of(old.dir_fd, split(old.path)[0]), old, ours, keep=False)
