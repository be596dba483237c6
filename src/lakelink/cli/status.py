"""`lakelink status`: how links stand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, Output, flag
from lakelink.errors import NoDaemon, UsageError
from lakelink.model.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import Daemon, StatusReport
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry
    from lakelink.model.linkspec import LinkStatus

CLEAR = "\x1b[H\x1b[J"


def status(
    *names: str,
    watch: Annotated[bool, flag(OUTPUT, "Again and again until Ctrl-C; with --json a document per line.")] = False,
    interval: Annotated[
        float, Parameter(help="Seconds between two looks with --watch.", metavar="SECONDS", group=OUTPUT)
    ] = 1.0,
    output: Output = Output(),
) -> int:
    """Say how links stand.

    Their state, what is pending, what was carried and how fast, which conflicts and problems there are, how changes are noticed, and what is
    guaranteed where two writers meet. Ends with 1 when a link needs somebody (MISCONFIGURED, FAILED), and with 4 when no daemon runs.

    For example:

    ```
    lakelink status
    lakelink status logs --watch
    lakelink status --json
    ```

    Args:
        names: of links; all of them unless given.
    """
    if interval <= 0:
        raise UsageError(f"--interval {interval} is not above zero", hint="For example --interval 0.5.")
    if watch:
        return _watch(names, interval, output)
    from lakelink.api.calls import GetStatus
    from lakelink.cli.links.reach import ask

    try:
        report = ask(GetStatus())
    except NoDaemon as error:
        return _resting(names, error, output)
    links = _chosen(report.links, names)
    _print(report.daemon, links, output)
    return _code(links)


def _watch(names: tuple[str, ...], interval_s: float, output: Output) -> int:
    from lakelink.api.calls import Watch
    from lakelink.cli.links.reach import ask

    live = sys.stdout.isatty() and not output.json

    def show(report: StatusReport) -> None:
        links = _chosen(report.links, names)
        if output.json:
            sys.stdout.write(json.dumps(_document(report.daemon, links)) + "\n")
        else:
            sys.stdout.write((CLEAR if live else "") + "".join(f"{line}\n" for line in _lines(report.daemon, links)))
        sys.stdout.flush()

    ask(Watch(interval_s=interval_s), show)
    return 0


def _resting(names: tuple[str, ...], error: NoDaemon, output: Output) -> int:
    """Without a daemon: what the registry and the journals know."""
    from lakelink.cli.links.reach import alone
    from lakelink.cli.supervise import tell

    links = alone(_alone, output.config)
    if links is None:
        raise error  # one is just starting, and did not listen in time
    _print(None, _chosen(links, names), output)
    return tell([error])


def _alone(registry: Registry, _document: Document, state_dir: Path) -> list[LinkStatus]:
    from lakelink.daemon.journals import resting

    return [resting(state_dir, spec) for spec in registry.list()]


def _chosen(links: list[LinkStatus], names: tuple[str, ...]) -> list[LinkStatus]:
    if not names:
        return links
    known = {link.name: link for link in links}
    for name in names:
        if name not in known:
            from lakelink.errors import NotFound

            raise NotFound(f"there is no link {name!r}", hint=f"There are: {', '.join(known) or 'none'}.")
    return [known[name] for name in names]


def _print(daemon: Daemon | None, links: list[LinkStatus], output: Output) -> None:
    if output.json:
        from lakelink.cli.result import print_json

        print_json(_document(daemon, links))
    elif not output.quiet:
        from lakelink.cli.result import print_lines

        print_lines(_lines(daemon, links))


def _lines(daemon: Daemon | None, links: list[LinkStatus]) -> Iterator[str]:
    from lakelink.cli.links.told import status_lines

    if daemon is not None:
        yield (
            f"daemon: process {daemon.pid}, {format_bytes(daemon.rss_bytes)}, {daemon.open_files} open files, "
            f"{daemon.threads} threads"
        )
        if daemon.settings_error:
            yield f"  the settings were refused, those of before hold: {daemon.settings_error}"
    if not links:
        yield "no links; make one with `lakelink link add NAME DIRECTORY s3://BUCKET/PREFIX`"
    for link in links:
        yield from status_lines(link)


def _document(daemon: Daemon | None, links: list[LinkStatus]) -> dict[str, Any]:
    from lakelink.cli.links.told import stamp, status_fields

    about = None
    if daemon is not None:
        about = {
            "pid": daemon.pid,
            "version": daemon.version,
            "uid": daemon.uid,
            "started": stamp(daemon.started_ns),
            "state_dir": daemon.state_dir,
            "settings": daemon.settings,
            "settings_error": daemon.settings_error,
            "metrics": daemon.metrics,
            "webhook": daemon.webhook,
            "open_files": daemon.open_files,
            "max_open_files": daemon.max_open_files,
            "threads": daemon.threads,
            "rss_bytes": daemon.rss_bytes,
        }
    return {"daemon": about, "links": [status_fields(link) for link in links]}


def _code(links: list[LinkStatus]) -> int:
    from lakelink.cli.links.told import NEEDS_SOMEBODY

    return 1 if any(link.state in NEEDS_SOMEBODY for link in links) else 0
