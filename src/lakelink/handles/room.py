"""A bound on bytes held at once, without waiting: who gets no room goes another way."""

from __future__ import annotations


class Room:
    """So many bytes, shared. For one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self.used_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Whether there is room for so much more; then it is taken, and given back with `give`."""
        if self.used_bytes + size_bytes > self._limit:
            return False
        self.used_bytes += size_bytes
        return True

    def give(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
