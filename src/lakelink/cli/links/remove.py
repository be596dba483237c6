"""`lakelink link remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from lakelink.cli.links.options import SAFETY
from lakelink.cli.parameters import Output, flag
from lakelink.errors import NoDaemon, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import Removed
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry


def remove(
    name: str,
    /,
    *,
    discard: Annotated[bool, flag(SAFETY, "Changes that are queued are not to be carried any more.")] = False,
    delete_files: Annotated[
        bool,
        flag(SAFETY, "Remove the local files that the lake holds just so; every other file stays. Needs the daemon."),
    ] = False,
    output: Output = Output(),
) -> int:
    """Let go of a link.

    Both sides stay as they are. Refused while changes are queued, unless they are to be discarded; without a daemon it is not known whether
    some are.

    For example:

    ```
    lakelink link remove logs
    lakelink link remove scratch --discard
    lakelink link remove old-project --delete-files
    ```

    Args:
        name: of the link.
    """
    from lakelink.api.calls import RemoveLink
    from lakelink.cli.links.progress import Beats
    from lakelink.cli.links.reach import either
    from lakelink.cli.result import print_json, print_lines

    def alone(registry: Registry, document: Document, state_dir: Path) -> Removed:
        return _remove_alone(registry, document, state_dir, name, discard=discard, delete_files=delete_files)

    call = RemoveLink(link=name, discard=discard, delete_files=delete_files)
    with Beats(quiet=True):
        removed = either(call, alone, output.config)
    if output.json:
        print_json({"name": removed.name, "deleted": removed.deleted, "kept": removed.kept})
    elif not output.quiet:
        print(f"link {removed.name} is removed" + (f", {removed.deleted:,} local paths too" if delete_files else ""))
        print_lines(f"  {sentence}" for sentence in removed.kept)
    return 0


def _remove_alone(
    registry: Registry, document: Document, state_dir: Path, name: str, *, discard: bool, delete_files: bool
) -> Removed:
    from lakelink.api.answers import Removed
    from lakelink.daemon.client import START_IT
    from lakelink.daemon.removal import forget, kept, release

    spec = registry.get(name)
    if spec.lazy:
        raise NoDaemon("only a daemon can tell whether files have their bytes in the lake alone", hint=START_IT)
    if delete_files:
        raise NoDaemon("only a daemon can tell which files the lake holds", hint=START_IT)
    if not discard:
        raise Refused(
            f"whether link {name} has changes queued is not known, since no daemon runs",
            hint=f"{START_IT} Or leave them uncarried: lakelink link remove {name} --discard.",
        )
    registry.remove(name)
    told = release(spec, document)
    forget(state_dir, spec)
    return Removed(name, 0, [*kept(spec, document), *told])
