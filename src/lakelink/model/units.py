"""Quantities as people write them: sizes, rates, durations, percents. Parsing raises ValueError with one clear sentence.

Size suffixes follow GNU coreutils (info coreutils "Block size"): K, M, G and KiB, MiB, GiB count in 1024s; KB, MB, GB in 1000s; upper and
lower case are the same. Values are exact: decimal arithmetic, never binary floating point, until the last step.
"""

from __future__ import annotations

import re
from decimal import Decimal

_LETTERS = "KMGTPE"
_BYTES_PER_UNIT: dict[str, int] = (
    {"": 1, "b": 1}
    | {letter.lower(): 1024 ** (i + 1) for i, letter in enumerate(_LETTERS)}
    | {f"{letter.lower()}ib": 1024 ** (i + 1) for i, letter in enumerate(_LETTERS)}
    | {f"{letter.lower()}b": 1000 ** (i + 1) for i, letter in enumerate(_LETTERS)}
)
_SECONDS_PER_UNIT: dict[str, Decimal] = {
    "w": Decimal(7 * 86400),
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SIZE = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(ms|[wdhms])\s*")
_PERCENT = re.compile(rf"({_NUMBER})\s*%")


def parse_bytes(text: str) -> int:
    """Bytes of "10MiB", "1.5G", "100kB", "4096". Fractions of a byte are dropped."""
    match = _SIZE.fullmatch(text.strip())
    scale = _BYTES_PER_UNIT.get(match[2].lower()) if match else None
    if match is None or scale is None:
        raise ValueError(f"{text!r} is not a size; write a number and a unit, as in 64MiB, 1.5G or 100KB")
    return int(Decimal(match[1]) * scale)


def format_bytes(size_bytes: int) -> str:
    """A size for people, at most one decimal: "0 B", "1.5 MiB"."""
    value, unit = Decimal(size_bytes), "B"
    for letter in _LETTERS:
        # 1023.95 would be printed as 1024.0: it belongs to the next unit already
        if value < Decimal("1023.95"):
            break
        value, unit = value / 1024, f"{letter}iB"
    if unit == "B":
        return f"{size_bytes} B"
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def exact_bytes(size_bytes: int) -> str:
    """A size that `parse_bytes` reads back exactly: "64MiB", "1000"."""
    unit = ""
    for letter in _LETTERS:
        if size_bytes == 0 or size_bytes % 1024:
            break
        size_bytes, unit = size_bytes // 1024, f"{letter}iB"
    return f"{size_bytes}{unit}"


def parse_rate(text: str) -> int:
    """Bytes per second of "100KB/s", "10MiB/s", "10M". At least 1."""
    size = text.strip()
    for suffix in ("/s", "ps"):
        size = size.removesuffix(suffix)
    try:
        rate = parse_bytes(size)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a rate; write bytes per second, as in 10MiB/s or 500KB") from error
    if rate < 1:
        raise ValueError(f"{text!r} is less than one byte per second")
    return rate


def format_rate(bytes_per_s: float) -> str:
    """A rate for people: "1.5 MiB/s"."""
    return f"{format_bytes(int(bytes_per_s))}/s"


def parse_duration(text: str) -> float:
    """Seconds of "30d", "1h30m", "1.5s", "250ms", "0s". A bare number needs its unit, so that nobody has to guess."""
    rest = text.strip()
    seconds, seen = Decimal(0), False
    while rest and (match := _DURATION_PART.match(rest)):
        seconds += Decimal(match[1]) * _SECONDS_PER_UNIT[match[2]]
        rest, seen = rest[match.end() :], True
    if rest or not seen:
        raise ValueError(f"{text!r} is not a duration; write numbers with w, d, h, m, s or ms, as in 1h30m or 250ms")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """A duration for people that `parse_duration` reads back: the two largest units from a minute on, tenths of seconds below it."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    rest = round(seconds)
    parts: list[str] = []
    for unit in "wdhms":
        count, rest = divmod(rest, int(_SECONDS_PER_UNIT[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def parse_percent(text: str) -> float:
    """The number before the sign of "50%", between 0 and 100."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None or Decimal(match[1]) > 100:
        raise ValueError(f"{text!r} is not a percentage; write a number from 0 to 100 and %, as in 25%")
    return float(Decimal(match[1]))


def format_percent(percent: float) -> str:
    """A percentage for people: "25%", "0.5%"."""
    return f"{percent:.1f}".removesuffix(".0") + "%"
