"""`lakelink gateway sessions` and `kick`."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Group, Parameter

from lakelink.cli.parameters import Output
from lakelink.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lakelink.api.calls import Call
    from lakelink.model.gateway import GatewayStatus, LiveSession

T = TypeVar("T")
WHOM = Group("Whom", sort_key=1)


def sessions(*, output: Output = Output()) -> int:
    """List who is logged in, over all workers.

    For example:

    ```
    lakelink gateway sessions
    lakelink gateway sessions --json
    ```
    """
    from lakelink.api.calls import GetGateway, ListSessions
    from lakelink.cli.result import print_json, print_lines

    found, status = _ask(ListSessions()), _ask(GetGateway())
    if output.json:
        print_json({"sessions": [_fields(each) for each in found], "gateway": _gateway(status)})
        return 0
    print_lines(_line(each) for each in found)
    if not output.quiet:
        more = f", {status.half_open} not logged in yet" if status.half_open else ""
        print(f"{len(found)} session{'' if len(found) == 1 else 's'} on {', '.join(status.listening)}{more}")
        print_lines(f"kept out: {address}, for {seconds:.0f} s more" for address, seconds in status.banned)
    return 0


def kick(
    *session: str,
    user: Annotated[
        str, Parameter(help="All sessions of this user.", metavar="NAME", group=WHOM, show_default=False)
    ] = "",
    unban: Annotated[
        str,
        Parameter(
            help="Let this address in again that failed too often.", metavar="ADDRESS", group=WHOM, show_default=False
        ),
    ] = "",
    output: Output = Output(),
) -> int:
    """End sessions. Uploads under way leave nothing; who may log in comes back, so disable the user first.

    For example:

    ```
    lakelink gateway kick 3f2a9c0d11e8b7a4
    lakelink gateway user update acme --disable && lakelink gateway kick --user acme
    lakelink gateway kick --unban 203.0.113.9
    ```

    Args:
        session: ids, as `lakelink gateway sessions` lists them.
    """
    from lakelink.api.calls import KickSessions, LiftBan
    from lakelink.cli.result import print_json

    if not session and not user and not unban:
        raise UsageError("which sessions?", hint="Their ids, or --user NAME.")
    if unban:
        _check_address(unban)
    lifted = _ask(LiftBan(address=unban)) if unban else False
    ended = _ask(KickSessions(sessions=list(session), user=user)) if session or user else []
    if session and not ended and not user:
        raise NotFound(f"there is no session {', '.join(session)}", hint="lakelink gateway sessions lists them.")
    if output.json:
        print_json({"kicked": ended, "unbanned": lifted})
    elif not output.quiet:
        if session or user:
            print(f"{len(ended)} session{'' if len(ended) == 1 else 's'} ended")
        if unban:
            print(f"{unban} may come again" if lifted else f"{unban} was not kept out")
    return 0


def _check_address(text: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        raise UsageError(
            f"{text!r} is no address", hint="lakelink gateway sessions names those that are kept out."
        ) from None


def _ask(call: Call[T]) -> T:
    from lakelink.cli.gateway.reach import ask
    from lakelink.config.state_dir import state_dir_path

    return ask(state_dir_path(), call)


def _fields(session: LiveSession) -> dict[str, Any]:
    from lakelink.cli.links.told import stamp

    fields = dataclasses.asdict(session)
    since_ns, active_ns = fields.pop("since_ns"), fields.pop("active_ns")
    return fields | {"since": stamp(since_ns), "active": stamp(active_ns)}


def _gateway(status: GatewayStatus) -> dict[str, Any]:
    from lakelink.cli.links.told import stamp

    return {
        "pid": status.pid,
        "started": stamp(status.started_ns),
        "listening": list(status.listening),
        "policy": status.policy,
        "workers": status.workers,
        "host_keys": list(status.host_keys),
        "half_open": status.half_open,
        "draining": status.is_draining,
        "banned": dict(status.banned),
        "counts": dict(status.counts),
    }


def _line(session: LiveSession) -> str:
    from lakelink.model.path import display
    from lakelink.model.units import format_bytes, format_duration

    now_s = time.time()
    moved = f"{format_bytes(session.uploaded_bytes)} up, {format_bytes(session.downloaded_bytes)} down"
    since = format_duration(max(0.0, now_s - session.since_ns / 1e9))
    idle = format_duration(max(0.0, now_s - session.active_ns / 1e9))
    client = display(session.client)  # a client may call itself anything
    return f"{session.id}  {display(session.user)}  {session.address}  for {since}, idle {idle}, {moved}  {client}"
