"""`lakelink put`, `cat`, `ls`, `cp`, `rm`: single objects and files, for pipes and quick looks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

from cyclopts import Parameter

from lakelink.cli.parameters import Bandwidth, Output, Storing
from lakelink.errors import LakelinkError, UsageError
from lakelink.model.entry import Entry
from lakelink.model.units import format_bytes

if TYPE_CHECKING:
    from lakelink.oneway.objects import Access

T = TypeVar("T")

PIPE_BYTES = 1 << 20
STANDARD_INPUT = "-"


def put(
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    target: str,
    /,
    *,
    storing: Storing = Storing(),
    output: Output = Output(),
) -> int:
    """Store one file, or standard input, as an object.

    The object is visible only when its last byte has arrived; what was there before stays until then. Any length, bounded memory.
    A pipe cannot tell that the program before it failed: use `set -o pipefail`.

    For example:

    ```
    pg_dump shop | lakelink put - s3://lake/dumps/shop.sql
    lakelink put report.pdf s3://lake/reports/2026-11.pdf
    ```

    Args:
        source: a file, or - for standard input.
        target: the object or file to store, by its full name.
    """
    from lakelink.oneway import objects

    access = _access(output, storing)
    piped = source == STANDARD_INPUT
    work = (
        objects.put(lambda: _pieces(sys.stdin.buffer), target, access) if piped else objects.cp(source, target, access)
    )
    return _tell_stored(target, _run(work), output)


def cat(
    *sources: str,
    bandwidth: Bandwidth = None,
    config: Annotated[str | None, Parameter(help="Settings file.", metavar="FILE", show_default=False)] = None,
) -> int:
    """Write objects to standard output.

    Exit code 0 means that all bytes were written and are those of one version of each object. Bounded memory.

    For example:

    ```
    lakelink cat s3://lake/dumps/shop.sql | psql shop
    lakelink cat s3://lake/logs/monday.gz s3://lake/logs/tuesday.gz | zcat
    ```

    Args:
        sources: objects or files, written one after the other.
    """
    from lakelink.oneway import objects

    _need(sources, "cat")
    access = objects.Access(config=config, bandwidth_bytes_per_s=bandwidth)

    async def all_of_them() -> None:
        for source in sources:
            async for chunk in objects.cat(source, access):
                # In a thread: a reader that is slow, or gone, must not keep the process from hearing a signal.
                await asyncio.to_thread(sys.stdout.buffer.write, chunk)
        await asyncio.to_thread(sys.stdout.buffer.flush)

    _run(all_of_them())
    return 0


def ls(location: str, /, *, output: Output = Output()) -> int:
    """List what is at a location.

    Everything below it, as size, time and path; a directory's path ends in a slash.

    For example:

    ```
    lakelink ls s3://lake/data
    lakelink ls s3://lake/data --json
    ```

    Args:
        location: a directory, s3://bucket/prefix, or NAME:sub/path from the settings.
    """
    from lakelink.cli.listing import list_json, list_text
    from lakelink.oneway import objects

    rows = objects.ls(location, _access(output))
    _run(list_json(location, rows) if output.json else list_text(rows))
    return 0


def cp(source: str, target: str, /, *, storing: Storing = Storing(), output: Output = Output()) -> int:
    """Copy one object or file.

    With its metadata. A TARGET that ends in a slash keeps the name.

    For example:

    ```
    lakelink cp s3://lake/reports/2026-11.pdf s3://archive/reports/
    lakelink cp s3://lake/reports/2026-11.pdf ./november.pdf
    ```

    Args:
        source: one object or file.
        target: its new name, or a place that ends in a slash.
    """
    from lakelink.oneway import objects

    return _tell_stored(target, _run(objects.cp(source, target, _access(output, storing))), output)


def rm(*targets: str, output: Output = Output()) -> int:
    """Remove single objects or files.

    Each only if it is still what it was a moment ago. Whole trees are removed by `lakelink sync --delete` from an empty source.

    For example:

    ```
    lakelink rm s3://lake/reports/2026-10.pdf s3://lake/reports/2026-09.pdf
    ```

    Args:
        targets: objects or files.
    """
    from lakelink.cli.result import print_json, print_lines
    from lakelink.cli.supervise import tell

    _need(targets, "rm")
    removed, failed = _run(_remove(targets, _access(output)))
    if output.json:
        print_json(
            {
                "removed": removed,
                "failed": [
                    {"target": name, "code": error.code, "message": error.message, "hint": error.hint}
                    for name, error in failed
                ],
            }
        )
    elif not output.quiet:
        print_lines([f"removed {name}" for name in removed])
    return tell([error for _, error in failed]) if failed else 0


async def _remove(targets: tuple[str, ...], access: Access) -> tuple[list[str], list[tuple[str, LakelinkError]]]:
    from lakelink.oneway import objects

    removed: list[str] = []
    failed: list[tuple[str, LakelinkError]] = []
    for target in targets:
        try:
            await objects.rm(target, access)
        except LakelinkError as error:
            failed.append((target, error))
        else:
            removed.append(target)
    return removed, failed


def _need(names: tuple[str, ...], command: str) -> None:
    if not names:
        raise UsageError(f"`lakelink {command}` needs the name of an object", hint=f"Run `lakelink {command} --help`.")


def _access(output: Output, storing: Storing | None = None) -> Access:
    from lakelink.oneway.objects import Access

    storing = storing or Storing()
    return Access(
        config=output.config,
        storage_class=storing.storage_class,
        sse=storing.sse,
        bandwidth_bytes_per_s=storing.bandwidth,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C ends the process within a second and leaves nothing partial."""
    from lakelink.cli.interrupt import run_interruptible

    finished: list[T] = []

    async def noted() -> bool:
        finished.append(await work)
        return True

    if not run_interruptible(noted(), lambda: None):
        raise KeyboardInterrupt
    return finished[0]


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(stream.read, PIPE_BYTES):
        yield piece


def _tell_stored(target: str, stored: Entry, output: Output) -> int:
    from lakelink.cli.result import print_json, print_lines

    if output.json:
        etag = stored.version.etag if stored.version else ""
        print_json({"target": target, "size_bytes": stored.size_bytes, **({"etag": etag} if etag else {})})
    elif not output.quiet:
        print_lines([f"stored {target} ({format_bytes(stored.size_bytes)})"])
    return 0
