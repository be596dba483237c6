"""`.lakelink` at the top of a mount: names for what is being placed or was displaced, and the trash.

    .lakelink/            0700, ours alone
      tmp/                flock: shared while a run is alive, exclusive to clean up; `staged_names` says what is in it
      trash/STAMP/path    what was displaced and kept, under its path; STAMP: see `stamp`

tmp and trash go when they are empty. The top's own mtime stays as if `.lakelink` had never been.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time

from lakelink.errors import Busy, NotPermitted
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.metadata import is_version
from lakelink.locations.local.oserror import NOT_OFFERED
from lakelink.locations.local.staged_names import Displaced, is_new, new_name
from lakelink.locations.local.stamp import is_over, new_stamp
from lakelink.model.entry import Version
from lakelink.model.path import OWN_DIRECTORY, split
from lakelink.ports.clock import Clock
from lakelink.ports.kernel import RENAME_NOREPLACE, Kernel
from lakelink.ports.random import Random

LOCK_DEADLINE_S = 10.0
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Another user's, or nothing that could be written to through a descriptor: a symlink, a socket, a device without a driver, a stub.
_NOT_FOR_US = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENODATA})


class Area:
    """One `.lakelink`, open and locked. Errors are OSError unless named. Safe from several threads."""

    def __init__(self, kernel: Kernel, top_fd: int, clock: Clock, random: Random) -> None:
        """Make or adopt `.lakelink` in the directory `top_fd`, which stays the caller's, and clean up after runs that were killed.

        Raises:
            NotPermitted: `.lakelink` belongs to another user, who could put anything in it.
            Busy: another run has been cleaning up for longer than `LOCK_DEADLINE_S`.
        """
        self._kernel = kernel
        self._top_fd = top_fd
        self._clock = clock
        self._random = random
        self._stamp = (0, "")
        self._deadline = clock.monotonic() + LOCK_DEADLINE_S
        self.turn = (
            threading.Lock()
        )  # replacements take turns: of three at once, one could put back what another had put in place
        while not self._open():
            pass

    def _open(self) -> bool:
        """Whether `.lakelink` and `tmp` are held now. Not so where another run, ending, removed them meanwhile."""
        adopted = self._adopt()
        if adopted is None:
            self._wait()
            return False
        self.own_fd = adopted
        try:
            self.tmp_fd = self._locked_tmp()
        except FileNotFoundError:
            self._kernel.close(self.own_fd)
            self._wait()
            return False
        except BaseException:
            self._kernel.close(self.own_fd)
            raise
        return True

    def _wait(self) -> None:
        """Give another run a moment.

        Raises:
            Busy: it has had enough of them.
        """
        if self._clock.monotonic() > self._deadline:
            raise Busy(f"another run is cleaning up {OWN_DIRECTORY}", hint="Try again in a moment.")
        time.sleep(0.01)

    def _adopt(self) -> int | None:
        before = self._kernel.fstat(self._top_fd)
        try:
            self._kernel.mkdir(OWN_DIRECTORY, 0o700, dir_fd=self._top_fd)
        except FileExistsError:
            pass
        else:
            self._restore_times(before)
        try:
            fd = self._kernel.open(OWN_DIRECTORY, _OPEN, dir_fd=self._top_fd)
        except FileNotFoundError:
            return None
        st = self._kernel.fstat(fd)
        if st.st_uid != self._kernel.geteuid():
            self._kernel.close(fd)
            raise NotPermitted(
                f"{OWN_DIRECTORY} in the root belongs to user {st.st_uid}",
                hint="Run as that user, or move the directory away after looking into its trash.",
            )
        if stat.S_IMODE(st.st_mode) != 0o700:
            self._kernel.fchmod(fd, 0o700)
        return fd

    def _locked_tmp(self) -> int:
        """`tmp`, held with a shared lock, and surely still the one that the name leads to."""
        while True:
            with contextlib.suppress(FileExistsError):
                self._kernel.mkdir("tmp", 0o700, dir_fd=self.own_fd)
            fd = self._kernel.open("tmp", _OPEN, dir_fd=self.own_fd)
            try:
                if self._lock(fd, fcntl.LOCK_EX):
                    self._sweep(fd)
                shared = self._lock(fd, fcntl.LOCK_SH)
                named = self._kernel.stat("tmp", dir_fd=self.own_fd, follow_symlinks=False)
                if shared is not False and named.st_ino == self._kernel.fstat(fd).st_ino:
                    return fd
            except OSError:
                self._kernel.close(fd)
                raise
            self._kernel.close(fd)
            self._wait()

    def _lock(self, fd: int, operation: int) -> bool | None:
        """Whether we have the lock; None where the file system has none: then nothing is ever swept."""
        try:
            self._kernel.flock(fd, operation | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno == errno.EWOULDBLOCK else None
        return True

    def _sweep(self, tmp_fd: int) -> None:
        """Decide what killed runs left; the exclusive lock says that none of them is alive."""
        with self._kernel.scandir(tmp_fd) as entries:
            names = [entry.name for entry in entries]
        self.tmp_fd = tmp_fd
        for name in names:
            if is_new(name):
                self._kernel.unlink(name, dir_fd=tmp_fd)
                continue
            displaced = Displaced.of(name)
            if displaced is None:
                continue
            st = self._kernel.stat(name, dir_fd=tmp_fd, follow_symlinks=False)
            if displaced.may_go(st) and not self.has_writers(name):
                self._kernel.unlink(name, dir_fd=tmp_fd)
            else:
                self.keep(name, name)

    def new_name(self) -> str:
        """A name for something staged."""
        return new_name(self._random.token())

    def old_name(self, staged_ino: int, displaced: Version, *, keep: bool) -> str:
        """A name for one side of an exchange."""
        return Displaced(staged_ino, displaced, keep=keep).name(self._random.token())

    def unlink(self, name: str) -> None:
        """Remove a name; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self._kernel.unlink(name, dir_fd=self.tmp_fd)

    def has_writers(self, name: str) -> bool:
        """Whether someone still writes to the file. A kernel or file system that does not tell counts as no; being unable to ask (no descriptor
        to be had, trouble with the disk) counts as yes: what may be in use is kept.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        try:
            fd = self._kernel.open(name, flags, dir_fd=self.tmp_fd)
        except OSError as error:
            return error.errno not in _NOT_FOR_US
        try:
            return self._kernel.lease(fd) is False
        finally:
            self._kernel.close(fd)

    def drop(self, name: str, path: str, version: Version, *, keep: bool) -> bool:
        """Remove (or keep, if told or if someone still writes to it) what `name` holds, if it is `version`; False = it is not, and is still there.
        A stub is never kept: it has no bytes.

        Nobody reaches the file by its path any more, so writers are asked for first: who is not there then has left a time that tells.
        """
        st = self._kernel.stat(name, dir_fd=self.tmp_fd, follow_symlinks=False)
        writers = stat.S_ISREG(st.st_mode) and self.has_writers(name)
        st = self._kernel.stat(name, dir_fd=self.tmp_fd, follow_symlinks=False)
        if not is_version(version, st):
            return False
        if writers or (keep and not self._kernel.is_stub(name, dir_fd=self.tmp_fd)):
            self.keep(name, path)
        else:
            self._kernel.unlink(name, dir_fd=self.tmp_fd)
        return True

    def keep(self, name: str, path: str) -> str:
        """Move what `name` holds to the trash of this run; returns where it is, relative to the top."""
        run = f"trash/{self._run()}"
        with Directories(self._kernel, self.own_fd) as directories:
            run_fd = directories.make(run, 0o700)
            parent, last = split(path)
            for candidate in (last, f"{last}.{name[-16:]}"):
                # A path that the trash cannot hold (too long, or a file of this run is where a directory is needed) gets a plain name.
                with contextlib.suppress(OSError):
                    self._move(name, candidate, directories.make(f"{run}/{parent}" if parent else run, 0o700))
                    return f"{OWN_DIRECTORY}/{run}/{parent + '/' if parent else ''}{candidate}"
            self._move(name, name, run_fd)
        return f"{OWN_DIRECTORY}/{run}/{name}"

    def _run(self) -> str:
        now_ns = self._clock.time_ns()
        begun_ns, stamp = self._stamp
        if is_over(begun_ns, now_ns):
            stamp = new_stamp(now_ns, self._random.token())
            self._stamp = now_ns, stamp
        return stamp

    def _move(self, name: str, target: str, dir_fd: int) -> None:
        try:
            self._kernel.rename(name, target, old_dir_fd=self.tmp_fd, new_dir_fd=dir_fd, flags=RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            with contextlib.suppress(FileNotFoundError):
                self._kernel.stat(target, dir_fd=dir_fd, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
            self._kernel.rename(name, target, old_dir_fd=self.tmp_fd, new_dir_fd=dir_fd)

    def close(self) -> None:
        """Release the lock, and remove what is empty unless another run is alive."""
        if self._lock(self.tmp_fd, fcntl.LOCK_EX) is not False:
            before = self._kernel.fstat(self._top_fd)
            with contextlib.suppress(OSError):
                self._kernel.rmdir("tmp", dir_fd=self.own_fd)
            with contextlib.suppress(OSError):
                self._kernel.rmdir("trash", dir_fd=self.own_fd)
            with contextlib.suppress(OSError):
                self._remove_own(before)
                self._restore_times(before)
        self._kernel.close(self.tmp_fd)
        self._kernel.close(self.own_fd)

    def _remove_own(self, before: os.stat_result) -> None:
        try:
            self._kernel.rmdir(OWN_DIRECTORY, dir_fd=self._top_fd)
        except PermissionError:
            # The run has given the top a mode that keeps even its owner from changing what is in it: for this one call it does not.
            mode = stat.S_IMODE(before.st_mode)
            self._kernel.fchmod(self._top_fd, mode | 0o300)
            try:
                self._kernel.rmdir(OWN_DIRECTORY, dir_fd=self._top_fd)
            finally:
                self._kernel.fchmod(self._top_fd, mode)

    def _restore_times(self, before: os.stat_result) -> None:
        with contextlib.suppress(OSError):  # not our directory, or a read-only one: then its time tells of us
            self._kernel.utime(self._top_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
