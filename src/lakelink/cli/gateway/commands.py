"""`lakelink gateway`: names its commands, and loads only the one that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import App, Group

ABOUT = """Serve SFTP to partners whose homes are prefixes of the lake.

A home may be a directory as well. Users see virtual directories and nothing else. `lakelink gateway serve` runs the gateway by itself; a
[gateway] section in the settings makes `lakelink serve` run it.

For example:

```
lakelink gateway user add acme --home s3://lake/partners/acme --key acme.pub
lakelink gateway serve
sftp -P 2222 acme@localhost
lakelink gateway sessions
```
"""
RUNNING = Group("Running", sort_key=1)
USERS = Group("Users and host keys", sort_key=2)
MOVING = Group("Taking over another server", sort_key=3)


class Command(NamedTuple):
    """Where a command is, below `lakelink.cli.gateway`, and its line in `lakelink gateway --help`."""

    path: str
    group: Group
    summary: str


COMMANDS = {
    "serve": Command("serve:serve", RUNNING, "Run the gateway, until stopped."),
    "sessions": Command("sessions:sessions", RUNNING, "List who is there."),
    "kick": Command("sessions:kick", RUNNING, "End sessions."),
    "log": Command("log:log", RUNNING, "Show the audit log: who did what, from where, with which result."),
    "workflows": Command("workflows:app", RUNNING, "What happens after an upload: how it went, and what failed once more."),
    "user": Command("user:app", USERS, "Users: add, list, show, change, remove; passwords and keys."),
    "hostkey": Command("hostkey:app", USERS, "The keys by which clients know this server."),
    "import": Command("takeover:app", MOVING, "Take over an existing SFTP server: scan, plan, apply, sync, verify, rollback."),
}  # fmt: skip


def build(tokens: Sequence[str], group: Group) -> App:
    """The application that can carry out these tokens, which follow `lakelink gateway`."""
    listing = not tokens or tokens[0] not in COMMANDS
    app = App(name="gateway", help=ABOUT, group=group)
    for name, command in COMMANDS.items():
        # The summary stands in for the command's own help where all are listed, so that listing them imports none of them.
        summary = command.summary if listing else None
        app.command(f"lakelink.cli.gateway.{command.path}", name=name, group=command.group, help=summary)
    return app
