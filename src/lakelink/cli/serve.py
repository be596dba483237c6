"""`lakelink serve`: the daemon, in the foreground."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from lakelink.cli.parameters import Output, flag, one
from lakelink.config.serve import Address, parse_address

if TYPE_CHECKING:
    from lakelink.api.answers import Daemon

SERVING = Group("Serving", sort_key=1)


def serve(
    *,
    metrics: Annotated[
        Address | None,
        Parameter(
            help="Serve Prometheus metrics there; a bare port is on loopback. Nowhere, unless given or set.",
            metavar="[HOST:]PORT",
            converter=one(parse_address),
            n_tokens=1,
            accepts_keys=False,
            group=SERVING,
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Literal["auto", "text", "json", "journal"],
        Parameter(help="How events are written to standard error; auto knows journald.", group=SERVING),
    ] = "auto",
    print_unit: Annotated[
        bool, flag(SERVING, "Print a unit for systemd that runs this program, and do nothing else.")
    ] = False,
    print_lazy_drop_in: Annotated[
        bool, flag(SERVING, "Print what the unit needs besides where links are lazy, and do nothing else.")
    ] = False,
    output: Output = Output(),
) -> int:
    """Carry the changes of all links, until stopped.

    Runs in the foreground, as an ordinary user as well as as root; one daemon per state directory. SIGHUP reads the settings again, and wrong ones change
    nothing. SIGTERM and Ctrl-C stop it cleanly; after a crash the next one goes on where this one was. Commands reach it over a socket in the
    state directory that only its user can open.

    For example:

    ```
    lakelink serve
    lakelink serve --metrics 9464
    LAKELINK_LOG=debug lakelink serve --log json
    lakelink serve --print-unit | sudo tee /etc/systemd/system/lakelink.service
    ```
    """
    if print_unit or print_lazy_drop_in:
        from lakelink.daemon.unit import lazy_drop_in, unit

        sys.stdout.write(unit() if print_unit else lazy_drop_in())
        return 0
    from lakelink.config.state_dir import state_dir
    from lakelink.daemon.serve import ServeOptions
    from lakelink.daemon.serve import serve as run

    start_log(log, quiet=output.quiet)
    options = ServeOptions(
        state_dir=state_dir(),
        config=output.config,
        metrics=metrics,
        on_ready=lambda daemon: _announce(daemon, output),
        log_form=log_form(log),
    )
    return run(options)


def start_log(form: str, *, quiet: bool) -> None:
    """INFO and above, unless LAKELINK_LOG says otherwise."""
    from lakelink.obs import log

    journal = form == "journal" or (form == "auto" and log.is_journal(sys.stderr, os.environ))
    level = logging.getLevelNamesMapping().get(os.environ.get("LAKELINK_LOG", "").partition(",")[0].upper())
    if level is None:
        level = logging.WARNING if quiet else logging.INFO
    as_json = form == "json" or (form == "auto" and os.environ.get("LAKELINK_LOG", "").endswith(",json"))
    log.configure(level, sys.stderr, as_json=as_json, journal=journal)


def log_form(form: str) -> str:
    """The form as a process that this one starts is told: text, json or journal."""
    from lakelink.obs.log import is_journal

    if form == "journal" or (form == "auto" and is_journal(sys.stderr, os.environ)):
        return "journal"
    return "json" if form == "json" or os.environ.get("LAKELINK_LOG", "").endswith(",json") else "text"


def _announce(daemon: Daemon, output: Output) -> None:
    if output.json:
        from lakelink.cli.result import print_json

        print_json(
            {"pid": daemon.pid, "state_dir": daemon.state_dir, "metrics": daemon.metrics, "webhook": daemon.webhook}
        )
    elif not output.quiet:
        places = (("metrics at", daemon.metrics), ("events taken at", daemon.webhook))
        told = "".join(f", {what} {url}" for what, url in places if url)
        print(f"lakelink serves {daemon.state_dir}{told}")
    sys.stdout.flush()
