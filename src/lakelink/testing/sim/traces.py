"""The order of a journal: the intent is on the disk before the effect, and the result after it. So after any crash each effect has left a trace."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from lakelink.core.filters import Filter
from lakelink.links.observe import left_out
from lakelink.model.entry import Kind
from lakelink.model.path import is_own
from lakelink.state.journal_rows import loaded
from lakelink.testing.sim.ledger import CONFLICT
from lakelink.testing.sim.objects import Mutation


class Traces:
    """What one machine did to the lake last, as long as nobody else came after it, compared with what its journal remembers.

    Conflict copies are left out, since they are made anew under the same name, which depends on nothing but their content; and so are markers of
    directories, which hold no bytes.
    """

    def __init__(self, prefix: str, writer: str) -> None:
        self._prefix = prefix
        self._writer = writer
        self._done: dict[str, Mutation] = {}
        self._filters: list[Filter] = []  # all that were ever in force

    def heard(self, mutation: Mutation) -> None:
        """Somebody changed something."""
        if not mutation.key.startswith(self._prefix):
            return
        path = mutation.key[len(self._prefix) :]
        if path.endswith("/"):
            return
        if mutation.writer.startswith(self._writer) and path and not is_own(path) and CONFLICT not in path:
            self._done[mutation.key] = mutation
        else:
            self._done.pop(mutation.key, None)

    def forget(self) -> None:
        """The journal is gone, and with it every trace."""
        self._done.clear()

    def leave_out(self, filters: Filter) -> None:
        """The operator excludes these from now on: what was agreed on about them is forgotten, with every trace."""
        self._filters.append(filters)
        for key in [key for key in self._done if left_out(filters, key[len(self._prefix) :], directory=False)]:
            del self._done[key]

    def missing(self, journal: Path) -> list[str]:
        """Effects of which the journal, as the crash left it, knows nothing."""
        if not journal.exists() or not self._done:
            return []
        with closing(sqlite3.Connection(journal)) as db:  # not by way of the machine, whose process is gone
            try:
                base = {
                    loaded(path): (kind, etag) for path, kind, etag in db.execute("SELECT path, kind, l_etag FROM base")
                }
                # What was looked at since, and is not to be carried any more, is held or stands as a conflict.
                traced = {
                    loaded(path)
                    for table in ("intent", "problem", "held", "conflict")
                    for (path,) in db.execute(f"SELECT path FROM {table}")  # noqa: S608  # one of four names
                }
                details = " ".join(str(detail) for (detail,) in db.execute("SELECT detail FROM intent"))
            except sqlite3.Error:  # made a moment ago, and no table yet
                return []
        found = []
        for key, done in self._done.items():
            path = key[len(self._prefix) :]
            if path in traced or path in details or _agrees(base.get(path), done):
                continue
            # A file that a user has turned into a directory may be excluded since, as directories of that name are.
            if path in base or not any(left_out(filters, path, directory=True) for filters in self._filters):
                found.append(
                    f"{done.writer}: {done.operation} {key!r} at {done.time_s:.3f} has left no trace in the journal"
                )
        return found


def _agrees(base: tuple[int, str] | None, done: Mutation) -> bool:
    """Whether the base (None: there is none) may be what was done."""
    after = done.after.etag if done.after else ""
    if base is not None and base[0] == Kind.DIR:
        return True  # the path has become a directory meanwhile: what is agreed on is about another key
    return (base[1] if base else "") == after
