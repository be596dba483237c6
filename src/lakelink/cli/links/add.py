"""`lakelink link add`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lakelink.cli.links.options import LAZY, SAFETY, LinkOptions
from lakelink.cli.parameters import Output, flag
from lakelink.model.linkspec import Lazy, LinkSpec

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import LinkDetail
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry

NOT_RUNNING = "No daemon runs: changes travel as soon as `lakelink serve` does."


def add(
    name: str,
    files: str,
    lake: str,
    /,
    *,
    options: LinkOptions = LinkOptions(),
    accept_unconditional_writes: Annotated[
        bool,
        flag(SAFETY, "Use a store that checks no conditions on writes: a second writer's change can be lost there."),
    ] = False,
    lazy: Annotated[
        bool,
        flag(
            LAZY,
            "Make files without their bytes: each is loaded when somebody first opens it, and released again when room is needed.",
        ),
    ] = False,
    output: Output = Output(),
) -> int:
    """Make a link between a directory and a prefix.

    Both sides are looked at first. The first comparison is a union: nothing is deleted on either side, and what differs is a conflict. A
    running daemon begins at once, else the next `lakelink serve` does. The two places of a link never change.

    For example:

    ```
    lakelink link add logs /srv/logs s3://lake/logs
    lakelink link add finance /srv/finance s3://finance-data/ --import new,changed --export none --conflict lake
    lakelink link add home /home onsite:home --exclude '*.tmp' --exclude .cache/ --bandwidth 20MiB/s
    lakelink link add genomes /data/genomes s3://lake/genomes --lazy --keep-free 20% --release-after 30d
    ```

    Args:
        name: what the link is called: letters, digits, - and _.
        files: the directory. It has to be there.
        lake: s3://bucket/prefix, or NAME:sub/path from the settings. The bucket has to be there.
    """
    from lakelink.api.calls import AddLink
    from lakelink.cli.links.reach import either
    from lakelink.config.document import load_document
    from lakelink.links.places import absolute

    place = absolute(files, load_document(output.config))  # the daemon runs in a directory of its own
    asked = LinkSpec(
        name=name,
        ident="",
        files=place,
        lake=lake,
        accept_unconditional=accept_unconditional_writes,
        lazy=Lazy() if lazy else None,
    )
    spec = options.apply(asked)

    def alone(registry: Registry, document: Document, state_dir: Path) -> LinkDetail:
        return _add_alone(registry, document, spec, state_dir)

    return _tell(either(AddLink(spec=spec), alone, output.config), output)


def _add_alone(registry: Registry, document: Document, spec: LinkSpec, state_dir: Path) -> LinkDetail:
    import asyncio

    from lakelink.api.answers import LinkDetail
    from lakelink.daemon.admission import admit
    from lakelink.daemon.open_link import unopened
    from lakelink.links.stores import Stores
    from lakelink.ports.clock import SystemClock

    notes = asyncio.run(admit(spec, document, Stores(state_dir, SystemClock())))
    spec = registry.add(spec)
    return LinkDetail(spec, unopened(spec, activity=""), [*notes, NOT_RUNNING])


def _tell(detail: LinkDetail, output: Output) -> int:
    from lakelink.cli.links.told import direction, spec_fields, status_fields, tell_notes
    from lakelink.cli.result import print_json

    if output.json:
        print_json(spec_fields(detail.spec) | {"status": status_fields(detail.status), "notes": detail.notes})
        return 0
    if not output.quiet:
        print(f"link {detail.spec.name} is made: {direction(detail.spec)}")
    tell_notes(detail.notes)
    return 0
