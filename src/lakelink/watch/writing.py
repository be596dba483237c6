"""Which files were written to and not closed since, as far as events told."""

from __future__ import annotations

from collections.abc import Hashable

MAX_OPEN = 65_536  # links and device nodes are created and never closed, so the oldest are forgotten


class Writing:
    """A bounded set of files, each named by its directory (a watch or a handle, so that renamed directories change nothing) and its name."""

    def __init__(self) -> None:
        self._open: dict[Hashable, None] = {}

    def begin(self, file: Hashable) -> None:
        """It was created or written to."""
        self._open[file] = None
        if len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]

    def end(self, file: Hashable) -> bool:
        """It was closed, moved or deleted; whether it was open until then."""
        return self._open.pop(file, self) is None

    def __contains__(self, file: Hashable) -> bool:
        return file in self._open

    def clear(self) -> None:
        """Nothing is known any more."""
        self._open.clear()
