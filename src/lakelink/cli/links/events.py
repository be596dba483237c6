"""`lakelink link events`: the lake's changes pushed through a queue."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from lakelink.cli.parameters import Output, flag
from lakelink.errors import Refused, UsageError

if TYPE_CHECKING:
    from lakelink.config.document import Document
    from lakelink.model.linkspec import LinkSpec

EVENTS = Group("Events", sort_key=1)


def events(
    name: str,
    /,
    *,
    queue: Annotated[
        str,
        Parameter(
            help="Send the lake's changes to this SQS queue and hear of them there; `create` makes one.",
            metavar="ARN|URL|create",
            group=EVENTS,
            show_default=False,
        ),
    ] = "",
    check: Annotated[bool, flag(EVENTS, "Look whether everything is in place.")] = False,
    remove: Annotated[bool, flag(EVENTS, "Take it all away again; listing goes on.")] = False,
    output: Output = Output(),
) -> int:
    """Have the lake's changes pushed.

    Sets up queue policy and bucket notification beside those of others, and remembers the queue. Needs the rights to do so, of who runs the
    command or as the location names them; the daemon then only reads the queue. Without events changes are found by listing, which goes on in
    any case. With --check it ends with 1 when something is missing.

    For example:

    ```
    lakelink link events logs --queue create
    lakelink link events logs --queue arn:aws:sqs:eu-north-1:123456789012:lake-events
    lakelink link events logs --check
    lakelink link events logs --remove
    ```

    Args:
        name: of the link.
    """
    if [bool(queue), check, remove].count(True) != 1:
        raise UsageError("one of --queue, --check and --remove is needed", hint="For example --queue create.")
    from lakelink.cli.links.show import spec_of
    from lakelink.config.document import load_document

    spec, document = spec_of(name, output.config), load_document(output.config)
    if queue:
        return _install(spec, document, queue, output)
    if not spec.events:
        raise Refused(f"link {name} has no queue", hint=f"lakelink link events {name} --queue create")
    return _check(spec, document, output) if check else _remove(spec, document, output)


def _install(spec: LinkSpec, document: Document, queue: str, output: Output) -> int:
    import asyncio

    from lakelink.cli.links.told import tell_notes
    from lakelink.cli.result import print_json
    from lakelink.daemon.lake_events import install

    installed = asyncio.run(install(spec, document, queue))
    if not spec.declared:
        _remember(spec, installed, output)
    if output.json:
        print_json({"link": spec.name, "queue": installed})
    elif not output.quiet:
        print(f"changes of {spec.lake} go to {installed}")
    if spec.declared and spec.events != installed:
        tell_notes([f'The link is declared: write events = "{installed}" into [links.{spec.name}] and reload.'])
    return 0


def _check(spec: LinkSpec, document: Document, output: Output) -> int:
    import asyncio

    from lakelink.cli.result import print_json, print_lines
    from lakelink.daemon.lake_events import check

    findings = asyncio.run(check(spec, document))
    bad = [finding for finding in findings if not finding.ok]
    if output.json:
        rows = [{"ok": f.ok, "what": f.what, "sentence": f.sentence, "hint": f.hint} for f in findings]
        print_json({"link": spec.name, "queue": spec.events, "healthy": not bad, "findings": rows})
    else:
        print_lines(f"{'ok  ' if f.ok else 'FAIL'}  {f.what:<12} {f.sentence}" for f in findings)
        print_lines(f"hint: {finding.hint}" for finding in bad if finding.hint)
    return 1 if bad else 0


def _remove(spec: LinkSpec, document: Document, output: Output) -> int:
    import asyncio

    from lakelink.cli.links.told import tell_notes
    from lakelink.cli.result import print_json
    from lakelink.daemon.lake_events import remove

    if not spec.declared:  # first nobody reads the queue, then it goes
        _remember(spec, "", output)
    asyncio.run(remove(spec, document))
    if output.json:
        print_json({"link": spec.name, "queue": ""})
    elif not output.quiet:
        print(f"changes of {spec.lake} are found by listing only")
    if spec.declared:
        tell_notes([f"The link is declared: take events out of [links.{spec.name}] and reload."])
    return 0


def _remember(spec: LinkSpec, queue: str, output: Output) -> None:
    from lakelink.cli.links.update import change

    change(spec, dataclasses.replace(spec, events=queue), output.config)
