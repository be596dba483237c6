"""Files that nobody sees yet.

Without a name (O_TMPFILE) in the directory they are meant for: measured a tenth cheaper than a named file that is renamed from a staging
directory, never on the wrong file system, and gone by themselves after `kill -9`. Where the file system has no O_TMPFILE, a 0600 file in the area.
"""

from __future__ import annotations

import os

from lakelink.errors import InternalError
from lakelink.locations.local.area import Area
from lakelink.locations.local.areas import Areas
from lakelink.locations.local.attributes import set_link
from lakelink.locations.local.oserror import NOT_OFFERED
from lakelink.locations.local.place import Place, Replacement, create
from lakelink.model.entry import Posix, Version
from lakelink.model.path import split
from lakelink.ports.kernel import Kernel

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class Stage:
    """A file being filled through `fd`, and read back to check it. `discard` it in the end, whatever happened: what was placed stays."""

    __slots__ = ("_area", "_areas", "_kernel", "fd", "name")

    def __init__(self, kernel: Kernel, areas: Areas, fd: int, area: Area | None = None, name: str = "") -> None:
        self._kernel = kernel
        self._areas = areas
        self._area = area
        self.fd = fd
        self.name = name  # in the area; "" = none

    def create(self, place: Place) -> None:
        """Take the place, where nothing is. Atomic.

        Raises:
            FileExistsError: something is there.
        """
        if self._area is None:
            self._kernel.link_fd(self.fd, place.name, dir_fd=place.dir_fd)
        else:
            create(self._kernel, self._area, self.name, place)
            self.name = ""

    def replace(self, place: Place, ours: Version, displaced: Version, *, keep: bool) -> None:
        """Take the place of the version `displaced`; errors as `Replacement.run`."""
        area = self._area or self._areas.of(place.dir_fd, split(place.path)[0])
        replacement = Replacement(self._kernel, area, place, ours, displaced, keep=keep)
        if self._area is None:
            self._kernel.link_fd(self.fd, replacement.name, dir_fd=area.tmp_fd)
        else:
            self._kernel.rename(self.name, replacement.name, old_dir_fd=area.tmp_fd, new_dir_fd=area.tmp_fd)
            self.name = ""
        self._close()  # so that whoever is found writing to it, should it be displaced again, is somebody else
        replacement.run()

    def settle_link(self, posix: Posix | None, *, owner: bool) -> os.stat_result:
        """Give a staged symlink its owner and times; answers what it is then."""
        if self._area is None:
            raise InternalError("only a named stage can be a symlink")
        dir_fd = self._area.tmp_fd
        if posix is not None:
            return set_link(self._kernel, self.name, dir_fd, posix, owner=owner)
        return self._kernel.stat(self.name, dir_fd=dir_fd, follow_symlinks=False)

    def discard(self) -> None:
        """Release the descriptor; what has no place yet is gone. Idempotent."""
        self._close()
        if self.name and self._area is not None:
            self._area.unlink(self.name)
            self.name = ""

    def _close(self) -> None:
        if self.fd >= 0:
            self._kernel.close(self.fd)
            self.fd = -1


class Stages:
    """Makes stages, and remembers which file systems have no O_TMPFILE."""

    def __init__(self, kernel: Kernel, areas: Areas) -> None:
        self._kernel = kernel
        self._areas = areas
        self._named: set[int] = set()

    def open(self, dir_fd: int, path: str, mode: int) -> Stage:
        """An empty file for the directory `path`, open as `dir_fd`. Errors are OSError."""
        if not self._named or self._kernel.fstat(dir_fd).st_dev not in self._named:
            try:
                fd = self._kernel.open(".", os.O_TMPFILE | os.O_RDWR, mode, dir_fd=dir_fd)
            except OSError as error:
                if error.errno not in NOT_OFFERED:
                    raise
                self._named.add(self._kernel.fstat(dir_fd).st_dev)
            else:
                return Stage(self._kernel, self._areas, fd)
        area = self._areas.of(dir_fd, path)
        name = area.new_name()
        fd = self._kernel.open(name, _NEW_FILE, mode, dir_fd=area.tmp_fd)
        return Stage(self._kernel, self._areas, fd, area, name)

    def link(self, dir_fd: int, path: str, target: bytes) -> Stage:
        """A symlink for the directory `path`; it has no descriptor."""
        area = self._areas.of(dir_fd, path)
        name = area.new_name()
        self._kernel.symlink(target, name, dir_fd=area.tmp_fd)
        return Stage(self._kernel, self._areas, -1, area, name)
