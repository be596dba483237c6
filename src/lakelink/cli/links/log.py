"""`lakelink link log`: what happened to a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, POSITIVE, Output

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import LogEntry
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

MOST = 100


def log(
    name: str,
    /,
    *,
    most: Annotated[
        int, Parameter(help="So many lines, the newest.", metavar="N", group=OUTPUT, converter=POSITIVE, n_tokens=1)
    ] = MOST,
    output: Output = Output(),
) -> int:
    """Show what happened to a link: changes of state, tasks, paths that failed.

    The codes are stable, and those of FSx for Lustre where there is one. Some thousand lines are kept.

    For example:

    ```
    lakelink link log finance
    lakelink link log finance --most 1000 --json
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ReadLog
    from lakelink.cli.links.reach import either
    from lakelink.cli.links.told import path_fields, stamp
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, _document: Document, state_dir: Path) -> list[LogEntry]:
        from lakelink.daemon import journals

        return journals.events(state_dir, registry.get(name), most)

    found = either(ReadLog(link=name, most=most), alone, output.config)
    if output.json:
        rows = [
            {
                "seq": entry.seq,
                "time": stamp(entry.time_ns),
                "code": entry.code,
                **path_fields(entry.path),
                "message": entry.message,
            }
            for entry in found
        ]
        print_json({"link": name, "events": rows})
    else:
        print_lines(
            "  ".join(filter(None, (stamp(e.time_ns), e.code, path_fields(e.path)["path"], e.message))) for e in found
        )
    return 0
