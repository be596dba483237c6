"""`lakelink verify`: what differs between two locations."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cyclopts import Parameter

from lakelink.cli.parameters import Bandwidth, Concurrency, Filters, Links, NoPosix, Output
from lakelink.model.path import display
from lakelink.model.task import Progress, Symlinks, SyncOptions

if TYPE_CHECKING:
    from lakelink.oneway.verify import VerifyResult

MEANING = {
    "missing": "only at the source",
    "extra": "only at the target",
    "kind": "of another kind",
    "content": "other content",
    "metadata": "other metadata",
}


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is compared, and how fast."""

    filters: Filters = ()
    symlinks: Links = Symlinks.KEEP
    no_posix: NoPosix = False
    bandwidth: Bandwidth = None
    concurrency: Concurrency = None


def verify(source: str, target: str, /, *, scope: Scope = Scope(), output: Output = Output()) -> int:
    """Compare two locations by content and metadata.

    Changes nothing. Content is compared by checksums where both sides have the same one stored, and else by reading it. Ends with 0 when both
    are equal, and with 1 when something differs or could not be compared.

    For example:

    ```
    lakelink verify /data s3://lake/data
    lakelink verify s3://lake/data /restore --no-posix --json
    ```

    Args:
        source: a location, as for `lakelink sync`.
        target: the location that should be equal to it.
    """
    from lakelink.cli.display import Display
    from lakelink.cli.interrupt import run_interruptible
    from lakelink.cli.supervise import INTERRUPTED
    from lakelink.oneway.verify import verify as run_verify

    options = SyncOptions(
        checksum=True,
        filters=scope.filters,
        symlinks=scope.symlinks,
        posix=not scope.no_posix,
        bandwidth_bytes_per_s=scope.bandwidth,
        concurrency=scope.concurrency,
    )
    progress = Progress()
    drawing = Display(progress, quiet=output.quiet)

    def on_interrupt() -> None:
        drawing.close()
        sys.stderr.write("interrupted: nothing can be said about the two locations\n")

    with drawing:
        work = run_verify(source, target, options, config=output.config, progress=progress)
        result = run_interruptible(work, on_interrupt)
    if result is None:
        on_interrupt()
        return INTERRUPTED
    return _tell(result, output)


def _tell(result: VerifyResult, output: Output) -> int:
    from lakelink.cli.result import print_json, print_lines, tell_problems

    if output.json:
        print_json(result.as_json())
    else:
        lines = [f"{MEANING[found.what]:<19} {display(found.path) or '.'}" for found in result.differences]
        if not output.quiet:
            lines.append(_summary(result))
        print_lines(lines)
    tell_problems(result.failed)
    return result.exit_code


def _summary(result: VerifyResult) -> str:
    if not result.exit_code:
        return f"equal: {result.compared:,} paths compared"
    parts = [f"{result.compared:,} paths compared", f"{len(result.differences):,} differ"]
    if result.failed:
        parts.append(f"{len(result.failed):,} could not be compared")
    return ", ".join(parts)
