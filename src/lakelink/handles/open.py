"""How a file is opened for writing: in place where the location is on this machine, as a stream elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.handles.room import Room
from lakelink.handles.spool import Spool
from lakelink.handles.stream import StreamWriter
from lakelink.handles.writer import StagedWriter, Target, Writer
from lakelink.locations.base import Stager
from lakelink.model.entry import Posix


@dataclass(frozen=True, slots=True)
class Memory:
    """Where uploads hold their bytes: of all open files together."""

    spool: Spool
    room: Room


async def open_writer(target: Target, posix: Posix, memory: Memory, *, keep: bool) -> Writer:
    """An upload to the target; with `keep` it begins as what is there, otherwise as an empty file.

    Raises:
        PreconditionFailed: what is there is not what was seen. NotPermitted, NoSpace …: nothing can be written there.
    """
    before = target.before
    keep_bytes = before.size_bytes if keep and before is not None else 0
    if isinstance(target.location, Stager):
        like = before.version if before is not None and keep_bytes else None
        return StagedWriter(target, await target.location.stage(target.path, like), posix, keep_bytes)
    return StreamWriter(target, posix, memory.spool, memory.room, keep_bytes=keep_bytes)
