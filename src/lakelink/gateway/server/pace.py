"""The bandwidth of a user: what all its sessions in one process move together, each direction for itself."""

from __future__ import annotations

from collections.abc import Callable

BURST_S = 0.1  # so much may run ahead, that a small file is not held up


class Bucket:
    """One direction. `now_s` only goes forward."""

    def __init__(self, bytes_per_s: float, now_s: Callable[[], float]) -> None:
        self._bytes_per_s = bytes_per_s
        self._now_s = now_s
        self._paid_until_s = now_s()

    def take(self, size_bytes: int) -> None:
        """So much has moved."""
        self._paid_until_s = max(self._paid_until_s, self._now_s()) + size_bytes / self._bytes_per_s

    def wait_s(self) -> float:
        """For how long nothing more should move."""
        return max(0.0, self._paid_until_s - self._now_s() - BURST_S)


class Pace:
    """Both directions of a user."""

    def __init__(self, bytes_per_s: float, now_s: Callable[[], float]) -> None:
        self.bytes_per_s = bytes_per_s
        self.up, self.down = Bucket(bytes_per_s, now_s), Bucket(bytes_per_s, now_s)
