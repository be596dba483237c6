"""The root of a local location: held open, and known again."""

from __future__ import annotations

import os
import threading

from lakelink.errors import LakelinkError, NotPermitted, RootMissing
from lakelink.locations.local.oserror import GONE, translate
from lakelink.ports.kernel import Kernel


class Root:
    """The directory at `path`, opened once and held; whether the path still leads to it can be asked at any time.

    The path may lead through symlinks: the user gave it. Below the root nothing follows links.
    """

    def __init__(self, kernel: Kernel, path: str, *, create: bool) -> None:
        self.path = path
        self._kernel = kernel
        self._create = create
        self._fd = -1
        self._identity = (0, 0)
        self._lock = threading.Lock()

    @classmethod
    def held(cls, kernel: Kernel, fd: int) -> Root:
        """The root open as `fd`, by another process that knows its path and looks after it."""
        root = cls(kernel, "", create=False)
        root._fd = fd
        return root

    def fd(self, *, create: bool = False) -> int:
        """The descriptor of the root; with `create`, a root that is not there is made (where the options allow it).

        Raises:
            RootMissing: nothing is there, or not a directory: nothing is known about what it holds.
            NotPermitted: it cannot be opened.
        """
        with self._lock:
            if self._fd >= 0:
                return self._fd
            try:
                self._fd = self._open(create=create and self._create)
                st = self._kernel.fstat(self._fd)
            except OSError as error:
                raise self._missing(error) from error
            self._identity = (st.st_dev, st.st_ino)
            return self._fd

    def _open(self, *, create: bool) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            return self._kernel.open(self.path, flags)
        except FileNotFoundError:
            if not create:
                raise
        missing = [self.path]
        while True:
            try:
                self._kernel.mkdir(missing[-1])
            except FileExistsError:
                missing.pop()
            except FileNotFoundError:
                missing.append(os.path.dirname(missing[-1]))  # noqa: PTH120  # names are strings with surrogates here
                continue
            else:
                missing.pop()
            if not missing:
                return self._kernel.open(self.path, flags)

    @property
    def is_open(self) -> bool:
        """Whether anything was done with it yet."""
        return self._fd >= 0

    @property
    def device(self) -> int:
        """The device of the root, once it is open."""
        return self._identity[0]

    def check(self) -> None:
        """The path still leads to the directory that is held open.

        Raises:
            RootMissing: it was unmounted, removed or replaced: what was seen or written through it is not what is there now.
        """
        if self._fd < 0:
            return
        try:
            st = self._kernel.stat(self.path)
        except OSError as error:
            raise self._missing(error) from error
        if (st.st_dev, st.st_ino) != self._identity:
            raise RootMissing(
                f"{self.path} is no longer the directory that this run began with",
                hint="It was unmounted or replaced meanwhile. Look at it, then run again.",
            )

    def _missing(self, error: OSError) -> LakelinkError:
        if error.errno in GONE:
            return RootMissing(
                f"{self.path} is not there or not a directory", hint="Check the path; is the file system mounted?"
            )
        found = translate(error, self.path)
        return found if isinstance(found, NotPermitted) else RootMissing(found.message, hint=found.hint)

    def close(self) -> None:
        """Release the descriptor. Idempotent."""
        with self._lock:
            if self._fd >= 0:
                self._kernel.close(self._fd)
                self._fd = -1
