"""How a local location behaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lakelink.model.task import Symlinks


class Durability(StrEnum):
    """What survives a power failure, and when."""

    FLUSH = "flush"  # all that was written before `flush` returned
    FILE = "file"  # moreover a file's bytes are on the disk before its name shows them
    NONE = "none"  # whatever the kernel has written by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """The defaults are those of `lakelink sync`."""

    trash: bool = False  # what is removed or replaced goes to ROOT/.lakelink/trash
    create_root: bool = True  # by the first write; never by a scan
    owner: bool | None = None  # keep uid and gid; None = as root only
    symlinks: Symlinks = Symlinks.KEEP  # for scan, stat and read; writes never follow links
    durability: Durability = Durability.FLUSH
    only: str | None = None  # the source is this one file, at the top of the root
