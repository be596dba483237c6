"""What `lakelink ls` prints: lines for people, or one JSON document."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import AsyncIterator

from lakelink.model.entry import Kind, Row
from lakelink.model.path import display, json_fields
from lakelink.model.units import format_bytes

KINDS = {
    Kind.FILE: "file",
    Kind.DIR: "directory",
    Kind.SYMLINK: "symlink",
    Kind.OTHER: "other",
    Kind.PROBLEM: "problem",
}


async def list_text(rows: AsyncIterator[Row]) -> None:
    """Size, time and path of each row on a line; a directory's path ends in a slash."""
    async for row in rows:
        if not row.path:
            continue
        slash = "/" if row.kind is Kind.DIR else ""
        size = "" if row.kind is Kind.DIR else format_bytes(row.size_bytes)
        sys.stdout.write(f"{size:>10}  {_time(row) or '':<20}  {display(row.path)}{slash}\n")


async def list_json(location: str, rows: AsyncIterator[Row]) -> None:
    """One document, written while the listing runs, so that a million entries need no memory. Cut short, it is not valid JSON."""
    sys.stdout.write(json.dumps({"location": location})[:-1] + ', "entries": [')
    separator = "\n"
    async for row in rows:
        if row.path:
            sys.stdout.write(separator + json.dumps(_entry(row)))
            separator = ",\n"
    sys.stdout.write("\n]}\n")


def _entry(row: Row) -> dict[str, str | int]:
    document: dict[str, str | int] = {**json_fields(row.path), "kind": KINDS[row.kind], "size_bytes": row.size_bytes}
    if time := _time(row):
        document["time"] = time
    return document


def _time(row: Row) -> str | None:
    """The file's own time where the listing carries it, else when the object was stored; an implicit directory has none."""
    time_ns = row.mtime_ns if row.mtime_ns >= 0 else row.time_ns
    if not time_ns:
        return None
    return dt.datetime.fromtimestamp(time_ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
