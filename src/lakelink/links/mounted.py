"""File systems that are mounted below the root of a link. What is missing where one of them was has not been deleted: it is not mounted."""

from __future__ import annotations

import os
from pathlib import Path

from lakelink.model.path import join
from lakelink.watch.mounts import mounts_below, parse_mounts

_MOUNTINFO = Path("/proc/self/mountinfo")


class Mounted:
    """What is mounted below one root, looked at again and again. Blocking calls, one at a time."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._table = b""
        self.now: frozenset[str] = frozenset()

    def missing(self, known: frozenset[str]) -> list[str]:
        """Which of the known mount points are none any more and show nothing; `now` is brought up to date. Where the kernel does not tell, none.

        One that shows something was not only unmounted: its files were brought there by somebody, and what he left out he deleted.
        """
        try:
            table = _MOUNTINFO.read_bytes()
        except OSError:
            self.now = known
            return []
        if table != self._table:
            self._table = table
            self.now = mounts_below(parse_mounts(table), os.path.realpath(self._root))
        return [path for path in sorted(known - self.now) if self._shows_nothing(path)]

    def _shows_nothing(self, path: str) -> bool:
        try:
            with os.scandir(join(self._root, path)) as entries:
                return next(entries, None) is None
        except OSError:
            return True  # not there, or not to be seen: nothing is known of it
