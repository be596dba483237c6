"""The trash of a link: what it removed or replaced locally, in `ROOT/.lakelink/trash/STAMP/path`, and how it comes back.

The local adapter fills it (`locations.local.area`). A file system mounted below the root has one of its own, at its top. Nothing here follows
a link, and nothing is ever put over something. Blocking calls, each safe while a link runs, and while another process does the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lakelink.errors import LakelinkError, Refused
from lakelink.links.bins import Bin, bins_below, files_of, open_root, remove_files
from lakelink.locations.local.directories import Directories
from lakelink.locations.local.oserror import NOT_OFFERED, translate
from lakelink.model.entry import Kind, kind_of_mode
from lakelink.model.path import display, is_own, join, split
from lakelink.ports.kernel import RENAME_NOREPLACE, Kernel
from lakelink.ports.linux import LinuxKernel


@dataclass(frozen=True, slots=True)
class Trashed:
    """One file or link in the trash. `path` is where it was, relative to the root."""

    bin: Bin
    path: str
    kind: Kind
    size_bytes: int
    mtime_ns: int

    @property
    def since_ns(self) -> int:
        """When it went there, at most an hour too early."""
        return self.bin.begun_ns

    @property
    def name(self) -> str:
        """What it is called among others of the same path: `STAMP/path`."""
        return f"{self.bin.stamp}/{self.path}"

    def matches(self, words: Sequence[str]) -> bool:
        """Whether one of the words is its name or path, a directory above it, or a pattern (fnmatch, `*` passes slashes) of either."""
        return any(
            text == word.rstrip("/") or text.startswith(word.rstrip("/") + "/") or fnmatchcase(text, word)
            for word in words
            for text in (self.path, self.name)
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of one file that was asked for. `error` None: it is at its path again, and no longer in the trash."""

    item: Trashed
    error: LakelinkError | None = None


@dataclass(frozen=True, slots=True)
class Emptied:
    """What was removed for good. Files that someone still writes to stay."""

    files: int
    bytes: int
    busy: int


class Trash:
    """The trash below the directory `root`. Holds nothing open between two calls."""

    def __init__(self, root: str, kernel: Kernel | None = None) -> None:
        self._root = root
        self._kernel = kernel or LinuxKernel()

    def items(self, words: Sequence[str] = ()) -> Iterator[Trashed]:
        """What is there, the newest stamp first; with `words` only what matches one (`Trashed.matches`).

        Raises:
            RootMissing: the root cannot be opened.
            NotPermitted, StorageError: the trash cannot be.
        """
        with open_root(self._kernel, self._root) as root_fd:
            for each in reversed(bins_below(self._kernel, root_fd, self._root)):
                for path, st in files_of(self._kernel, root_fd, each.path):
                    item = Trashed(each, path, kind_of_mode(st.st_mode), st.st_size, st.st_mtime_ns)
                    if not words or item.matches(words):
                        yield item

    def restore(self, words: Sequence[str] = ()) -> list[Restored]:
        """Move what matches back to where it was, all without words; of several versions of one path the newest, unless a word names its stamp.

        Nothing is replaced: where something is, the file stays in the trash. Missing directories are made. What came back is on stable storage.
        May be repeated.

        Raises:
            RootMissing: the root cannot be opened.
            NotPermitted: the trash cannot be opened.
            StorageError: it cannot be, or what was moved could not be brought to stable storage.
        """
        chosen: dict[str, Trashed] = {}
        for item in self.items(words):
            if item.name in words or item.path not in chosen:
                chosen[item.name if item.name in words else item.path] = item
        with open_root(self._kernel, self._root) as root_fd:
            answers = [Restored(item, self._put_back(root_fd, item)) for item in chosen.values()]
            if any(answer.error is None for answer in answers):
                try:
                    self._kernel.syncfs(root_fd)
                except OSError as error:
                    raise translate(error, "") from error
        return answers

    def empty(self, *, before_ns: int | None = None, words: Sequence[str] = ()) -> Emptied:
        """Remove for good what went to the trash before `before_ns` (None = whenever) and matches the words (none = all).

        Raises:
            RootMissing: the root cannot be opened.
            NotPermitted, StorageError: something cannot be removed.
        """
        files = freed = busy = 0
        with open_root(self._kernel, self._root) as root_fd:
            for each in bins_below(self._kernel, root_fd, self._root):
                if before_ns is not None and each.ended_ns > before_ns:
                    continue

                def wanted(path: str, st: os.stat_result, each: Bin = each) -> bool:
                    item = Trashed(each, path, Kind.FILE, st.st_size, st.st_mtime_ns)
                    return not words or item.matches(words)

                try:
                    done = remove_files(self._kernel, root_fd, each.path, wanted)
                except OSError as error:
                    raise translate(error, each.path) from error
                files, freed, busy = files + done.files, freed + done.bytes, busy + done.busy
        return Emptied(files, freed, busy)

    def _put_back(self, root_fd: int, item: Trashed) -> LakelinkError | None:
        parent, name = split(item.path)
        if is_own(item.path):
            return Refused(f"{display(item.path)} is lakelink's own name", hint="Take it out of the trash by hand.")
        try:
            with Directories(self._kernel, root_fd) as directories:
                target_fd = os.dup(directories.make(parent))
                try:
                    self._move(directories.get(join(item.bin.path, parent)), target_fd, name)
                finally:
                    self._kernel.close(target_fd)
                self._prune(directories, item.bin, parent)
        except FileExistsError:
            where = display(f"{item.bin.path}/{item.path}")
            return Refused(
                f"there is something at {display(item.path)}", hint=f"Move it away first. This one is in {where}."
            )
        except OSError as error:
            return translate(error, item.path)
        return None

    def _move(self, source_fd: int, target_fd: int, name: str) -> None:
        kernel = self._kernel
        try:
            kernel.rename(name, name, old_dir_fd=source_fd, new_dir_fd=target_fd, flags=RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            kernel.link(name, name, old_dir_fd=source_fd, new_dir_fd=target_fd)  # never replaces either
            kernel.unlink(name, dir_fd=source_fd)

    def _prune(self, directories: Directories, each: Bin, parent: str) -> None:
        """Directories of the trash that are empty now go, up to and with the stamp."""
        with contextlib.suppress(OSError):
            while parent:
                parent, name = split(parent)
                self._kernel.rmdir(name, dir_fd=directories.get(join(each.path, parent)))
            above, name = split(each.path)
            self._kernel.rmdir(name, dir_fd=directories.get(above))
