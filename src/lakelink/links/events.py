"""What happens to a link that an operator may want to read later: a line each in the journal's event log, and in the daemon's log.

Lines are collected and written together, since each write waits for the disk. The collection is bounded: a storm of errors becomes its first lines
and one that says how many more there were. `lakelink status` counts all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from lakelink.errors import LakelinkError, StorageError
from lakelink.links.codes import log_code
from lakelink.model.path import display
from lakelink.ports.clock import Clock
from lakelink.state.event_log import EventLog, Logged

INTERVAL_S = 1.0
MOST_PER_WRITE = 500
DROPPED = "EventsDropped"

Emit = Callable[[int, str, str, str], None]
"""(level, code, path, message) -> a line in the daemon's log."""


class Events:
    """Used from the link's loop."""

    def __init__(self, log: EventLog, clock: Clock, emit: Emit = lambda *_line: None) -> None:
        self._log = log
        self._clock = clock
        self._emit = emit
        self._lines: list[Logged] = []
        self._dropped = 0

    def note(self, code: str, message: str, path: str = "", *, level: int = logging.INFO) -> None:
        """Remember one line. Quick; it is written within `INTERVAL_S` while `run` runs, or by `flush`."""
        if len(self._lines) >= MOST_PER_WRITE:
            self._dropped += 1
            return
        self._lines.append(Logged(self._clock.time_ns(), code, path, message))
        self._emit(level, code, path, message)

    def outcome(self, path: str, verb: str, error: LakelinkError | None) -> None:
        """An observer of the link: failures are noted, with the code that FSx has for them."""
        if error is not None:
            self.note(log_code(verb, path, error), error.message, path, level=logging.WARNING)

    def halted(self, error: LakelinkError) -> None:
        """The link stopped."""
        self.note(error.code, error.message, level=logging.ERROR)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            StorageError: it cannot be written; it is kept, and tried again.
        """
        if self._dropped:
            message = f"{self._dropped} more events within a moment were not written"
            self._lines.append(Logged(self._clock.time_ns(), DROPPED, "", message))
            self._dropped = 0
        if self._lines:
            self._log.write(self._lines)
            self._lines = []

    async def run(self) -> None:
        """Write now and then until cancelled, and what is left then, if it can be written.

        Raises:
            StorageError: the log cannot be written.
        """
        try:
            while True:
                await self._clock.sleep(INTERVAL_S)
                self.flush()
        except asyncio.CancelledError:
            with contextlib.suppress(StorageError):
                self.flush()
            raise


def shown(line: Logged) -> str:
    """One line for people, without its time."""
    where = f" {display(line.path)}" if line.path else ""
    return f"{line.code}{where}: {line.message}"
