"""`lakelink link held` and `lakelink link problems`: what is not carried, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, POSITIVE, Output

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import HeldPath, PathProblem
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

MOST = 1000


def held(
    name: str,
    /,
    *,
    most: Annotated[
        int, Parameter(help="List so many at most.", metavar="N", group=OUTPUT, converter=POSITIVE, n_tokens=1)
    ] = MOST,
    output: Output = Output(),
) -> int:
    """List changes that the link's policies do not carry.

    They stay on the side where they were made. A change of the same path on the other side is a conflict.

    For example:

    ```
    lakelink link held finance
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ListHeld
    from lakelink.cli.links.reach import either
    from lakelink.cli.links.told import path_fields, stamp
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, _document: Document, state_dir: Path) -> list[HeldPath]:
        from lakelink.daemon import journals

        return journals.held(state_dir, registry.get(name), most)

    found = either(ListHeld(link=name, most=most), alone, output.config)
    if output.json:
        rows = [{**path_fields(h.path), "side": h.side, "event": h.event, "since": stamp(h.since_ns)} for h in found]
        print_json({"link": name, "held": rows})
    else:
        print_lines(f"{h.event:<8} {h.side:<6} {path_fields(h.path)['path']}  {stamp(h.since_ns)}" for h in found)
        if not found and not output.quiet:
            print(f"link {name} holds nothing")
    return 0


def problems(
    name: str,
    /,
    *,
    most: Annotated[
        int, Parameter(help="List so many at most.", metavar="N", group=OUTPUT, converter=POSITIVE, n_tokens=1)
    ] = MOST,
    output: Output = Output(),
) -> int:
    """List paths that cannot be carried at the moment.

    Each is tried again by itself; everything else goes on. Ends with 1 when there is one.

    For example:

    ```
    lakelink link problems logs --json
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ListProblems
    from lakelink.cli.links.reach import either
    from lakelink.cli.links.told import path_fields, stamp
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, _document: Document, state_dir: Path) -> list[PathProblem]:
        from lakelink.daemon import journals

        return journals.problems(state_dir, registry.get(name), most)

    found = either(ListProblems(link=name, most=most), alone, output.config)
    if output.json:
        rows = [
            {
                **path_fields(problem.path),
                "code": problem.code,
                "message": problem.message,
                "hint": problem.hint,
                "since": stamp(problem.since_ns),
                "attempts": problem.attempts,
            }
            for problem in found
        ]
        print_json({"link": name, "problems": rows})
    else:
        print_lines(f"{path_fields(p.path)['path'] or '.'}: {p.message} [{p.code}]" for p in found)
        print_lines(f"hint: {hint}" for hint in dict.fromkeys(p.hint for p in found if p.hint))
        if not found and not output.quiet:
            print(f"link {name} has no problems")
    return 1 if found else 0
