"""Files as FSx for Lustre writes them into a bucket: an implementation of its own, to check the product's against.

Schema: https://docs.aws.amazon.com/fsx/latest/LustreGuide/posix-metadata-support.html. The type of a directory or link is in the
mode's type bits; a directory is an empty object whose key ends in `/`, a link's object holds its target.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER_AGENT: Final = "aws-fsx-lustre"
DEFAULT_MODE: Final = 0o755  # files too, when an object carries no metadata
MAX_KEY_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 255
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an object's metadata says; None where it says nothing."""

    kind: int  # the type bits of st_mode, 0 where there are none
    mode: int | None
    uid: int | None
    gid: int | None
    atime_ns: int | None
    mtime_ns: int | None


def metadata_of(status: os.stat_result) -> dict[str, str]:
    """The metadata that an export writes. setuid is not kept."""
    return {
        "file-permissions": f"{status.st_mode & ~stat.S_ISUID:07o}",
        "file-owner": str(status.st_uid),
        "file-group": str(status.st_gid),
        "file-atime": f"{status.st_atime_ns}ns",
        "file-mtime": f"{status.st_mtime_ns}ns",
        "user-agent": USER_AGENT,
    }


def attributes_of(metadata: Mapping[str, str]) -> Attributes:
    """The same read back, with what other writers put there: no leading zero, no type bits, milliseconds."""
    mode = _number(metadata.get("file-permissions"), 8)
    return Attributes(
        kind=stat.S_IFMT(mode) if mode is not None else 0,
        mode=stat.S_IMODE(mode) & ~stat.S_ISUID if mode is not None else None,
        uid=_number(metadata.get("file-owner"), 10),
        gid=_number(metadata.get("file-group"), 10),
        atime_ns=_time(metadata.get("file-atime")),
        mtime_ns=_time(metadata.get("file-mtime")),
    )


def _number(text: str | None, base: int) -> int | None:
    try:
        return int(text, base) if text else None
    except ValueError:
        return None


def _time(text: str | None) -> int | None:
    """Nanoseconds; without the suffix `ns` the number is milliseconds."""
    if text is None:
        return None
    if text.endswith("ns"):
        return _number(text[:-2], 10)
    number = _number(text.removesuffix("ms"), 10)
    return None if number is None else number * _NS_PER_MS


def importable(relative: str) -> bool:
    """Whether a key (below the prefix) can be a file or directory."""
    parts = relative.removesuffix("/").split("/")
    return all(
        part not in {"", ".", ".."} and "\0" not in part and len(part.encode()) <= MAX_NAME_BYTES for part in parts
    )


def apply(target: Path, wanted: Attributes, *, keep: os.stat_result | None, modified_ns: int) -> None:
    """Owner, mode and times of what was just written. `keep`: what the file was before, kept where the object says nothing."""
    link = target.is_symlink()
    if os.geteuid() == 0:
        uid = wanted.uid if wanted.uid is not None else keep.st_uid if keep else 0
        gid = wanted.gid if wanted.gid is not None else keep.st_gid if keep else 0
        os.chown(target, uid, gid, follow_symlinks=False)
    if not link:
        kept = stat.S_IMODE(keep.st_mode) if keep else DEFAULT_MODE
        target.chmod(wanted.mode if wanted.mode is not None else kept)
    mtime = wanted.mtime_ns if wanted.mtime_ns is not None else modified_ns
    os.utime(target, ns=(wanted.atime_ns if wanted.atime_ns is not None else mtime, mtime), follow_symlinks=False)
