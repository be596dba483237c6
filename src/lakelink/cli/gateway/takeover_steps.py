"""`lakelink gateway import apply`, `sync`, `verify` and `rollback`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from lakelink.cli.gateway.takeover import OUT, Out, opened
from lakelink.cli.parameters import Output, flag

if TYPE_CHECKING:
    from lakelink.gateway.takeover.moving import Move
    from lakelink.gateway.takeover.verify import Check
    from lakelink.gateway.takeover.wire import Server

SERVERS = Group("Which servers", sort_key=1)
LOOKS = Group("What is looked at besides", sort_key=2)


def apply(*, out: Out = OUT, output: Output = Output()) -> int:
    """Make the users and host keys of the plan.

    Refused while a question of the plan is open, when the scan is newer than the plan, and when a user here is no longer as it was when the plan was
    made. May be repeated. Every change is written down before it is made, so that rollback can take it back. The old server's settings are
    written to gateway.toml, to be taken over into lakelink.toml by hand. Data is not moved: see `sync`.

    For example:

    ```
    lakelink gateway import apply --out takeover
    ```
    """
    from lakelink.cli.result import print_json
    from lakelink.gateway.takeover.apply import apply as carry_out
    from lakelink.gateway.takeover.folder import PlanFolder
    from lakelink.gateway.takeover.settings_text import SNIPPET

    with opened(output) as (store, keys):
        done = carry_out(PlanFolder(out), store, keys)
    if output.json:
        print_json(
            {"made": done.made, "replaced": done.replaced, "unchanged": done.unchanged, "host_keys_set": done.host_keys}
        )
    elif not output.quiet:
        print(f"{len(done.made)} users made, {len(done.replaced)} replaced, {len(done.unchanged)} as planned already")
        print(f"{done.host_keys} host keys set" if done.host_keys else "host keys are as planned already")
        print(f"The old server's settings: {out / SNIPPET}")
    return 0


def sync(
    *,
    user: Annotated[
        tuple[str, ...], Parameter(help="Only this user. May be repeated.", metavar="USER", negative=())
    ] = (),
    delete: Annotated[
        bool,
        flag(LOOKS, "Remove at the target what the old server has no longer: for the passes before users come here."),
    ] = False,
    dry_run: Annotated[bool, flag(LOOKS, "Say what would be done.")] = False,
    out: Out = OUT,
    output: Output = Output(),
) -> int:
    """Bring the homes of the plan to their new places, each as `lakelink sync` does it.

    Only what differs moves, so that it is run once early, again to catch up, and a last time when the old server takes no more files. What goes wrong
    with one user holds up no other; exit code 1: something failed. Names that the plan accepted to leave behind are no failure. A home on another
    machine is brought by `lakelink sync` there: plan.md has the commands.

    For example:

    ```
    lakelink gateway import sync --out takeover
    lakelink gateway import sync --out takeover --user acme --dry-run
    ```
    """
    from lakelink.cli.result import print_json
    from lakelink.gateway.takeover.folder import PLAN, PlanFolder
    from lakelink.gateway.takeover.moving import move_homes
    from lakelink.gateway.takeover.plan import Plan
    from lakelink.model.task import SyncOptions

    plan = PlanFolder(out).read(PLAN, Plan)
    moves = []
    for move in move_homes(plan, user, SyncOptions(delete=delete, dry_run=dry_run), output.config):
        moves.append(move)
        _tell_move(move, output)
    if output.json:
        print_json({move.name: _move_fields(move) for move in moves})
    elif not moves and not output.quiet:
        print("Nothing moves: the homes stay where they are.")
    return max((move.exit_code for move in moves), default=0)


def _tell_move(move: Move, output: Output) -> None:
    from lakelink.cli.result import summary, tell_problems
    from lakelink.cli.supervise import tell

    if move.error is not None:
        if not output.json:
            print(f"{move.name}: not moved", flush=True)
        tell([move.error])
    if move.result is None:
        return
    if not output.json and not output.quiet:
        behind = f"; {len(move.behind):,} stay behind, as was accepted" if move.behind else ""
        print(f"{move.name}: {summary(move.result)}{behind}", flush=True)
    tell_problems(move.result.failed, move.result.skipped)


def _move_fields(move: Move) -> dict[str, object]:
    from lakelink.model.path import json_fields

    result, error = move.result, move.error
    fields: dict[str, object] = {"error": {"code": error.code, "message": error.message} if error else None}
    if result is not None:
        fields |= {
            "source": result.source,
            "target": result.target,
            "transferred_files": result.transferred_files,
            "transferred_bytes": result.transferred_bytes,
            "unchanged": result.unchanged,
            "deleted": result.deleted,
            "failed": len(result.failed),
            "stay_behind": [json_fields(problem.path) for problem in move.behind],
        }
    return fields


def verify(
    *,
    new: Annotated[
        str, Parameter(help="The gateway, as HOST:PORT.", metavar="HOST:PORT", group=SERVERS)
    ] = "localhost:2222",
    old: Annotated[
        str,
        Parameter(
            help="The old server, if it still runs, to compare with.",
            metavar="HOST[:PORT]",
            group=SERVERS,
            show_default=False,
        ),
    ] = "",
    test_user: Annotated[
        str,
        Parameter(
            help="Check the password of this user, read from standard input.",
            metavar="USER",
            group=LOOKS,
            show_default=False,
        ),
    ] = "",
    listing: Annotated[bool, flag(LOOKS, "Compare homes with the old trees, by size and time.")] = False,
    out: Out = OUT,
    output: Output = Output(),
) -> int:
    """Look whether the gateway is to clients what the old server was.

    Host keys by type, algorithms of both, and for each key of each user whether the gateway would take it: it is asked, nothing is signed and nobody
    logs in. Exit code 1: a check failed.

    For example:

    ```
    lakelink gateway import verify --new localhost:2222 --old sftp.example.com --listing
    lakelink gateway import verify --new localhost:2222 --test-user acme < password.txt
    ```
    """
    from lakelink.config.secret import Secret
    from lakelink.gateway.takeover.facts import Secrets
    from lakelink.gateway.takeover.folder import PLAN, SECRETS, PlanFolder
    from lakelink.gateway.takeover.plan import Plan
    from lakelink.gateway.takeover.verify import Asked, Verdict, worst
    from lakelink.gateway.takeover.verify import verify as look

    folder = PlanFolder(out)
    asked = Asked(
        new=_server(new),
        old=_server(old) if old else None,
        test_user=test_user,
        test_password=Secret(sys.stdin.readline().rstrip("\r\n") if test_user else ""),
        with_listing=listing,
        config=output.config,
    )
    checks = asyncio.run(look(folder.read(PLAN, Plan), folder.read(SECRETS, Secrets), asked))
    _tell_checks(checks, output)
    return 1 if worst(checks) is Verdict.FAILED else 0


def rollback(*, out: Out = OUT, output: Output = Output()) -> int:
    """Take back what apply made: users that were made go, users and host keys that were replaced come back.

    What somebody changed since stays as it is, and is named; exit code 1 then. Files that were brought here stay where they are.

    For example:

    ```
    lakelink gateway import rollback --out takeover
    ```
    """
    import datetime as dt

    from lakelink.cli.result import print_json
    from lakelink.gateway.takeover.apply import roll_back
    from lakelink.gateway.takeover.folder import PlanFolder

    with opened(output) as (store, keys):
        done = roll_back(PlanFolder(out), store, keys, dt.datetime.now(dt.UTC))
    if output.json:
        print_json({"removed": done.removed, "restored": done.restored, "kept": done.kept, "host_keys": done.host_keys})
    elif not output.quiet:
        print(
            f"{len(done.removed)} users removed, {len(done.restored)} restored; host keys {done.host_keys or 'untouched'}"
        )
        for name in done.kept:
            print(f"user {name} was changed since, and is kept")
    return 1 if done.kept else 0


def _server(text: str) -> Server:
    from lakelink.errors import UsageError
    from lakelink.gateway.takeover.wire import Server

    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "22"
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is no HOST:PORT", hint="For example localhost:2222 or [2001:db8::1]:22.")
    return Server(host.strip("[]"), int(port))


def _tell_checks(checks: list[Check], output: Output) -> None:
    from lakelink.cli.result import print_json, print_lines

    if output.json:
        shown = [{"subject": c.subject, "verdict": str(c.verdict), "detail": c.detail} for c in checks]
        print_json({"checks": shown})
        return
    print_lines(f"{check.verdict:<9}  {check.subject}: {check.detail}" for check in checks)
