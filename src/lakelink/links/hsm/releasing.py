"""One file gives up its bytes: marked first, and under a lease that says that nobody uses it.

1. Mark. From here on whoever opens the file waits for its turn, which this has.
2. A quiet descriptor (`quiet`), and the write lease on it: granted only while no other descriptor and no mapping of the file exists. An open that was
   past the question before the mark is counted already, so the lease is refused.
3. Under the lease: size, mtime and inode are those that were agreed on.
4. The attribute says stub, MOVING, and is on stable storage; only then the bytes go.
5. mtime is put back; MOVING goes. After a crash between 4 and 5 the file is fetched anew, whatever is left in it, or released to the end.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from dataclasses import replace

from lakelink.errors import StorageError
from lakelink.links.hsm.base import Candidate, NewStub, Outcome, Result
from lakelink.links.hsm.quiet import Quiet
from lakelink.links.hsm.stub import STUB, Flags, Stub, Unreadable
from lakelink.links.hsm.tree import Tree
from lakelink.model.entry import Posix, Version
from lakelink.ports import permission

_BUSY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ETXTBSY, errno.EBUSY}
_KEPT = Flags.NORELEASE | Flags.NOARCHIVE


class _Stays(Exception):  # an answer on its way up
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


class Releasing:
    """Releases files of one tree. Blocking; one call per file at a time, which its turn sees to."""

    def __init__(self, tree: Tree, quiet: Quiet) -> None:
        self._tree = tree
        self._quiet = quiet

    def release(self, handle: bytes, candidate: Candidate) -> Result:
        """See `Guard.release`."""
        stub = Stub(candidate.origin, candidate.files.time_ns)
        return self._safely(handle, candidate, stub, None)

    def restub(self, handle: bytes, candidate: Candidate, new: NewStub) -> Result:
        """See `Guard.restub`."""
        stub = Stub(new.origin, new.posix.mtime_ns)
        return self._safely(handle, candidate, stub, new.posix)

    def _safely(self, handle: bytes, candidate: Candidate, stub: Stub, posix: Posix | None) -> Result:
        path = candidate.path
        try:
            return self._replace(handle, candidate, stub, posix)
        except _Stays as stays:
            return Result(path, stays.outcome)
        except Unreadable as error:
            return Result(path, Outcome.FAILED, error=StorageError(f"{path}: its attribute cannot be read: {error}"))
        except OSError as error:
            if error.errno == errno.ESTALE:
                return Result(path, Outcome.GONE)
            if error.errno in _BUSY:
                return Result(path, Outcome.IN_USE)
            return Result(path, Outcome.FAILED, error=StorageError(f"{path}: {error.strerror}"))

    def _replace(self, handle: bytes, candidate: Candidate, stub: Stub, posix: Posix | None) -> Result:
        # Without waiting and without a mark: most of what stays is seen here.
        was_stub = self._look(handle, candidate, posix)
        path_fd = self._tree.open(handle, os.O_PATH)
        try:
            # A stub has its mark already, and keeps it whatever comes of this.
            if not was_stub:
                permission.mark_path(self._tree.group_fd, b"/proc/self/fd/%d" % path_fd, self._tree.mask)
            done = False
            try:
                result = self._leased(handle, candidate, stub, posix)
                done = True
                return result
            finally:
                if not done and not was_stub and not self._is_stub(path_fd):
                    name = b"/proc/self/fd/%d" % path_fd
                    permission.unmark_path(self._tree.group_fd, name, self._tree.mask)
        finally:
            os.close(path_fd)

    def _is_stub(self, path_fd: int) -> bool:
        try:
            stub = self._tree.stub_of_path(path_fd)
        except (Unreadable, OSError):
            return True
        return stub is not None and stub.flags.is_stub

    def _look(self, handle: bytes, candidate: Candidate, posix: Posix | None) -> bool:
        path_fd = self._tree.open(handle, os.O_PATH)
        try:
            stub = self._tree.stub_of_path(path_fd)
            self._compare(path_fd, candidate, stub)
        finally:
            os.close(path_fd)
        if stub is not None and stub.flags.is_stub:
            if posix is None and not stub.flags & Flags.MOVING:
                raise _Stays(Outcome.ALREADY)
            return True
        if posix is None and stub is not None and stub.flags & Flags.NORELEASE:
            raise _Stays(Outcome.NORELEASE)
        return False

    def _compare(self, fd: int, candidate: Candidate, known: Stub | None) -> None:
        found, agreed = os.fstat(fd), candidate.files
        # Whoever died between 4 and 5 left the time of the punch; nobody could write since, for a stub is loaded first.
        cut_off = (
            known is not None
            and known.flags.is_stub
            and known.flags & Flags.MOVING
            and known.origin == candidate.origin
        )
        if found.st_size != agreed.size_bytes or (found.st_mtime_ns != agreed.time_ns and not cut_off):
            raise _Stays(Outcome.DIRTY)
        if agreed.ino and found.st_ino != agreed.ino:
            raise _Stays(Outcome.DIRTY)

    def _leased(self, handle: bytes, candidate: Candidate, stub: Stub, posix: Posix | None) -> Result:
        fd = self._quiet.open(handle)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            try:
                before, stub = self._give_up(fd, candidate, stub)
            finally:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return self._finish(fd, candidate, stub, (before, posix))
        finally:
            os.close(fd)

    def _give_up(self, fd: int, candidate: Candidate, stub: Stub) -> tuple[os.stat_result, Stub]:
        """Under the lease. Nothing here may raise an event: the ear of this process would wait for the lease to end."""
        before, known = os.fstat(fd), self._tree.stub_of(fd)
        self._compare(fd, candidate, known)
        stub = replace(stub, flags=STUB | (known.flags & _KEPT if known is not None else Flags(0)))
        self._tree.put(fd, replace(stub, flags=stub.flags | Flags.MOVING))
        os.fsync(fd)
        permission.punch(fd, before.st_size)
        return before, stub

    def _finish(self, fd: int, candidate: Candidate, stub: Stub, was: tuple[os.stat_result, Posix | None]) -> Result:
        """Without the lease, which ftruncate would break: it asks by path. Whoever comes now waits for the mark's turn."""
        before, posix = was
        if stub.size_bytes != before.st_size:
            os.ftruncate(fd, stub.size_bytes)
        if posix is not None:
            os.fchown(fd, posix.uid, posix.gid)
            os.fchmod(fd, posix.mode)
        os.utime(fd, ns=(posix.atime_ns if posix else before.st_atime_ns, stub.mtime_ns))
        self._tree.put(fd, stub)
        after = os.fstat(fd)
        freed = (before.st_blocks - after.st_blocks) * 512
        version = Version(after.st_size, after.st_mtime_ns, ino=after.st_ino)
        return Result(candidate.path, Outcome.DONE, version, freed_bytes=max(freed, 0))
