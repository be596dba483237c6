"""`lakelink link list` and `lakelink link show`: links as they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakelink.cli.parameters import Output

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import LinkDetail
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry
    from lakelink.model.linkspec import LinkSpec


def list_links(*, output: Output = Output()) -> int:
    """List the links.

    As they were asked for; `lakelink status` says how they stand.

    For example:

    ```
    lakelink link list
    lakelink link list --json
    ```
    """
    from lakelink.cli.links.told import direction, spec_fields
    from lakelink.cli.result import print_json, print_lines

    specs = _specs(output.config)
    if output.json:
        print_json({"links": [spec_fields(spec) for spec in specs]})
        return 0
    width = max((len(spec.name) for spec in specs), default=0)
    print_lines(f"{spec.name:<{width}}  {direction(spec)}{_marks(spec)}" for spec in specs)
    if not specs and not output.quiet:
        print("no links; make one with `lakelink link add NAME DIRECTORY s3://BUCKET/PREFIX`")
    return 0


def _specs(config: str | None) -> list[LinkSpec]:
    from lakelink.api.calls import ListLinks
    from lakelink.cli.links.reach import either

    def alone(registry: Registry, _document: Document, _state_dir: Path) -> list[LinkSpec]:
        return list(registry.list())

    return either(ListLinks(), alone, config)


def _marks(spec: LinkSpec) -> str:
    marks = [
        word for word, holds in (("lazy", spec.lazy), ("paused", spec.paused), ("declared", spec.declared)) if holds
    ]
    return f"  ({', '.join(marks)})" if marks else ""


def show(name: str, /, *, output: Output = Output()) -> int:
    """Show one link: what it was told, and how it stands.

    For example:

    ```
    lakelink link show logs
    lakelink link show logs --json
    ```

    Args:
        name: of the link.
    """
    from lakelink.cli.links.told import spec_fields, spec_lines, status_fields, status_lines
    from lakelink.cli.result import print_json, print_lines

    detail = _detail(name, output.config)
    if output.json:
        print_json(spec_fields(detail.spec) | {"status": status_fields(detail.status)})
    else:
        print_lines(spec_lines(detail.spec))
        print_lines(status_lines(detail.status))
    return 0


def spec_of(name: str, config: str | None) -> LinkSpec:
    """The link of that name.

    Raises:
        NotFound: there is none; the hint names the nearest. What `either` raises.
    """
    return _detail(name, config).spec


def _detail(name: str, config: str | None) -> LinkDetail:
    from lakelink.api.answers import LinkDetail
    from lakelink.api.calls import ShowLink
    from lakelink.cli.links.reach import either

    def alone(registry: Registry, _document: Document, state_dir: Path) -> LinkDetail:
        from lakelink.daemon.journals import resting

        spec = registry.get(name)
        return LinkDetail(spec, resting(state_dir, spec))

    return either(ShowLink(link=name), alone, config)
