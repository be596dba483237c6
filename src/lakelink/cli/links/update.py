"""`lakelink link update`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from lakelink.cli.links.options import LinkOptions
from lakelink.cli.parameters import SELECTION, Output, flag
from lakelink.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import LinkDetail
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry
    from lakelink.model.linkspec import LinkSpec


def update(
    name: str,
    /,
    *,
    options: LinkOptions = LinkOptions(),
    clear_filters: Annotated[bool, flag(SELECTION, "Leave nothing out any more.")] = False,
    output: Output = Output(),
) -> int:
    """Change what a link was told.

    Only what is named changes; patterns replace those of before. The two places never change. A running daemon takes it over at once. What is left out
    from now on stays as it is on both sides.

    For example:

    ```
    lakelink link update logs --export new,changed
    lakelink link update home --exclude '*.tmp' --exclude .cache/ --bandwidth 5MiB/s
    ```

    Args:
        name: of the link.
    """
    from lakelink.cli.links.show import spec_of
    from lakelink.cli.links.told import spec_fields, spec_lines
    from lakelink.cli.result import print_json, print_lines

    if clear_filters and options.filters:
        raise UsageError(
            "--clear-filters leaves no pattern, and some are given", hint="Given patterns replace the old."
        )

    was = spec_of(name, output.config)
    spec = options.apply(dataclasses.replace(was, filters=()) if clear_filters else was)
    detail = change(was, spec, output.config)
    if output.json:
        print_json(spec_fields(detail.spec))
    elif not output.quiet:
        print_lines(spec_lines(detail.spec))
    return 0


def change(was: LinkSpec, spec: LinkSpec, config: str | None) -> LinkDetail:
    """Store other settings of a link, in the daemon where one runs.

    Raises:
        Refused: it is declared, or was changed meanwhile. What `either` raises.
    """
    from lakelink.api.calls import UpdateLink
    from lakelink.cli.links.reach import either

    def alone(registry: Registry, _document: Document, _state_dir: Path) -> LinkDetail:
        from lakelink.api.answers import LinkDetail
        from lakelink.daemon.open_link import unopened
        from lakelink.daemon.supervisor import update_stored

        stored = update_stored(registry, spec, was)
        return LinkDetail(stored, unopened(stored, activity=""))

    return either(UpdateLink(spec=spec, was=was), alone, config)
