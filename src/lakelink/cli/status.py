"""`lakelink status`: how links stand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from lakelink.cli.parameters import OUTPUT, Output, flag
from lakelink.errors import NoDaemon, UsageError
from lakelink.model.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from lakelink.api.answers import Daemon, GatewayCondition, StatusReport
    from lakelink.config.document import Document
    from lakelink.links.registry import Registry
    from lakelink.model.linkspec import LinkStatus

CLEAR = "\x1b[H\x1b[J"


class Shown(NamedTuple):
    """What is to be told."""

    daemon: Daemon | None
    gateway: GatewayCondition | None
    links: list[LinkStatus]


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
    guaranteed where two writers meet; and how the gateway of the daemon stands, if it has one. Ends with 1 when a link needs somebody
    (MISCONFIGURED, FAILED) or the gateway cannot start, and with 4 when no daemon runs.

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
    shown = _of(report, names)
    _print(shown, output)
    return _code(shown)


def _watch(names: tuple[str, ...], interval_s: float, output: Output) -> int:
    from lakelink.api.calls import Watch
    from lakelink.cli.links.reach import ask

    live = sys.stdout.isatty() and not output.json

    def show(report: StatusReport) -> None:
        shown = _of(report, names)
        if output.json:
            sys.stdout.write(json.dumps(_document(shown)) + "\n")
        else:
            sys.stdout.write((CLEAR if live else "") + "".join(f"{line}\n" for line in _lines(shown)))
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
    _print(Shown(None, None, _chosen(links, names)), output)
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


def _of(report: StatusReport, names: tuple[str, ...]) -> Shown:
    """Who asks for links by name is told of these, and not of the gateway."""
    return Shown(report.daemon, None if names else report.gateway, _chosen(report.links, names))


def _print(shown: Shown, output: Output) -> None:
    if output.json:
        from lakelink.cli.result import print_json

        print_json(_document(shown))
    elif not output.quiet:
        from lakelink.cli.result import print_lines

        print_lines(_lines(shown))


def _lines(shown: Shown) -> Iterator[str]:
    from lakelink.cli.links.told import status_lines

    daemon = shown.daemon
    if daemon is not None:
        yield (
            f"daemon: process {daemon.pid}, {format_bytes(daemon.rss_bytes)}, {daemon.open_files} open files, "
            f"{daemon.threads} threads"
        )
        if daemon.settings_error:
            yield f"  the settings were refused, those of before hold: {daemon.settings_error}"
    if shown.gateway is not None:
        yield from _gateway_lines(shown.gateway)
    if not shown.links:
        yield "no links; make one with `lakelink link add NAME DIRECTORY s3://BUCKET/PREFIX`"
    for link in shown.links:
        yield from status_lines(link)


def _gateway_lines(gateway: GatewayCondition) -> Iterator[str]:
    from lakelink.model.path import display

    if gateway.state == "running":
        crowd = f"{gateway.sessions} session{'' if gateway.sessions == 1 else 's'}"
        yield f"gateway: running on {', '.join(gateway.listening)}, {crowd}"
        return
    yield f"gateway: {gateway.state}{', and tried again and again' if gateway.reason else ''}"
    if gateway.reason:
        yield f"  {gateway.code}: {display(gateway.reason)}"
    if gateway.hint:
        yield f"  {gateway.hint}"


def _document(shown: Shown) -> dict[str, Any]:
    from lakelink.cli.links.told import stamp, status_fields

    daemon, gateway, about = shown.daemon, shown.gateway, None
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
    found: dict[str, Any] = {"daemon": about, "links": [status_fields(link) for link in shown.links]}
    if gateway is not None:
        found["gateway"] = {
            "state": gateway.state,
            "since": stamp(gateway.since_ns),
            "listening": gateway.listening,
            "sessions": gateway.sessions,
            "code": gateway.code,
            "reason": gateway.reason,
            "hint": gateway.hint,
        }
    return found


def _code(shown: Shown) -> int:
    from lakelink.cli.links.told import NEEDS_SOMEBODY

    if shown.gateway is not None and shown.gateway.state == "failed":
        return 1
    return 1 if any(link.state in NEEDS_SOMEBODY for link in shown.links) else 0
