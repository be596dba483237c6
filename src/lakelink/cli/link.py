"""`lakelink link`: names its commands, and loads only the one that is asked for."""

from __future__ import annotations

from cyclopts import App, Group

ABOUT = """Keep a directory and an S3 prefix in step, both ways, for ever.

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
LOSERS = Group("What did not travel", sort_key=3)
TASKS = Group("Tasks", sort_key=4)

app = App(name="link", help=ABOUT)
for group, commands in {
    MAKING: {
        "add": "add:add",
        "list": "show:list_links",
        "show": "show:show",
        "update": "update:update",
        "remove": "remove:remove",
    },
    RUNNING: {
        "pause": "steer:pause",
        "resume": "steer:resume",
        "reconcile": "steer:reconcile",
    },
    LOSERS: {
        "conflicts": "conflicts:conflicts",
        "resolve": "conflicts:resolve",
        "held": "troubles:held",
        "problems": "troubles:problems",
    },
}.items():
    for name, place in commands.items():
        app.command(f"lakelink.cli.links.{place}", name=name, group=group)
