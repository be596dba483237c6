"""The command line's entry: names the commands, loads only the one that is asked for, turns errors into exit codes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lakelink.cli.supervise import supervised
from lakelink.errors import UsageError

if TYPE_CHECKING:
    from cyclopts import App


class Command(NamedTuple):
    """Where a command is, and its line in `lakelink --help`."""

    path: str  # module:attribute, imported when it is needed
    group: str
    summary: str


COMMANDS: dict[str, Command] = {
    "sync": Command("lakelink.cli.sync:sync", "Trees", "Make TARGET hold what SOURCE holds."),
    "verify": Command("lakelink.cli.verify:verify", "Trees", "Compare two locations by content and metadata."),
    "link": Command("lakelink.cli.link:build", "Links", "Keep a directory and an S3 prefix in step, both ways."),
    "serve": Command("lakelink.cli.serve:serve", "Links", "Carry the changes of all links, until stopped."),
    "status": Command("lakelink.cli.status:status", "Links", "Say how links stand."),
    "hsm": Command("lakelink.cli.hsm:app", "Links", "Files of lazy links: how they stand, load and release them."),
    "gateway": Command("lakelink.cli.gateway.commands:build", "Links", "Serve SFTP to partners whose homes are prefixes of the lake."),
    "put": Command("lakelink.cli.objects:put", "Single objects", "Store one file, or standard input, as an object."),
    "cat": Command("lakelink.cli.objects:cat", "Single objects", "Write objects to standard output."),
    "ls": Command("lakelink.cli.objects:ls", "Single objects", "List what is at a location."),
    "cp": Command("lakelink.cli.objects:cp", "Single objects", "Copy one object or file."),
    "rm": Command("lakelink.cli.objects:rm", "Single objects", "Remove single objects or files."),
    "store": Command("lakelink.cli.store:app", "Help with the rest", "Run an S3 server; find out what a store can do."),
    "infra": Command("lakelink.cli.infra:app", "Help with the rest", "Provision, check and compare the AWS side."),
    "doctor": Command("lakelink.cli.doctor:doctor", "Help with the rest", "Check this machine, the credentials and the store."),
    "demo": Command("lakelink.cli.demo:demo", "Help with the rest", "Sync a real tree to an S3 server and back, and prove it."),
    "completion": Command("lakelink.cli.completion:completion", "Help with the rest", "Print a completion script for a shell."),
}  # fmt: skip
GROUPS = ("Trees", "Links", "Single objects", "Help with the rest")

ABOUT = """Keeps file systems in step with an S3 data lake.

A location is a path, s3://bucket/prefix, or NAME:sub/path with a [locations.NAME] section in the settings.

For example:

```
lakelink sync /data s3://lake/data
lakelink sync s3://lake/data /restore --delete --dry-run
lakelink link add logs /srv/logs s3://lake/logs && lakelink serve
pg_dump shop | lakelink put - s3://lake/dumps/shop.sql
lakelink doctor
```
"""
EXITS = """Exit codes: 0 done, 1 some paths failed or differences were found, 2 usage, 3 refused by a safety rule,
4 not reachable or not permitted, 70 a defect of lakelink, 130 interrupted. --debug anywhere adds tracebacks."""


GC_EVERY = 200_000
"""New objects between two looks for reference cycles."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    # A run makes millions of small tuples and hardly a cycle: looking for cycles every 700 of them costs a tenth of its time.
    gc.set_threshold(GC_EVERY, 50, 50)
    tokens, debug = _without_debug(arguments)
    return supervised(lambda: _dispatch(tokens), debug=debug)


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """--debug is taken wherever it stands among the options, so that an operator can simply append it to what failed."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    debug = len(options) != end or os.environ.get("LAKELINK_DEBUG", "0") not in {"", "0"}
    return [*options, *arguments[end:]], debug


def build(tokens: Sequence[str]) -> App:
    """The application that can carry out these tokens."""
    from cyclopts import App, Group

    from lakelink import __version__

    app = App(
        name="lakelink",
        help=ABOUT,
        help_epilogue=EXITS,
        help_format="markdown",
        version=f"lakelink {__version__}",
        version_flags=("--version", "-V"),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    groups = {name: Group(name, sort_key=index) for index, name in enumerate(GROUPS)}
    # The summary stands in for the command's own help where all are listed, so that listing them imports none of them.
    listing = not tokens or tokens[0] not in COMMANDS
    for name, command in COMMANDS.items():
        if name in {"link", "gateway"} and not listing:
            from importlib import import_module

            noun = import_module(command.path.partition(":")[0])
            app.command(
                noun.build(tokens[1:] if tokens[0] == name else [next(iter(noun.COMMANDS))], groups[command.group])
            )
            continue
        app.command(command.path, name=name, group=groups[command.group], help=command.summary if listing else None)
    return app


def _dispatch(tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    _start_log()
    try:
        result = build(tokens)(tokens)
    except CycloptsError as error:
        noun = tokens[0] if tokens and tokens[0] in COMMANDS else ""
        raise UsageError(
            " ".join(str(error).split()), hint=f"Run `{' '.join(filter(None, ('lakelink', noun, '--help')))}`."
        ) from error
    return int(result or 0)


def _start_log() -> None:
    """LAKELINK_LOG=info, or debug,json: events on standard error."""
    wanted = os.environ.get("LAKELINK_LOG", "")
    if not wanted:
        return
    import logging

    from lakelink.obs import log

    level_name, _, form = wanted.partition(",")
    level = logging.getLevelNamesMapping().get(level_name.upper())
    if level is None or form not in {"", "json", "text"}:
        raise UsageError(
            f"LAKELINK_LOG={wanted} is not understood",
            hint="Use debug, info, warning or error, with ,json behind it if you like.",
        )
    log.configure(level, sys.stderr, as_json=form == "json")
