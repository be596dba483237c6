"""`lakelink gateway serve`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from lakelink.cli.parameters import Output

if TYPE_CHECKING:
    from lakelink.model.gateway import GatewayStatus

SERVING = Group("Serving", sort_key=1)


def serve(
    *,
    listen: Annotated[
        str,
        Parameter(
            help="Where to take connections; a bare port is on loopback. Else `listen` of [gateway], else 127.0.0.1:2222.",
            metavar="[HOST:]PORT",
            group=SERVING,
            show_default=False,
        ),
    ] = "",
    log: Annotated[
        Literal["auto", "text", "json", "journal"],
        Parameter(help="How events are written to standard error; auto knows journald.", group=SERVING),
    ] = "auto",
    output: Output = Output(),
) -> int:
    """Run the gateway, until stopped.

    In the foreground, without links; with a [gateway] section in the settings, `lakelink serve` runs both. Host keys are made when there are
    none. SIGHUP reads the settings again: open sessions go on, new ones meet the new settings. SIGTERM and Ctrl-C take no more connections
    and let transfers end, within `drain` of the settings; a second one ends at once.

    For example:

    ```
    lakelink gateway serve
    lakelink gateway serve --listen 0.0.0.0:2222
    lakelink gateway serve --listen 127.0.0.1:0 --json
    ```
    """
    from lakelink.cli.serve import log_form, start_log
    from lakelink.config.state_dir import state_dir
    from lakelink.daemon.gateway import GatewayOptions
    from lakelink.daemon.gateway_serve import serve_gateway

    start_log(log, quiet=output.quiet)
    options = GatewayOptions(state_dir=state_dir(), config=output.config, listen=listen, log_form=log_form(log))
    return serve_gateway(options, lambda status: _announce(status, output))


def _announce(status: GatewayStatus, output: Output) -> None:
    if output.json:
        from lakelink.cli.result import print_json

        print_json({"pid": status.pid, "listening": list(status.listening), "host_keys": list(status.host_keys)})
    elif not output.quiet:
        print(f"lakelink serves SFTP on {', '.join(status.listening)}")
        for key in status.host_keys:
            print(f"  host key {key}")
    sys.stdout.flush()
