"""How a long call goes: a line that is drawn again on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lakelink.model.units import format_bytes

if TYPE_CHECKING:
    from lakelink.model.linkspec import LinkStatus

FIRST_LINE_S = 2.0
LINE_EVERY_S = 5.0


class Beats:
    """Shows the beats of one call while a `with` block lasts. Nothing is left on a terminal afterwards."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._due_s = time.monotonic() + FIRST_LINE_S
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._write("\r\x1b[K")

    def link(self, status: LinkStatus) -> None:
        """A beat that is a link's status."""
        pending = status.imports.pending + status.exports.pending
        moved = status.imports.bytes + status.exports.bytes
        self.line(f"{status.activity or status.state.value}; {pending:,} pending, {format_bytes(moved)} carried")

    def line(self, text: str) -> None:
        """A beat as a line."""
        if self._quiet:
            return
        if self._live:
            self._drawn = True
            self._write(f"\r\x1b[K{text[:120]}")
        elif time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + LINE_EVERY_S
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # nobody reads: the call goes on
            self._quiet = True
