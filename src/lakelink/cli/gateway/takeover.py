"""`lakelink gateway import`: take over an existing SFTP server, step by step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from lakelink.cli.parameters import Output, flag
from lakelink.errors import UsageError

if TYPE_CHECKING:
    from lakelink.gateway.accounts.store import AccountStore
    from lakelink.gateway.server.hostkeys import HostKeys
    from lakelink.gateway.takeover.facts import Facts
    from lakelink.gateway.takeover.folder import PlanFolder
    from lakelink.gateway.takeover.plan import Here, Plan
    from lakelink.gateway.takeover.source import Source

ABOUT = """Take over an existing SFTP server, so that its clients notice nothing.

Nothing on the old server is changed. All that is found out is kept in one directory (`--out`, 0700); secrets are in a file of their own there.

For example:

```
lakelink gateway import scan --root / --out takeover
lakelink gateway import plan --out takeover --home 's3://lake/partners/{user}'
lakelink gateway import apply --out takeover
lakelink gateway import sync --out takeover
lakelink gateway import verify --out takeover --new localhost:2222 --old sftp.example.com
```
"""
OUT = Path("takeover")
WHAT = Group("What is looked at", sort_key=1)
ANSWERS = Group("Answers", sort_key=2)

app = App(name="import", help=ABOUT)

Out = Annotated[Path, Parameter(help="The directory of this take-over.", metavar="DIR")]


@app.command
def scan(
    *,
    root: Annotated[
        str,
        Parameter(
            help="Where the old server's / is: / for this machine, else an image or a copied tree.",
            metavar="DIR",
            group=WHAT,
            show_default=False,
        ),
    ] = "",
    from_ssh: Annotated[
        str,
        Parameter(
            help="Look at another machine through its own sshd, as root, with the ssh of this one.",
            metavar="HOST",
            group=WHAT,
            show_default=False,
        ),
    ] = "",
    ssh_option: Annotated[
        tuple[str, ...],
        Parameter(
            help="An option of ssh(1), such as Port=2200. May be repeated.",
            metavar="NAME=VALUE",
            negative=(),
            group=WHAT,
        ),
    ] = (),
    sshd_config: Annotated[
        str, Parameter(help="Its settings, where sshd was started with -f.", metavar="FILE", group=WHAT)
    ] = "/etc/ssh/sshd_config",
    include: Annotated[
        tuple[str, ...],
        Parameter(
            help="Take over this user although it has a shell; it gets SFTP alone. May be repeated.",
            metavar="USER",
            negative=(),
            group=WHAT,
        ),
    ] = (),
    no_homes: Annotated[bool, flag(WHAT, "Do not look into the homes.")] = False,
    out: Out = OUT,
    output: Output = Output(),
) -> int:
    """Look at the old server, and write down what it is.

    Read only. It needs root there: password hashes, host keys and homes are looked at. Of a server that is not running (--root of an image) all is
    read from its files; of one that is, sshd is asked for its settings, the firewall for its rules and the journal for its logins.

    For example:

    ```
    lakelink gateway import scan --root / --out takeover
    lakelink gateway import scan --root /mnt/old-server --out takeover
    lakelink gateway import scan --from-ssh root@sftp.example.com --out takeover
    ```
    """
    import datetime as dt

    from lakelink.cli.result import print_json
    from lakelink.gateway.takeover.facts import Way
    from lakelink.gateway.takeover.folder import FACTS, SECRETS, PlanFolder
    from lakelink.gateway.takeover.scan import Asked
    from lakelink.gateway.takeover.scan import scan as look

    folder = PlanFolder(out)
    folder.make()
    asked = Asked(
        settings_path=sshd_config, included=frozenset(include), with_homes=not no_homes, passphrase=_passphrase
    )
    with _source(root, from_ssh, ssh_option) as source:
        facts, secrets = look(source, asked, dt.datetime.now(dt.UTC))
    folder.write(SECRETS, secrets)
    folder.write(FACTS, facts)
    taken = sum(user.way is Way.SFTP for user in facts.users)
    if output.json:
        print_json(
            {
                "source": facts.source,
                "users": taken,
                "others": len(facts.users) - taken,
                "host_keys": len(facts.host_keys),
                "findings": len(facts.findings),
            }
        )
    elif not output.quiet:
        print(
            f"{facts.source}: {taken} users for SFTP, {len(facts.users) - taken} others, {len(facts.host_keys)} host keys"
        )
        print(f"Written to {out}. Next: lakelink gateway import plan --out {out}")
    return 0


@app.command
def plan(
    *,
    home: Annotated[
        str,
        Parameter(
            help="Where homes go, {user} for the name. Without it they stay in the directories where they are.",
            metavar="LOCATION",
            group=ANSWERS,
            show_default=False,
        ),
    ] = "",
    accept: Annotated[
        tuple[str, ...],
        Parameter(help="Accept a finding by its name. May be repeated.", metavar="FINDING", negative=(), group=ANSWERS),
    ] = (),
    leave_out: Annotated[
        tuple[str, ...],
        Parameter(help="Do not take over this user. May be repeated.", metavar="USER", negative=(), group=ANSWERS),
    ] = (),
    out: Out = OUT,
    output: Output = Output(),
) -> int:
    """Say what each user, key and list becomes here, and what has to be answered first.

    Written to plan.md, for people, and plan.json. What was not understood is a question with a name; nothing is applied until each is put right,
    accepted by its name, or gone with its user. Answers hold for this plan: give them all again with the next one. Exit code 3: questions are open.

    For example:

    ```
    lakelink gateway import plan --home 's3://lake/partners/{user}'
    lakelink gateway import plan --home 's3://lake/partners/{user}' --accept user:old:hash --leave-out test
    ```
    """
    import datetime as dt

    from lakelink.gateway.takeover.facts import Facts, Secrets
    from lakelink.gateway.takeover.folder import FACTS, PLAN, SECRETS, TEXT, PlanFolder
    from lakelink.gateway.takeover.plan import Answers, make_plan
    from lakelink.gateway.takeover.plan_text import render

    folder = PlanFolder(out)
    facts, secrets = folder.read(FACTS, Facts), folder.read(SECRETS, Secrets)
    answers = Answers(home=home, accepted=list(dict.fromkeys(accept)), left_out=list(dict.fromkeys(leave_out)))
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    made = make_plan(facts, secrets, answers, here_now(output), now)
    folder.write(TEXT, render(made, facts))
    folder.write(PLAN, made)
    return _tell_plan(folder, made, facts, output)


def _tell_plan(folder: PlanFolder, made: Plan, facts: Facts, output: Output) -> int:
    import json

    import msgspec

    from lakelink.cli.result import print_json
    from lakelink.gateway.takeover.folder import TEXT
    from lakelink.gateway.takeover.plan_text import render

    if output.json:
        print_json(json.loads(msgspec.json.encode(made)))
    elif not output.quiet:
        print(render(made, facts), end="")
        print(f"\nThis is {folder.path / TEXT}.")
    return 3 if made.blockers else 0


@contextlib.contextmanager
def _source(root: str, host: str, options: tuple[str, ...]) -> Iterator[Source]:
    from lakelink.gateway.takeover.source import RootSource
    from lakelink.gateway.takeover.ssh_source import SshSource

    if bool(root) == bool(host):
        raise UsageError("say where the old server is", hint="--root DIR or --from-ssh HOST; --root / is this machine.")
    if root:
        yield RootSource(root)
        return
    with SshSource(host, options=[word for option in options for word in ("-o", option)]) as source:
        yield source


def _passphrase(path: str) -> str:
    """Asked for on a terminal; without one the plan is blocked."""
    import getpass
    import sys

    if not sys.stdin.isatty():
        return ""
    return getpass.getpass(f"passphrase of {path} (empty to leave it): ")


def here_now(output: Output) -> Here:
    """The users and host keys that the gateway has already."""
    from lakelink.gateway.takeover.plan import Here

    with opened(output) as (store, keys):
        return Here({account.name: account for account in store.list()}, [key.fingerprint for key in keys.list()])


@contextlib.contextmanager
def opened(output: Output) -> Iterator[tuple[AccountStore, HostKeys]]:
    """What a take-over changes."""
    from lakelink.config.document import load_document
    from lakelink.config.gateway import read_gateway
    from lakelink.config.state_dir import state_dir
    from lakelink.gateway.accounts.store import AccountStore
    from lakelink.gateway.server.hostkeys import HostKeys

    document = load_document(output.config)
    directory = state_dir()
    store = AccountStore(directory, document)
    try:
        yield store, HostKeys(directory, read_gateway(document).host_keys)
    finally:
        store.close()


for _step in ("apply", "sync", "verify", "rollback"):
    app.command(f"lakelink.cli.gateway.takeover_steps:{_step}", name=_step)
