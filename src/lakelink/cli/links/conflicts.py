"""`lakelink link conflicts` and `lakelink link resolve`; what is held and what is in trouble stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, POSITIVE, Output, flag

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import PathConflict, WirePath
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

MOST = 1000


def conflicts(
    name: str,
    /,
    *,
    resolved: Annotated[bool, flag(OUTPUT, "Those that were settled too.")] = False,
    most: Annotated[
        int, Parameter(help="List so many at most.", metavar="N", group=OUTPUT, converter=POSITIVE, n_tokens=1)
    ] = MOST,
    output: Output = Output(),
) -> int:
    """List what both sides changed.

    Nothing was lost: the version that does not stand at the path is a conflict copy beside it, or in the trash. Ends with 1 when a conflict is open.

    For example:

    ```
    lakelink link conflicts finance
    lakelink link conflicts finance --resolved --json
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ListConflicts
    from lakelink.cli.links.reach import either
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, _document: Document, state_dir: Path) -> list[PathConflict]:
        from lakelink.daemon import journals

        return journals.conflicts(state_dir, registry.get(name), most, resolved=resolved)

    found = either(ListConflicts(link=name, resolved=resolved, most=most), alone, output.config)
    if output.json:
        print_json({"link": name, "conflicts": [_fields(conflict) for conflict in found]})
    else:
        print_lines(line for conflict in found for line in _lines(conflict))
        if not found and not output.quiet:
            print(f"link {name} has no {'' if resolved else 'open '}conflicts")
    return 1 if any(not conflict.resolved_ns for conflict in found) else 0


def resolve(
    name: str,
    conflict: int,
    /,
    *,
    keep: Annotated[
        Literal["files", "lake", "both"],
        Parameter(help="Whose version stands; with both, each keeps the place that it has now."),
    ],
    output: Output = Output(),
) -> int:
    """Settle a conflict.

    The version that does not stand goes to the trash. Needs the daemon.

    For example:

    ```
    lakelink link resolve finance 12 --keep files
    ```

    Args:
        name: of the link.
        conflict: its number, as `lakelink link conflicts` shows it.
    """
    from lakelink.api.calls import ResolveConflict
    from lakelink.cli.links.reach import ask
    from lakelink.cli.links.told import status_fields
    from lakelink.cli.result import print_json

    status = ask(ResolveConflict(link=name, conflict=conflict, keep=keep))
    if output.json:
        print_json(status_fields(status))
    elif not output.quiet:
        print(f"conflict {conflict} is settled; {status.conflicts:,} are open")
    return 0


def _fields(conflict: PathConflict) -> dict[str, Any]:
    from lakelink.cli.links.told import path_fields, stamp

    return {
        "id": conflict.id,
        **path_fields(conflict.path),
        "reason": conflict.reason,
        "files": conflict.files,
        "lake": conflict.lake,
        "copy": path_fields(conflict.copy)["path"],
        "rule": conflict.rule,
        "since": stamp(conflict.since_ns),
        "resolved": stamp(conflict.resolved_ns),
        "resolution": conflict.resolution,
        "advice": conflict.advice,
    }


def _lines(conflict: PathConflict) -> Iterator[str]:
    from lakelink.cli.links.told import stamp

    yield f"{conflict.id}  {_shown(conflict.path)}  {conflict.reason}  {stamp(conflict.since_ns)}"
    yield f"    here: {conflict.files}; in the lake: {conflict.lake}"
    if conflict.copy.path:
        yield f"    the other version: {_shown(conflict.copy)}"
    if conflict.resolved_ns:
        yield f"    settled {stamp(conflict.resolved_ns)}: {conflict.resolution}"
    yield f"    {conflict.advice}"


def _shown(path: WirePath) -> str:
    from lakelink.model.path import display

    return display(path.exact)
