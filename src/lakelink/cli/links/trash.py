"""`lakelink link trash`: what a link removed or replaced locally. Files alone: it needs no daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from lakelink.cli.parameters import OUTPUT, Output, one
from lakelink.errors import UsageError
from lakelink.model.path import display, json_fields
from lakelink.model.units import format_bytes, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakelink.links.trash import Trash, Trashed

ABOUT = """What a link removed or replaced locally: listed, brought back, or removed for good.

For example:

```
lakelink link trash list logs
lakelink link trash restore logs 2026/11/app.log
lakelink link trash empty logs --older-than 2d
```
"""
app = App(name="trash", help=ABOUT)


@app.command(name="list")
def list_trash(name: str, /, *words: str, output: Output = Output()) -> int:
    """List the trash, the newest first.

    For example:

    ```
    lakelink link trash list logs
    lakelink link trash list logs '*.log' --json
    ```

    Args:
        name: of the link.
        words: paths with all below them, or patterns.
    """
    from lakelink.cli.links.told import stamp
    from lakelink.cli.result import print_json, print_lines

    trash, why = _trash(name, output)
    items = trash.items(words)
    if output.json:
        print_json({"link": name, "items": (_fields(item) | {"reason": why(item)} for item in items)})
        return 0
    for item in items:
        reason = f"  ({why(item)})" if why(item) else ""
        print_lines([f"{format_bytes(item.size_bytes):>10}  {stamp(item.since_ns)}  {display(item.name)}{reason}"])
    return 0


@app.command
def restore(name: str, /, *words: str, output: Output = Output()) -> int:
    """Bring back what is in the trash.

    All of it, or what matches: of several versions of a path the newest, unless STAMP/PATH names one. Nothing is replaced; what came back is a
    change like any other, and travels. Ends with 1 when something could not be brought back.

    For example:

    ```
    lakelink link trash restore logs 2026/11/app.log
    lakelink link trash restore logs '*.conf'
    ```

    Args:
        name: of the link.
        words: paths with all below them, patterns, or STAMP/PATH as the list shows it.
    """
    from lakelink.cli.result import print_json, print_lines, tell_problems
    from lakelink.errors import problem_of

    answers = _trash(name, output)[0].restore(words)
    failed = [problem_of(answer.item.path, answer.error) for answer in answers if answer.error]
    back = [answer.item for answer in answers if not answer.error]
    if output.json:
        problems = [{**json_fields(p.path), "code": p.code, "message": p.message, "hint": p.hint} for p in failed]
        print_json({"link": name, "restored": [_fields(item) for item in back], "failed": problems})
        return 1 if failed else 0
    if not output.quiet:
        print_lines(f"restored: {display(item.path)}" for item in back)
        if not answers:
            print("nothing in the trash matches")
    tell_problems(failed)
    return 1 if failed else 0


@app.command
def empty(
    name: str,
    /,
    *words: str,
    older_than: Annotated[
        float | None,
        Parameter(
            help="Only what went there longer ago than this, as in 2d.",
            metavar="TIME",
            converter=one(parse_duration),
            n_tokens=1,
            group=OUTPUT,
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, Parameter(name="--all", help="All of it.", negative=(), group=OUTPUT)] = False,
    output: Output = Output(),
) -> int:
    """Remove for good what is in the trash.

    What is to go is always said: words, an age, or --all.

    For example:

    ```
    lakelink link trash empty logs --older-than 2d
    lakelink link trash empty logs --all
    ```

    Args:
        name: of the link.
        words: paths with all below them, patterns, or STAMP/PATH as the list shows it.
    """
    from lakelink.cli.result import print_json

    if not words and older_than is None and not everything:
        raise UsageError("what is to be removed for good?", hint="Name paths, --older-than TIME, or --all.")
    before_ns = None if older_than is None else time.time_ns() - int(older_than * 1e9)
    done = _trash(name, output)[0].empty(before_ns=before_ns, words=words)
    if output.json:
        print_json({"link": name, "files": done.files, "bytes": done.bytes, "busy": done.busy})
    elif not output.quiet:
        busy = f"; {done.busy:,} are still written to, and stay" if done.busy else ""
        print(f"removed {done.files:,} files ({format_bytes(done.bytes)}){busy}")
    return 0


def _trash(name: str, output: Output) -> tuple[Trash, Callable[[Trashed], str]]:
    """The trash of a link, and why something is in it."""
    from lakelink.cli.links.show import spec_of
    from lakelink.config.document import load_document
    from lakelink.config.state_dir import state_dir
    from lakelink.daemon.journals import why_in_trash
    from lakelink.links.trash import Trash
    from lakelink.locations.resolve import local_path, parse_location

    spec = spec_of(name, output.config)
    trash = Trash(local_path(parse_location(spec.files, load_document(output.config))))
    return trash, why_in_trash(state_dir(), spec)


def _fields(item: Trashed) -> dict[str, Any]:
    from lakelink.cli.links.told import stamp

    return {
        **json_fields(item.path),
        "name": display(item.name),
        "kind": item.kind.name.lower(),
        "size_bytes": item.size_bytes,
        "since": stamp(item.since_ns),
    }
