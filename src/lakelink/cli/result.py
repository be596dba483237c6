"""What a run did, for people: the summary on standard output, what failed on standard error."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lakelink.model.change import Problem, Skipped, SkipReason
from lakelink.model.path import display
from lakelink.model.task import PlannedStep, Progress, SyncResult
from lakelink.model.units import format_bytes, format_duration, format_rate

MOST_PROBLEMS_SHOWN = 50
WHY = {SkipReason.SPECIAL: "devices, FIFOs and sockets", SkipReason.SYMLINK: "symbolic links"}
RATE_FROM_S = 0.5  # a shorter run says nothing about speed


def print_json(document: Mapping[str, Any]) -> None:
    """One document and a newline on standard output. An iterator becomes a list that is never held as a whole: a plan may have a million steps."""
    write = sys.stdout.write
    write("{")
    for number, (key, value) in enumerate(document.items()):
        write(f"{',' if number else ''}\n  {json.dumps(key)}: ")
        if isinstance(value, Iterator):
            _print_items(value)
        else:
            write(_indented(value, "  "))
    write("\n}\n")


def _print_items(items: Iterator[Any]) -> None:
    write = sys.stdout.write
    opening, closing = "[", "[]"
    for item in items:
        write(f"{opening}\n    {_indented(item, '    ')}")
        opening, closing = ",", "\n  ]"
    write(closing)


def _indented(value: Any, indent: str) -> str:
    """In a JSON text a line break is never part of a string."""
    return json.dumps(value, indent=2).replace("\n", "\n" + indent)


def print_lines(lines: Iterable[str]) -> None:
    """Lines of the result on standard output."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def summary(result: SyncResult) -> str:
    """One line: what moved, what did not have to, how fast."""
    did = "would copy" if result.dry_run else "copied"
    parts = [f"{did} {_count(result.transferred_files, 'file')} ({format_bytes(result.transferred_bytes)})"]
    for count, what in (
        (result.created_directories, "directories made"),
        (result.updated_metadata, "metadata updated"),
        (result.deleted, "deleted"),
        (result.unchanged, "unchanged"),
        (result.verified, "verified"),
        (len(result.skipped), "skipped"),
        (len(result.failed), "failed"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    line = f"{', '.join(parts)} in {format_duration(result.duration_s)}"
    if result.transferred_bytes and result.duration_s >= RATE_FROM_S and not result.dry_run:
        line += f" ({format_rate(result.transferred_bytes / result.duration_s)})"
    return line


def plan_lines(steps: Sequence[PlannedStep]) -> Iterator[str]:
    """The plan of a dry run, a line per path: action, size, path, reason."""
    for step in steps:
        reason = f"  ({step.reason})" if step.reason else ""
        yield f"{step.action.value:<8} {format_bytes(step.size_bytes):>10}  {_shown(step.path)}{reason}"


def tell_problems(failed: Sequence[Problem], skipped: Sequence[Skipped] = ()) -> None:
    """On standard error: each failed path with its code and hint; what was skipped, counted by reason."""
    lines = [f"failed: {display(p.path) or '.'}: {p.message} [{p.code}]" for p in failed[:MOST_PROBLEMS_SHOWN]]
    if len(failed) > MOST_PROBLEMS_SHOWN:
        more = len(failed) - MOST_PROBLEMS_SHOWN
        lines.append(f"failed: and {more:,} more; --report FILE or --json lists them all")
    # The same hint for a thousand paths is one line.
    lines += [f"hint: {hint}" for hint in dict.fromkeys(p.hint for p in failed if p.hint)][:MOST_PROBLEMS_SHOWN]
    # What the user excluded needs no mention; it is counted in the summary.
    told = Counter(WHY[s.reason] for s in skipped if s.reason in WHY)
    lines += [f"skipped: {reason}: {count:,}" for reason, count in told.items()]
    if lines:
        sys.stdout.flush()  # where both streams end in one file, the summary stands before its problems
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def so_far(source: str, target: str, progress: Progress, duration_s: float) -> SyncResult:
    """What an interrupted run can say that did not come to its own end."""
    return SyncResult(
        source=source,
        target=target,
        interrupted=True,
        transferred_files=progress.done_files,
        transferred_bytes=progress.done_bytes,
        deleted=progress.deleted,
        duration_s=duration_s,
    )


def _shown(path: str) -> str:
    return "./" if path in {"", "/"} else display(path)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
