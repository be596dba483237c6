"""The paths that both sides write at, few enough that they meet."""

from __future__ import annotations

import random

SHARED = (
    "a", "b.txt", "c", "d/x", "d/y.tar.gz", "d/e/z", "d/e/f/g/h/i/deep", "ä", "sp ace", "new\nline", "k", "k/below", "k/and/below", "m/n", "m",
    "é+%41&=", "p/1", "p/2", "p/3", "p/4", "." + "long" * 60,
)  # fmt: skip
DIRECTORIES = ("d", "d/e", "d/e/f", "k", "m", "p", "q", "q/r", "empty")
LARGE = ("large/1", "large/2")
SLOW = ("slow/log", "slow/growing")
ODD = b"odd \xff\xfe"
"""A name that no object can have."""
MIB = 1 << 20


def size_of(choice: random.Random) -> int:
    """How much to write: mostly little, now and then up to 2 MiB, sometimes nothing but the token."""
    return choice.choice([0, 0, 100, 100, 4096, 4096, 60_000, 300_000, choice.randrange(2 * MIB)])


def content(token: bytes, size: int) -> bytes:
    """About so many bytes, the token from the first to the last."""
    return token * (size // len(token) + 1)
