"""The directories of the trash are named after the time at which they were begun: `20261123T143000Z-1f2e3d4c`, UTC, then eight digits of chance.

A long-lived process begins a new one at least hourly, so that how old something is can be told from where it lies.
"""

from __future__ import annotations

import calendar
import re
import time

SPAN_NS = 3600 * 1_000_000_000
"""What lies under a stamp was put there at most so long after its time."""

_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-f]{8}")


def new_stamp(time_ns: int, token: str) -> str:
    """A name that nobody else has; `token`: chance, eight hexadecimal digits of it are used."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(time_ns // 1_000_000_000))}-{token[:8]}"


def stamp_time_ns(stamp: str) -> int | None:
    """When it was begun, in whole seconds; None where it is no stamp."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        return calendar.timegm(time.strptime("".join(match.groups()), "%Y%m%d%H%M%S")) * 1_000_000_000
    except ValueError:
        return None


def is_over(begun_ns: int, now_ns: int) -> bool:
    """Whether a new one is due. A clock that was set back makes one due as well."""
    return not 0 <= now_ns - begun_ns < SPAN_NS
