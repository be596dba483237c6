"""What a link has done since the daemon began, in figures."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field

from lakelink.model.link import Agreed
from lakelink.model.linkspec import LATENCY_BOUNDS_S, Flow
from lakelink.model.plan import Verb

_SAMPLES = 4096
_EXPORTS = frozenset({Verb.EXPORT, Verb.EXPORT_METADATA, Verb.EXPORT_DELETE, Verb.TAKE_FILES})


@dataclass(slots=True)
class _Direction:
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    metadata: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    latency_counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    latency_sum_s: float = 0.0


class Tally:
    """Counts per direction, and errors by code."""

    def __init__(self) -> None:
        self._exports = _Direction()
        self._imports = _Direction()
        self.errors: Counter[str] = Counter()

    def done(self, verb: Verb, latency_s: float, agreed: Agreed | None) -> None:
        """An effect took place, that long after the change was noticed."""
        flow = self._exports if verb in _EXPORTS else self._imports
        flow.latencies_s.append(latency_s)
        flow.latency_counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        flow.latency_sum_s += latency_s
        if verb in (Verb.EXPORT_DELETE, Verb.IMPORT_DELETE):
            flow.deleted += 1
        elif verb in (Verb.EXPORT_METADATA, Verb.IMPORT_METADATA):
            flow.metadata += 1
        else:
            flow.files += 1
            flow.bytes += agreed.lake.size_bytes if agreed else 0

    def made(self, stubs: int) -> None:
        """So many files came without their bytes, straight from a listing."""
        self._imports.files += stubs

    def flow(self, *, exports: bool, pending: int, oldest_s: float) -> Flow:
        """One direction as the status shows it."""
        one = self._exports if exports else self._imports
        ordered = sorted(one.latencies_s)
        return Flow(
            pending=pending,
            oldest_queued_s=oldest_s,
            files=one.files,
            bytes=one.bytes,
            deleted=one.deleted,
            metadata=one.metadata,
            latency_p50_s=ordered[len(ordered) // 2] if ordered else 0.0,
            latency_p99_s=ordered[len(ordered) * 99 // 100] if ordered else 0.0,
            latency_counts=tuple(one.latency_counts),
            latency_sum_s=one.latency_sum_s,
        )
