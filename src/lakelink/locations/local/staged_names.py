"""The names in `.lakelink/tmp`.

    new-TOKEN       staged, not yet in place: safe to remove
    old-INO-VINO-VSIZE-VMTIME-FLAG-TOKEN
                    one side of an exchange. INO: inode of the staged file (0 for a delete); V…: the version that was to be displaced;
                    FLAG: k = to be kept in the trash, d = to be dropped; numbers in hexadecimal, the time in nanoseconds modulo 2**64

A name says enough for a later run to decide what a killed one could not: what is neither ours nor the version that was to go is an edit of
someone else, and moves to the trash.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Self

from lakelink.model.entry import Version

_NEW = re.compile(r"new-[0-9a-f]{16}")
_OLD = re.compile(r"old-([0-9a-f]+)-([0-9a-f]+)-([0-9a-f]+)-([0-9a-f]+)-([kd])-[0-9a-f]{16}")
_TIME_MODULUS = 1 << 64


def new_name(token: str) -> str:
    """A name for something staged; `token` is 16 hexadecimal digits."""
    return f"new-{token}"


def is_new(name: str) -> bool:
    """Whether it is the name of something staged that has no place yet."""
    return _NEW.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Displaced:
    """What the name of one side of an exchange says. `staged_ino` 0: nothing was to take its place."""

    staged_ino: int
    version: Version
    keep: bool

    @classmethod
    def of(cls, name: str) -> Self | None:
        """What `name` says; None where it is no such name. The version's time is modulo 2**64."""
        found = _OLD.fullmatch(name)
        if found is None:
            return None
        staged_ino, ino, size_bytes, time_ns = (int(number, 16) for number in found.groups()[:4])
        return cls(staged_ino, Version(size_bytes, time_ns, ino), keep=found[5] == "k")

    def name(self, token: str) -> str:
        """The name that says this; `token` is 16 hexadecimal digits."""
        v, flag = self.version, "k" if self.keep else "d"
        return f"old-{self.staged_ino:x}-{v.ino:x}-{v.size_bytes:x}-{v.time_ns % _TIME_MODULUS:x}-{flag}-{token}"

    def may_go(self, st: os.stat_result) -> bool:
        """Whether what has the name, seen as `st`, is ours, or the version that was to be dropped. A directory never is."""
        if stat.S_ISDIR(st.st_mode):
            return False
        seen = Version(st.st_size, st.st_mtime_ns % _TIME_MODULUS, st.st_ino)
        wanted = Version(self.version.size_bytes, self.version.time_ns % _TIME_MODULUS, self.version.ino)
        return st.st_ino == self.staged_ino or (seen == wanted and not self.keep)
