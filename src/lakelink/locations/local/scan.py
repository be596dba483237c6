"""Walking a local tree, a batch of rows at a time.

One thread, `scandir` and one fstatat per entry: about 2 µs each, level with `find -printf`. `listdir` with `stat` measured the same and
needs a list of all names first, which a directory of a million entries makes long.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from lakelink.errors import RootMissing, problem_of
from lakelink.locations.base import Batch, Excludes
from lakelink.locations.local.directories import open_below
from lakelink.locations.local.oserror import translate
from lakelink.locations.local.root import Root
from lakelink.model.change import Problem, Skipped, SkipReason
from lakelink.model.entry import Kind, Row, kind_of_mode
from lakelink.model.path import OWN_DIRECTORY, display, join
from lakelink.model.task import Symlinks
from lakelink.ports.kernel import DirectoryEntry, Kernel

BATCH_ROWS = 2000
_READ = os.O_RDONLY | os.O_DIRECTORY
_VANISHED = frozenset({errno.ENOENT, errno.ESTALE})

_new = tuple.__new__  # Row(...) without the call of its Python-level constructor


@dataclass(frozen=True, slots=True)
class _Ancestor:
    """Where a walk that follows links has come through, so that it notices when it comes back."""

    identity: tuple[int, int]
    above: _Ancestor | None

    def holds(self, identity: tuple[int, int]) -> bool:
        node: _Ancestor | None = self
        while node is not None:
            if node.identity == identity:
                return True
            node = node.above
        return False


@dataclass(slots=True)
class Pending:
    """A directory that is still to be walked."""

    path: str
    above: _Ancestor | None
    device: int  # of the directory that holds it


class Scanner:
    """One walk. What is not readable is a PROBLEM row; what vanishes meanwhile is not there."""

    def __init__(self, kernel: Kernel, root: Root, symlinks: Symlinks, excludes: Excludes | None) -> None:
        self._kernel = kernel
        self._root = root
        self._symlinks = symlinks
        self._excludes = excludes
        self._batch = Batch()
        self.todo: list[Pending] = []

    def top(self) -> Pending:
        """Where a walk begins.

        Raises:
            RootMissing, NotPermitted: the root cannot be opened.
        """
        return Pending("", None, self._kernel.fstat(self._root.fd()).st_dev)

    def tree(self) -> Generator[Batch, None, None]:
        """All below the root, and the root.

        Raises:
            RootMissing: also at the end, where the root is not what it was: then nothing that was seen counts.
            NotPermitted: the root cannot be read.
        """
        self.todo = [self.top()]
        yield from self.rest()
        self.check()
        yield self.take()

    def rest(self) -> Iterator[Batch]:
        """All of `todo` and below; the last rows are left for `take`."""
        while self.todo:
            yield from self.directory(self.todo.pop())

    def check(self) -> None:
        """The root is still what it was.

        Raises:
            RootMissing: nothing that was seen counts.
        """
        self._root.check()

    def take(self) -> Batch:
        """What was seen and not handed out yet."""
        batch, self._batch = self._batch, Batch()
        return batch

    def single(self, name: str) -> Generator[Batch, None, None]:
        """Only `name`, which is at the top."""
        fd = self._root.fd()
        try:
            st = self._kernel.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            raise RootMissing(f"{join(self._root.path, name)} is not there") from error
        self._entry(name, st, None)
        self.todo.clear()
        yield self.take()

    def directory(self, task: Pending) -> Iterator[Batch]:
        """The entries of one directory, then its own row: only then is it known that it could be read to the end.

        Hands out full batches and leaves the rest for `take`; the directories in it are in `todo` then.
        """
        try:
            fd = open_below(self._kernel, self._root.fd(), task.path, _READ, follow=self._symlinks is Symlinks.FOLLOW)
        except OSError as error:
            self._unreadable(task.path, error)
            return
        try:
            st = self._kernel.fstat(fd)
            here: _Ancestor | None = None
            if self._symlinks is Symlinks.FOLLOW:
                identity = (st.st_dev, st.st_ino)
                if task.above is not None and task.above.holds(identity):
                    self._loop(task.path)
                    return
                here = _Ancestor(identity, task.above)
            # lakelink's own is at the top of the root, and at the top of a file system mounted below it.
            own = not task.path or st.st_dev != task.device
            with self._kernel.scandir(fd) as entries:
                yield from self._entries(task.path, entries, here, st.st_dev, own=own)
            self._add(task.path, Kind.DIR, st)
        except OSError as error:
            self._unreadable(task.path, error)
        finally:
            self._kernel.close(fd)

    def _entries(
        self, parent: str, entries: Iterator[DirectoryEntry], here: _Ancestor | None, device: int, *, own: bool
    ) -> Iterator[Batch]:
        """The hot loop: plain files are handled in place, everything else by `_entry`."""
        prefix = parent + "/" if parent else ""
        excludes, file_kind = self._excludes, Kind.FILE
        rows = self._batch.rows
        add = rows.append
        for entry in entries:
            name = entry.name
            if own and name == OWN_DIRECTORY:
                continue
            path = prefix + name
            try:
                st = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._unreadable(path, error)
                continue
            mode = st.st_mode
            if excludes is None and mode & 0o170000 == 0o100000 and st.st_nlink == 1:
                mtime_ns = st.st_mtime_ns
                columns = (
                    path,
                    file_kind,
                    st.st_size,
                    mtime_ns,
                    mode & 0o7777,
                    st.st_uid,
                    st.st_gid,
                    mtime_ns,
                    st.st_ino,
                )
                add(_new(Row, columns))
                full = len(rows) >= BATCH_ROWS
            else:
                self._entry(path, st, here, device)
                full = max(len(rows), len(self._batch.skipped)) >= BATCH_ROWS
            if full:
                yield self.take()
                rows = self._batch.rows
                add = rows.append

    def _entry(self, path: str, st: os.stat_result, here: _Ancestor | None, device: int = 0) -> None:
        kind = kind_of_mode(st.st_mode)
        if kind is Kind.SYMLINK and self._symlinks is not Symlinks.KEEP:
            if self._symlinks is Symlinks.SKIP:
                self._skip(path, SkipReason.SYMLINK)
                return
            try:
                st = self._kernel.stat(path, dir_fd=self._root.fd())
            except OSError as error:
                self._dangling(path, error)
                return
            kind = kind_of_mode(st.st_mode)
        if self._excludes is not None and self._excludes(path, kind is Kind.DIR):
            self._skip(path, SkipReason.EXCLUDED)
        elif kind is Kind.DIR:
            self.todo.append(Pending(path, here, device))
        elif kind is Kind.OTHER:
            self._skip(path, SkipReason.SPECIAL)
        else:
            if kind is Kind.FILE and st.st_nlink > 1:
                self._batch.hard_links.append(path)
            self._add(path, kind, st)

    def _add(self, path: str, kind: Kind, st: os.stat_result) -> None:
        mode = stat.S_IMODE(st.st_mode)
        row = Row(path, kind, st.st_size, st.st_mtime_ns, mode, st.st_uid, st.st_gid, st.st_mtime_ns, st.st_ino)
        self._batch.rows.append(row)

    def _skip(self, path: str, reason: SkipReason) -> None:
        self._batch.skipped.append(Skipped(path, reason))

    def _unreadable(self, path: str, error: OSError) -> None:
        if error.errno in _VANISHED and path:
            return
        found = translate(error, path)
        if not path:
            raise found from error
        self._problem(problem_of(path, found))

    def _dangling(self, path: str, error: OSError) -> None:
        found = translate(error, path)
        self._problem(
            Problem(
                path,
                found.code,
                f"{display(path)}: the link leads nowhere or cannot be followed",
                "Mend or remove the link.",
            )
        )

    def _loop(self, path: str) -> None:
        found = translate(OSError(errno.ELOOP, ""), path)
        self._problem(Problem(path, found.code, f"{display(path)}: the link leads back to a directory above it"))

    def _problem(self, problem: Problem) -> None:
        self._batch.problems.append(problem)
        self._batch.rows.append(Row(problem.path, Kind.PROBLEM, 0, -1, -1, -1, -1, -1, 0))
