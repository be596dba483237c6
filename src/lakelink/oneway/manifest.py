"""`--manifest FILE`: what is at the target, as lines that `sha256sum -c` reads."""

from __future__ import annotations

import os
from pathlib import Path

from lakelink.core.filters import Filter
from lakelink.engine.digest import digest
from lakelink.engine.supervise import workers
from lakelink.errors import LakelinkError, StorageError
from lakelink.locations.base import Location, Read
from lakelink.model.entry import Kind, Row
from lakelink.model.path import display, to_bytes

_WORKERS = 8


async def write_manifest(target: Location, filters: Filter, file: Path) -> None:
    """Read every file of the target and write its digest, sorted by path. The file appears whole or not at all.

    Raises:
        LakelinkError: a file could not be read; no manifest is written, since one with holes would look complete.
    """
    rows: list[Row] = []
    async for batch in target.scan(filters.for_scan()):
        if unknown := [row.path for row in batch.rows if row.kind is Kind.PROBLEM]:
            raise StorageError(
                f"no manifest: {display(unknown[0]) or 'the root'} of the target could not be read",
                hint="A manifest with holes would look complete. Mend what could not be read, then run again.",
            )
        rows.extend(row for row in batch.rows if row.kind is Kind.FILE and not filters.excludes(row.path, False))
    lines: dict[bytes, str] = {}

    async def hash_one(row: Row) -> None:
        (content,) = await target.read([Read(row.path, row.size_bytes, row.version)])
        if isinstance(content, LakelinkError):
            raise content
        value = (await digest(content, "sha256")).hex()
        if content.entry is None or content.entry.kind is Kind.FILE:
            lines[to_bytes(row.path)] = value

    await workers(rows, hash_one, _WORKERS)
    _write(file, b"".join(line(path, lines[path]) for path in sorted(lines)))


def line(path: bytes, digest_hex: str) -> bytes:
    """One line as GNU coreutils writes it: a leading backslash says that backslashes and line ends in the name are escaped."""
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != path else b""
    return mark + digest_hex.encode("ascii") + b"  " + escaped + b"\n"


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError as error:
        raise StorageError(
            f"the manifest {file} cannot be written: {error.strerror}", hint="Choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
