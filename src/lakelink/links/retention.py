"""The trash kept within its bounds: age first, then size, the oldest first. A little work now and then, beside the link."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lakelink.errors import LakelinkError
from lakelink.links.aside import Aside
from lakelink.links.bins import Bin, bins_below, files_of, open_root, remove_files, storage_bytes
from lakelink.locations.local.oserror import translate
from lakelink.model.linkspec import Safety
from lakelink.ports.clock import Clock
from lakelink.ports.kernel import Kernel
from lakelink.ports.linux import LinuxKernel

INTERVAL_S = 600.0
PAUSE_S = 1.0
MOST_FILES = 2_000
DEADLINE_S = 120.0
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did. `more`: it met its bound, and another one soon has something to do."""

    files: int
    bytes: int
    more: bool


class Retention:
    """Remembers how large the closed stamps are, so that a round looks only at what is new."""

    def __init__(self, root: str, kernel: Kernel | None = None) -> None:
        self._root = root
        self._kernel = kernel or LinuxKernel()
        self._sizes: dict[Bin, int] = {}

    def round(self, now_ns: int, safety: Safety, most: int = MOST_FILES) -> Round:
        """Remove what is past its time or over the cap: at most `most` files, and looking at hardly more than that beyond one stamp.

        What someone still writes to stays. May be repeated, and given up at any point.

        Raises:
            RootMissing: the root cannot be opened.
            NotPermitted, StorageError: something cannot be removed.
        """
        with open_root(self._kernel, self._root) as root_fd:
            bins = bins_below(self._kernel, root_fd, self._root)
            self._sizes = {each: size for each, size in self._sizes.items() if each in set(bins)}
            try:
                old = self._expire(root_fd, bins, (now_ns - int(safety.trash_keep_s * _SECOND_NS), now_ns), most)
                if old.more:
                    return old
                over = self._cap(root_fd, bins, now_ns, safety.trash_max_bytes, most)
            except OSError as error:
                raise translate(error, "") from error
        return Round(old.files + over.files, old.bytes + over.bytes, over.more)

    def _expire(self, root_fd: int, bins: list[Bin], span: tuple[int, int], most: int) -> Round:
        """What went there before the span, and was not written to within it: who has a file open goes on writing to it in the trash."""
        before_ns, now_ns = span
        files = freed = 0

        def is_over(_path: str, st: os.stat_result) -> bool:
            return not before_ns < st.st_mtime_ns <= now_ns

        for each in [each for each in bins if each.ended_ns <= before_ns]:
            done = remove_files(self._kernel, root_fd, each.path, is_over, most=most - files)
            self._sizes.pop(each, None)
            files, freed = files + done.files, freed + done.bytes
            if not done.complete:
                return Round(files, freed, more=True)
            bins.remove(each)
        return Round(files, freed, more=False)

    def _cap(self, root_fd: int, bins: list[Bin], now_ns: int, max_bytes: int, most: int) -> Round:
        sizes: dict[Bin, int] = {}
        looked = 0
        for each in bins:
            closed = each.ended_ns < now_ns
            if not closed or each not in self._sizes:
                if looked > most:
                    return Round(0, 0, more=True)
                seen = [storage_bytes(st) for _, st in files_of(self._kernel, root_fd, each.path)]
                looked += len(seen)
                self._sizes[each] = sum(seen)
            sizes[each] = self._sizes[each]
        over = sum(sizes.values()) - max_bytes
        files = freed = 0
        for each in bins:
            if freed >= over:
                break
            done = remove_files(self._kernel, root_fd, each.path, _all, most=most - files, enough_bytes=over - freed)
            self._sizes.pop(each, None)
            files, freed = files + done.files, freed + done.bytes
            if files >= most:
                return Round(files, freed, more=True)
        return Round(files, freed, more=False)


async def tend(root: str, safety: Callable[[], Safety], clock: Clock, trouble: Callable[[LakelinkError], None]) -> None:
    """Keep the trash below `root` within `safety()` until cancelled. What goes wrong is told to `trouble`, and tried again at the next interval."""
    retention = Retention(root)
    aside = Aside("lakelink-trash")
    while True:
        more = False
        try:
            more = (await aside.run(partial(retention.round, clock.time_ns(), safety()), DEADLINE_S)).more
        except LakelinkError as error:
            trouble(error)
        except TimeoutError:
            pass  # the file server is away; the link says so itself
        await clock.sleep(PAUSE_S if more else INTERVAL_S)


def _all(_path: str, _st: object) -> bool:
    return True
