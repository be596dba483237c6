"""`lakelink link pause`, `resume` and `reconcile`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

from lakelink.cli.links.options import SAFETY
from lakelink.cli.parameters import Output, flag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lakelink.config.document import Document
    from lakelink.links.registry import Registry
    from lakelink.model.linkspec import LinkStatus


def pause(name: str, /, *, output: Output = Output()) -> int:
    """Let a link rest.

    Nothing is carried until it is resumed, also over restarts of the daemon. Changes go on being noticed and are carried then. What is
    under way is finished.

    For example:

    ```
    lakelink link pause logs
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import PauseLink
    from lakelink.cli.links.reach import either

    return _tell(either(PauseLink(link=name), _rest(name, paused=True), output.config), "is paused", output)


def resume(
    name: str,
    /,
    *,
    allow_deletes: Annotated[
        bool, flag(SAFETY, "The deletes that the brake has stopped are meant: let them pass, this once.")
    ] = False,
    accept_root: Annotated[
        bool,
        flag(SAFETY, "The directory that is there now is meant: both sides are merged anew, and nothing is deleted."),
    ] = False,
    output: Output = Output(),
) -> int:
    """Let a link go on.

    After a pause; or after a halt, whose cause is looked at again at once.

    For example:

    ```
    lakelink link resume logs
    lakelink link resume logs --allow-deletes
    lakelink link resume logs --accept-root
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import ResumeLink
    from lakelink.cli.links.reach import ask, either

    call = ResumeLink(link=name, allow_deletes=allow_deletes, accept_root=accept_root)
    # What is allowed once is the running link's to take; without one there is nothing that it could be given to.
    status = ask(call) if allow_deletes or accept_root else either(call, _rest(name, paused=False), output.config)
    return _tell(status, "goes on", output)


def reconcile(name: str, /, *paths: str, output: Output = Output()) -> int:
    """Compare both sides of a link now.

    All of it, or what is at and below the paths. Ends when what was found has been carried or refused. Needs the daemon.

    For example:

    ```
    lakelink link reconcile logs
    lakelink link reconcile logs 2026/11
    ```

    Args:
        name: of the link.
        paths: relative to the link's directory.
    """
    from lakelink.api.answers import wire_path
    from lakelink.api.calls import ReconcileLink
    from lakelink.cli.links.paths import inside
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import ask

    call = ReconcileLink(link=name, paths=[wire_path(inside(path)) for path in paths])
    with Beats(quiet=output.quiet or output.json) as beats:
        status = ask(call, beats.link)
    return _tell(status, "is compared", output)


def _rest(name: str, *, paused: bool) -> Callable[[Registry, Document, Path], LinkStatus]:
    def alone(registry: Registry, _document: Document, state_dir: Path) -> LinkStatus:
        from lakelink.daemon.journals import resting

        spec = registry.update(dataclasses.replace(registry.get(name), paused=paused))
        return resting(state_dir, spec)

    return alone


def _tell(status: LinkStatus, done: str, output: Output) -> int:
    from lakelink.cli.links.told import NEEDS_SOMEBODY, status_fields, status_lines
    from lakelink.cli.result import print_json, print_lines

    if output.json:
        print_json(status_fields(status))
    elif not output.quiet:
        print(f"link {status.name} {done}")
        print_lines(list(status_lines(status)))
    return 1 if status.state in NEEDS_SOMEBODY else 0
