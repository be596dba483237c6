"""`lakelink link check`."""

from __future__ import annotations

from typing import Annotated

from lakelink.cli.links.options import SAFETY
from lakelink.cli.parameters import Output, flag


def check(
    name: str,
    /,
    *,
    repair: Annotated[bool, flag(SAFETY, "Carry or note what differs, as a reconcile does.")] = False,
    output: Output = Output(),
) -> int:
    """Compare a link's journal with both sides.

    Verifies the journal itself, then looks at every path. What is about to be carried differs as well, so the answer means most at rest. Ends with 1
    when something differs and nothing was repaired. Needs the daemon.

    For example:

    ```
    lakelink link check logs
    lakelink link check logs --repair
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import CheckLink
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import ask
    from lakelink.cli.links.told import path_fields
    from lakelink.cli.result import print_json, print_lines

    with Beats(quiet=output.quiet or output.json) as beats:
        found = ask(CheckLink(link=name, repair=repair), lambda _: beats.line("comparing"))
    rows = [{**path_fields(each.path), "side": each.side, "what": each.what} for each in found.named]
    if output.json:
        print_json({
            "link": name, "agreed": found.agreed, "differences": found.differences, "named": rows, "repaired": found.repaired,
        })  # fmt: skip
    else:
        print_lines(f"{row['what']:<8} {row['side']:<6} {row['path']}" for row in rows)
        if not output.quiet:
            repaired = "; carried or noted" if found.repaired else ""
            print(f"link {name}: {found.agreed:,} paths agreed, {found.differences:,} differ{repaired}")
    return 1 if found.differences and not found.repaired else 0
