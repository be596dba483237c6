"""Deletions on their way."""

from __future__ import annotations

from lakelink.links.dirty import MOST


class Doomed:
    """Paths whose deletion waits until all else that is known was looked at: a rename shows as a deletion first, and deletions are counted
    before the first of them. Files go before directories, and those from the deepest up.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[bool, str]] = {}  # path -> (it is a directory, the side that deleted it)
        self._attempts: dict[str, int] = {}  # how often those that wait were tried already
        self._released: set[str] = set()
        self._renamed: dict[str, None] = {}  # their bytes are at another path now: no brake counts them
        self.unasked = 0
        self.since_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._released)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting or path in self._released

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, path: str, side: str, now_s: float, *, directory: bool, attempts: int = 0) -> None:
        """The path is gone on that side, and is to go on the other; it was tried so often already."""
        if not self._waiting:
            self.since_s = now_s
        self.unasked += path not in self and path not in self._renamed
        self._waiting[path] = directory, side
        if attempts:
            self._attempts[path] = attempts

    def renamed(self, path: str) -> None:
        """What was at that path is at another one."""
        if path not in self._renamed:
            self.unasked -= path in self._waiting
            self._renamed[path] = None
            if len(self._renamed) > MOST:
                del self._renamed[next(iter(self._renamed))]

    def is_renamed(self, path: str) -> bool:
        return path in self._renamed

    @property
    def counted(self) -> int:
        """Deletions that are to go, net of renames."""
        return len(self) - sum(path in self._renamed for path in (*self._waiting, *self._released))

    def attempts(self, path: str) -> int:
        """How often the path, just released, was tried before: a wait for others must not make that forgotten, or nobody would ever give up."""
        return self._attempts.pop(path, 0)

    def release(self) -> list[tuple[str, str]]:
        """Those whose turn it is: (path, the side that deleted it)."""
        if self._released or not self._waiting:
            return []
        wave = [path for path, (directory, _) in self._waiting.items() if not directory]
        if not wave:
            deepest = max(path.count("/") for path in self._waiting)
            wave = [path for path in self._waiting if path.count("/") == deepest]
        self._released.update(wave)
        return [(path, self._waiting.pop(path)[1]) for path in wave]

    def finished(self, path: str) -> None:
        """The path was looked at again; what came of it does not matter."""
        if path in self._released:
            self._released.discard(path)
            self._renamed.pop(path, None)
