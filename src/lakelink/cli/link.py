"""`lakelink link`: names its commands, and loads only the one that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cyclopts import App, Group

ABOUT = """Keep a directory and an S3 prefix in step, both ways.

A link maps one directory to one prefix. `lakelink serve` carries the changes; links may be made before it runs, and a running daemon takes a
change over at once.

For example:

```
lakelink link add logs /srv/logs s3://lake/logs
lakelink link add finance /srv/finance s3://finance-data/ --import new,changed --export none --conflict lake
lakelink serve
lakelink status --watch
```
"""
MAKING = Group("Links", sort_key=1)
RUNNING = Group("While they run", sort_key=2)
LEFT = Group("What did not travel", sort_key=3)
TASKS = Group("Tasks", sort_key=4)
HOLDING = Group("Lazy links", sort_key=5)


class Command(NamedTuple):
    """Where a command is, below `lakelink.cli.links`, and its line in `lakelink link --help`."""

    path: str
    group: Group
    summary: str


COMMANDS = {
    "add": Command("add:add", MAKING, "Make a link between a directory and a prefix."),
    "list": Command("show:list_links", MAKING, "List the links."),
    "show": Command("show:show", MAKING, "Show one link: what it was told, and how it stands."),
    "update": Command("update:update", MAKING, "Change what a link was told."),
    "remove": Command("remove:remove", MAKING, "Let go of a link."),
    "events": Command("events:events", MAKING, "Have the lake's changes pushed."),
    "pause": Command("steer:pause", RUNNING, "Let a link rest."),
    "resume": Command("steer:resume", RUNNING, "Let a link go on."),
    "reconcile": Command("steer:reconcile", RUNNING, "Compare both sides of a link now."),
    "check": Command("check:check", RUNNING, "Compare a link's journal with both sides."),
    "log": Command("log:log", RUNNING, "Show what happened to a link: changes of state, tasks, paths that failed."),
    "conflicts": Command("conflicts:conflicts", LEFT, "List what both sides changed."),
    "resolve": Command("conflicts:resolve", LEFT, "Settle a conflict."),
    "held": Command("troubles:held", LEFT, "List changes that the link's policies do not carry."),
    "problems": Command("troubles:problems", LEFT, "List paths that cannot be carried at the moment."),
    "trash": Command("trash:app", LEFT, "What a link removed or replaced locally: listed, brought back, or removed for good."),
    "preload": Command("lazy:preload", HOLDING, "Load files of a lazy link now, so that nobody waits for them later."),
    "release": Command("lazy:release", HOLDING, "Give up the bytes of files of a lazy link that the lake holds just so."),
    "import": Command("tasks:import_", TASKS, "Look what the lake has, and carry it here."),
    "export": Command("tasks:export", TASKS, "Look what the directory has, and carry it to the lake."),
    "tasks": Command("tasks:tasks", TASKS, "List the tasks of a link, the newest first."),
    "cancel": Command("tasks:cancel", TASKS, "Cancel a task."),
}  # fmt: skip


def build(tokens: Sequence[str], group: Group) -> App:
    """The application that can carry out these tokens, which follow `lakelink link`."""
    listing = not tokens or tokens[0] not in COMMANDS
    app = App(name="link", help=ABOUT, group=group)
    for name, command in COMMANDS.items():
        # The summary stands in for the command's own help where all are listed, so that listing them imports none of them.
        summary = command.summary if listing else None
        app.command(f"lakelink.cli.links.{command.path}", name=name, group=command.group, help=summary)
    return app
