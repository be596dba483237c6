"""Rates and remaining time from a `Progress`, as pure values: whoever draws brings the time.

A run updates its `Progress` in place and never looks at a display; a display takes a `View` whenever its timer says so. Nothing here
costs anything per file.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from lakelink.model.task import Progress

RATE_WINDOW_S = 10.0  # long enough to be steady, short enough to show a stall
MINIMUM_SPAN_S = 0.5  # below this a rate is noise


@dataclass(frozen=True, slots=True)
class View:
    """One look at a run. Rates are over the last ten seconds; `left_s` is None where nothing can be said yet."""

    phase: str
    listed_source: int
    listed_target: int
    done_files: int
    planned_files: int
    done_bytes: int
    planned_bytes: int
    deleted: int
    problems: int
    last_problem: str
    bytes_per_s: float
    files_per_s: float
    left_s: float | None
    elapsed_s: float

    @property
    def fraction(self) -> float | None:
        """How much of the planned work is done, 0 to 1; None where nothing is planned yet.

        Bytes and files both count, since a tree of empty files has no bytes and a single large file is one file.
        """
        if not self.planned_files:
            return None
        files = self.done_files / self.planned_files
        data = self.done_bytes / self.planned_bytes if self.planned_bytes else files
        return min(1.0, (files + data) / 2)


class Meter:
    """Turns a `Progress` into views. One per display; `now_s` is monotonic and never goes back."""

    def __init__(self, progress: Progress, now_s: float) -> None:
        self._progress = progress
        self._started_s = now_s
        self._samples: deque[tuple[float, int, int]] = deque([(now_s, 0, 0)])

    def look(self, now_s: float) -> View:
        """The run as it stands now."""
        p = self._progress
        self._samples.append((now_s, p.done_bytes, p.done_files))
        # The oldest sample kept is the last one outside the window, so that the span is never shorter than it could be.
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()
        then_s, then_bytes, then_files = self._samples[0]
        span_s = now_s - then_s
        steady = span_s >= MINIMUM_SPAN_S
        bytes_per_s = (p.done_bytes - then_bytes) / span_s if steady else 0.0
        files_per_s = (p.done_files - then_files) / span_s if steady else 0.0
        return View(
            phase=p.phase,
            listed_source=p.listed_source,
            listed_target=p.listed_target,
            done_files=p.done_files,
            planned_files=p.planned_files,
            done_bytes=p.done_bytes,
            planned_bytes=p.planned_bytes,
            deleted=p.deleted,
            problems=p.problems,
            last_problem=p.last_problem,
            bytes_per_s=bytes_per_s,
            files_per_s=files_per_s,
            left_s=_left_s(p, bytes_per_s, files_per_s),
            elapsed_s=now_s - self._started_s,
        )


def _left_s(p: Progress, bytes_per_s: float, files_per_s: float) -> float | None:
    """The longer of what the bytes and what the files still need: small files are bound by the one, large by the other."""
    bytes_left = max(0, p.planned_bytes - p.done_bytes)
    files_left = max(0, p.planned_files - p.done_files)
    if not p.planned_files or (not bytes_left and not files_left):
        return None
    needs = []
    if bytes_left and bytes_per_s > 0:
        needs.append(bytes_left / bytes_per_s)
    if files_left and files_per_s > 0:
        needs.append(files_left / files_per_s)
    return max(needs) if needs else None
