"""Putting what is staged in place, and taking away what is there, without ever losing what somebody else put there meanwhile.

A new name is taken with a call that never replaces (linkat, RENAME_NOREPLACE). A name that is taken changes hands by RENAME_EXCHANGE, and
what was displaced is then looked at where nobody else reaches it: if it is not the version that was to go, it is put back.
Where a file system lacks a call, the next best one stands in, named at its place below.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from lakelink.errors import PreconditionFailed, StorageError
from lakelink.locations.local.area import Area
from lakelink.locations.local.metadata import is_version
from lakelink.locations.local.oserror import NOT_OFFERED
from lakelink.model.entry import Kind, Version, kind_of_mode
from lakelink.model.path import display
from lakelink.ports.kernel import RENAME_EXCHANGE, RENAME_NOREPLACE, Kernel

_NO_LINKS = NOT_OFFERED | {errno.EPERM, errno.EMLINK}
_REPLACEABLE = frozenset({Kind.FILE, Kind.SYMLINK})  # each by the other too; never a device or a FIFO


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open directory, and the path it has for people."""

    dir_fd: int
    name: str
    path: str
    kind: Kind


def taken(path: str, detail: str = "is not the version that was to be replaced") -> PreconditionFailed:
    """The error of a place that does not hold what was expected."""
    return PreconditionFailed(f"{display(path)} {detail}", hint="Another writer was there; it is compared again.")


def look(kernel: Kernel, place: Place) -> os.stat_result | None:
    """What is at the place now, not following a link; None = nothing."""
    try:
        return kernel.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def require(kernel: Kernel, place: Place, version: Version) -> None:
    """A look at what is to be replaced before any work is done; it proves nothing for later.

    Raises:
        PreconditionFailed: the place holds something else, or nothing, or what is never replaced.
    """
    st = look(kernel, place)
    if st is None:
        raise taken(place.path, "is gone")
    if not is_version(version, st) or kind_of_mode(st.st_mode) not in _REPLACEABLE:
        raise taken(place.path)


def create(kernel: Kernel, area: Area, staged: str, place: Place) -> None:
    """`staged`, a name in the area, becomes the place; nothing is there before. Atomic.

    Raises:
        FileExistsError: something is there.
    """
    try:
        kernel.rename(staged, place.name, old_dir_fd=area.tmp_fd, new_dir_fd=place.dir_fd, flags=RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
    else:
        return
    try:
        kernel.link(staged, place.name, old_dir_fd=area.tmp_fd, new_dir_fd=place.dir_fd)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Neither call: look, then rename. Somebody who comes between loses; such file systems (vfat, some FUSE) are documented.
        if look(kernel, place) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        kernel.rename(staged, place.name, old_dir_fd=area.tmp_fd, new_dir_fd=place.dir_fd)
    else:
        kernel.unlink(staged, dir_fd=area.tmp_fd)


class Replacement:
    """One exchange: `staged` (a name in the area, of version `ours`) for `displaced`, the version at the place."""

    def __init__(
        self, kernel: Kernel, area: Area, place: Place, ours: Version, displaced: Version, *, keep: bool
    ) -> None:
        self._kernel = kernel
        self._area = area
        self._place = place
        self._ours = ours
        self._displaced = displaced
        self._keep = keep
        self.name = area.old_name(ours.ino, displaced, keep=keep)

    def run(self) -> None:
        """Afterwards the place holds ours, and what it held is removed or in the trash; or it holds what it held.

        Raises:
            PreconditionFailed: the place did not hold the version named; whatever it held is there again or in the trash.
        """
        with self._area.turn:
            self._run()

    def _run(self) -> None:
        place, area = self._place, self._area
        try:
            self._exchange()
        except FileNotFoundError as error:
            area.unlink(self.name)
            raise taken(place.path, "is gone") from error
        except OSError as error:
            if error.errno in NOT_OFFERED:
                self._over()
                return
            area.unlink(self.name)
            raise
        if not area.drop(self.name, place.path, self._displaced, keep=self._keep):
            self._put_back()
            raise taken(place.path)

    def _exchange(self) -> None:
        place = self._place
        self._kernel.rename(
            self.name, place.name, old_dir_fd=self._area.tmp_fd, new_dir_fd=place.dir_fd, flags=RENAME_EXCHANGE
        )

    def _put_back(self) -> None:
        """The place held an edit of somebody else. It goes back; what comes out is ours, or is kept."""
        place, area = self._place, self._area
        try:
            self._exchange()
        except OSError:
            # The place was emptied meanwhile, or cannot be had again.
            restore(self._kernel, area, self.name, place)
            return
        if not area.drop(self.name, place.path, self._ours, keep=False):
            area.keep(self.name, place.path)

    def _over(self) -> None:
        """No RENAME_EXCHANGE (NFS, some FUSE): hold the old file by a second name, look again, rename over it, look at what was held."""
        kernel, place, area = self._kernel, self._place, self._area
        held = area.old_name(0, self._displaced, keep=self._keep)
        try:
            held = self._hold(held)
            if self._keep and not held:
                # Nor hard links (vfat): for a moment the path is absent, since what is to be kept must be moved aside first.
                remove(kernel, area, place, self._displaced, keep=True)
                create(kernel, area, self.name, place)
                return
            require(kernel, place, self._displaced)
            kernel.rename(self.name, place.name, old_dir_fd=area.tmp_fd, new_dir_fd=place.dir_fd)
        except (OSError, PreconditionFailed) as error:
            area.unlink(self.name)
            if held:
                area.unlink(held)  # only a second name: the file is still at its own
            if isinstance(error, FileNotFoundError):
                raise taken(place.path, "is gone") from error
            raise
        if held and not area.drop(held, place.path, self._displaced, keep=self._keep):
            where = area.keep(held, place.path)
            raise PreconditionFailed(
                f"{display(place.path)} was edited while it was replaced", hint=f"The edit is kept in {display(where)}."
            )

    def _hold(self, held: str) -> str:
        """The second name; "" where there are no hard links."""
        place = self._place
        try:
            self._kernel.link(place.name, held, old_dir_fd=place.dir_fd, new_dir_fd=self._area.tmp_fd)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return ""
        return held


def remove(kernel: Kernel, area: Area, place: Place, version: Version, *, keep: bool) -> None:
    """Afterwards nothing is at the place, and the file or link that was there is removed or in the trash; or it is where it was.

    Raises:
        PreconditionFailed: the place did not hold the version named; whatever it held is there again or in the trash.
        FileNotFoundError: nothing was there.
    """
    name = area.old_name(0, version, keep=keep)
    kernel.rename(place.name, name, old_dir_fd=place.dir_fd, new_dir_fd=area.tmp_fd)
    if not area.drop(name, place.path, version, keep=keep):
        restore(kernel, area, name, place)
        raise taken(place.path)


def restore(kernel: Kernel, area: Area, name: str, place: Place) -> None:
    """Give back what `name` holds, if its place is free; else keep it.

    Raises:
        StorageError: neither was possible; it stays in the area, and the next run that cleans up moves it to the trash.
    """
    try:
        create(kernel, area, name, place)
    except OSError:
        try:
            area.keep(name, place.path)
        except OSError as error:
            raise StorageError(
                f"{display(place.path)}: an edit could be neither put back nor moved to the trash",
                hint=f"It is in .lakelink/tmp/{name}.",
            ) from error
