"""A location that holds one file: what `lakelink sync s3://bucket/dir/file TARGET` reads."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lakelink.errors import LakelinkError, RootMissing
from lakelink.locations.base import Batch, Excludes, Location
from lakelink.locations.wrap.delegating import Delegating
from lakelink.model.change import Problem, Skipped, SkipReason
from lakelink.model.entry import Entry, Kind, Row


class Only(Delegating):
    """`inner`, of which a scan sees the path `name` alone. A file that is gone by then is a missing root: nothing follows from it."""

    def __init__(self, inner: Location, name: str) -> None:
        super().__init__(inner)
        self.name = name

    async def scan(self, excludes: Excludes | None = None) -> AsyncIterator[Batch]:
        if excludes is not None and excludes(self.name, False):
            yield Batch(skipped=[Skipped(self.name, SkipReason.EXCLUDED)])
            return
        (entry,) = await self.inner.stat([self.name])
        if isinstance(entry, LakelinkError):
            unknown = Row(self.name, Kind.PROBLEM, 0, -1, -1, -1, -1, 0, "")
            yield Batch([unknown], [Problem(self.name, entry.code, entry.message, entry.hint)])
        elif entry is None:
            raise RootMissing(f"{self.name} is not there any more", hint="Look at the source, then run again.")
        else:
            yield Batch([_row(self.name, entry)])


def _row(path: str, entry: Entry) -> Row:
    posix, version = entry.posix, entry.version
    mtime_ns, mode, uid, gid = (posix.mtime_ns, posix.mode, posix.uid, posix.gid) if posix else (-1, -1, -1, -1)
    ident: int | str = (version.ino or version.etag) if version else ""
    return Row(path, entry.kind, entry.size_bytes, mtime_ns, mode, uid, gid, version.time_ns if version else 0, ident)
