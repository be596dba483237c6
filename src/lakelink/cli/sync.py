"""`lakelink sync`: one-way, between any two locations."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lakelink.cli.parameters import (
    MAX_DELETE,
    OUTPUT,
    SAFETY,
    SELECTION,
    TRANSFER,
    Bandwidth,
    Concurrency,
    Filters,
    Links,
    NoPosix,
    Output,
    Sse,
    StorageClass,
    flag,
)
from lakelink.model.task import MaxDelete, Progress, Symlinks, SyncOptions, SyncResult, Verify
from lakelink.obs import log
from lakelink.obs.log import Event

if TYPE_CHECKING:
    from lakelink.cli.report import ReportFile

HALF = MaxDelete()


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which paths, and what of them."""

    filters: Filters = ()
    symlinks: Links = Symlinks.KEEP
    no_posix: NoPosix = False
    checksum: Annotated[
        bool, flag(SELECTION, "Compare content and not only size and time; says beforehand what that costs.")
    ] = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What a run may take away."""

    delete: Annotated[bool, flag(SAFETY, "Remove from TARGET what SOURCE does not have.")] = False
    dry_run: Annotated[bool, flag(SAFETY, "Print the plan and change nothing.", names=["--dry-run", "-n"])] = False
    max_delete: Annotated[
        MaxDelete,
        Parameter(
            help="Refuse to remove more than N paths, or P% of TARGET. Else: more than half, and more than 10.",
            metavar="N|P%",
            accepts_keys=False,
            converter=MAX_DELETE,
            n_tokens=1,
            group=SAFETY,
            show_default=False,
        ),
    ] = HALF
    allow_empty_source: Annotated[bool, flag(SAFETY, "An empty SOURCE is meant: --delete may empty TARGET.")] = False
    trash: Annotated[bool, flag(SAFETY, "Keep what is removed or replaced locally in TARGET/.lakelink/trash.")] = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How bytes are moved."""

    bandwidth: Bandwidth = None
    concurrency: Concurrency = None
    verify: Annotated[
        Verify, Parameter(help="Compare afterwards what was transferred, everything, or nothing.", group=TRANSFER)
    ] = Verify.TRANSFERRED
    storage_class: StorageClass = None
    sse: Sse = None


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Files written about a run."""

    report: Annotated[
        Path | None, Parameter(help="Write a JSON line per path here (mode 0600).", metavar="FILE", group=OUTPUT)
    ] = None
    manifest: Annotated[
        Path | None,
        Parameter(help="Write `sha256sum -c` lines of what is now at TARGET here.", metavar="FILE", group=OUTPUT),
    ] = None


def sync(
    source: str,
    target: str,
    /,
    *,
    selection: Selection = Selection(),
    safety: Safety = Safety(),
    transfer: Transfer = Transfer(),
    records: Records = Records(),
    output: Output = Output(),
) -> int:
    """Make TARGET hold what SOURCE holds.

    The contents of a directory land in TARGET; a trailing slash changes nothing; SOURCE may be one file. Only what differs moves. No partial file or
    object is ever visible, and a run that was stopped at any moment is finished by the next.

    For example:

    ```
    lakelink sync /data s3://lake/data
    lakelink sync s3://lake/data /restore --delete --dry-run
    lakelink sync /home s3://lake/home --exclude '*.tmp' --exclude .cache/
    lakelink sync /data s3://lake/data --bandwidth 20MiB/s --report run.jsonl --json
    ```

    Args:
        source: a directory, a file, s3://bucket/prefix, or NAME:sub/path from the settings.
        target: the same; it is made where it does not exist.
    """
    options = SyncOptions(
        delete=safety.delete,
        dry_run=safety.dry_run,
        checksum=selection.checksum,
        filters=selection.filters,
        bandwidth_bytes_per_s=transfer.bandwidth,
        concurrency=transfer.concurrency,
        max_delete=safety.max_delete,
        posix=not selection.no_posix,
        symlinks=selection.symlinks,
        verify=transfer.verify,
        allow_empty_source=safety.allow_empty_source,
        trash=safety.trash,
        storage_class=transfer.storage_class,
        sse=transfer.sse,
    )
    log.emit(logging.INFO, Event.RUN_STARTED, {"source": source, "target": target, "pid": os.getpid()})
    result = _carry_out(source, target, options, records, output)
    _log_result(result)
    return _tell(result, output)


def _carry_out(source: str, target: str, options: SyncOptions, records: Records, output: Output) -> SyncResult:
    """Run with a display and a report; the result also of an interrupted run."""
    import asyncio

    from lakelink.cli.display import Display
    from lakelink.cli.interrupt import run_interruptible
    from lakelink.cli.result import so_far
    from lakelink.oneway.run import sync as run_sync

    progress = Progress()
    stop = asyncio.Event()
    started_s = time.monotonic()
    report = _report_file(records.report) if records.report else None

    def unfinished() -> SyncResult:
        return so_far(source, target, progress, time.monotonic() - started_s)

    def on_interrupt() -> None:
        display.close()
        if report is not None:
            report.commit()
        _tell(unfinished(), output)

    display = Display(progress, quiet=output.quiet)
    try:
        with display:
            work = run_sync(
                source,
                target,
                options,
                config=output.config,
                progress=progress,
                report=report.add if report else None,
                manifest=records.manifest,
                stop=stop,
            )
            result = run_interruptible(work, on_interrupt, stop) or unfinished()
        if report is not None:
            report.commit()
    finally:
        if report is not None:
            report.discard()
    return result


def _report_file(path: Path) -> ReportFile:
    from lakelink.cli.report import ReportFile

    return ReportFile(path)


def _log_result(result: SyncResult) -> None:
    fields: dict[log.Field, log.Value] = {
        "source": result.source,
        "target": result.target,
        "files": result.transferred_files,
        "bytes": result.transferred_bytes,
        "deleted": result.deleted,
        "failed": len(result.failed),
        "seconds": result.duration_s,
        "exit_code": result.exit_code,
    }
    if result.interrupted:
        log.emit(logging.WARNING, Event.RUN_INTERRUPTED, fields)
    else:
        log.emit(logging.WARNING if result.failed else logging.INFO, Event.RUN_FINISHED, fields)


def _tell(result: SyncResult, output: Output) -> int:
    from lakelink.cli.result import plan_lines, print_json, print_lines, summary, tell_problems

    if output.json:
        print_json(result.fields())
    elif not output.quiet:
        print_lines(plan_lines(result.plan))
        print_lines([("interrupted: " if result.interrupted else "") + summary(result)])
    tell_problems(result.failed, () if output.quiet else result.skipped)
    return result.exit_code
