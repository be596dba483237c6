"""Progress on standard error: a live display on a terminal, a plain line every few seconds elsewhere.

Drawn by a timer from the `Progress` that the run keeps; the run never waits for a terminal.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lakelink.model.path import display as shown
from lakelink.model.task import Progress
from lakelink.model.units import format_bytes, format_duration, format_rate
from lakelink.obs.progress import Meter, View

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

FIRST_LINE_S = 2.0  # a run that is over by then says nothing but its result
LINE_EVERY_S = 5.0
TICK_S = 0.5
FRAMES_PER_S = 8


class Display:
    """Shows a `Progress` while a `with` block lasts. Nothing is left on a terminal afterwards."""

    def __init__(self, progress: Progress, *, quiet: bool) -> None:
        self._progress = progress
        self._meter = Meter(progress, time.monotonic())
        self._told = 0  # notes of the run, each shown once
        self._quiet = quiet
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._quiet:
            return self
        if sys.stderr.isatty():
            self._live = self._start_live()
        else:
            self._thread = threading.Thread(target=self._lines, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop drawing. Idempotent."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if self._live is not None:
            self._live.stop()
            self._live = None
        if not self._quiet:
            self._tell_notes()

    def _lines(self) -> None:
        due_s = time.monotonic() + FIRST_LINE_S
        while not self._done.wait(TICK_S):
            self._tell_notes()
            if time.monotonic() >= due_s:
                _write(plain_line(self._meter.look(time.monotonic())))
                due_s += LINE_EVERY_S

    def _tell_notes(self) -> None:
        fresh = self._progress.notes[self._told :]
        self._told += len(fresh)
        for sentence in fresh:
            _write(f"note: {sentence}")

    def _frame(self) -> RenderableType:
        self._tell_notes()  # rich prints them above the display
        return _drawn(self._meter.look(time.monotonic()))

    def _start_live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            get_renderable=self._frame,
            console=Console(stderr=True),
            refresh_per_second=FRAMES_PER_S,
            transient=True,
            redirect_stdout=False,
        )
        live.start()
        return live


def _write(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:  # nobody reads: the run goes on
        pass


def plain_line(view: View) -> str:
    """`transferring: 1,200 of 5,000 files, 4.7 MiB of 19.5 MiB, 3.1 MiB/s, 5s left, 2 problems`."""
    parts = [_listed(view)] if not view.planned_files else [_moved(view)]
    if view.bytes_per_s:
        parts.append(format_rate(view.bytes_per_s))
    if view.left_s is not None:
        parts.append(f"{format_duration(view.left_s)} left")
    if view.deleted:
        parts.append(f"{view.deleted:,} deleted")
    if view.problems:
        parts.append(_problems(view.problems))
    return f"{view.phase}: {', '.join(parts)}"


def _listed(view: View) -> str:
    return f"{view.listed_source:,} paths seen at the source, {view.listed_target:,} at the target"


def _moved(view: View) -> str:
    files = f"{view.done_files:,} of {view.planned_files:,} files"
    return f"{files}, {format_bytes(view.done_bytes)} of {format_bytes(view.planned_bytes)}"


def _problems(count: int) -> str:
    return f"{count:,} problem{'' if count == 1 else 's'}"


def _drawn(view: View) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    fraction = view.fraction
    bar = ProgressBar(total=1.0, completed=fraction or 0.0, width=30, pulse=fraction is None)
    percent = "" if fraction is None else f"{int(fraction * 100)}%"
    detail = _listed(view) if not view.planned_files else _moved(view)
    left = "" if view.left_s is None else f"{format_duration(view.left_s)} left"
    grid.add_row(Text(view.phase, style="bold"), bar, percent, format_rate(view.bytes_per_s), Text(left, style="cyan"))
    lines: list[RenderableType] = [grid, Text(detail, style="dim")]
    if view.problems:
        lines.append(Text(f"{_problems(view.problems)}; last: {shown(view.last_problem)}", style="yellow"))
    return Group(*lines)
