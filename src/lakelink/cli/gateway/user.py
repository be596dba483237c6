"""`lakelink gateway user`: files alone, so it needs no daemon; what is changed holds from the next login on."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from lakelink.cli.gateway.keys import app as key_app
from lakelink.cli.gateway.options import PROOF, AccountOptions
from lakelink.cli.gateway.stored import can_log_in, changed, lines_of, read_stdin_password, stored, what_is
from lakelink.cli.parameters import Output, flag
from lakelink.errors import UsageError
from lakelink.model.account import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ABOUT = """Users of the gateway.

What is changed holds from the next login on, whether or not the gateway runs; `lakelink gateway kick` ends sessions that are open. Users of
the settings ([gateway.users.NAME]) are shown, and changed only there.

For example:

```
lakelink gateway user add acme --home s3://lake/partners/acme --key acme.pub
lakelink gateway user list
```
"""
app = App(name="user", help=ABOUT)
app.command(key_app)

KeyFiles = Annotated[
    tuple[str, ...],
    Parameter(
        name="--key",
        help="A file of public keys, as authorized_keys has them, or a key itself in quotes. May be repeated.",
        metavar="FILE",
        group=PROOF,
        negative=(),
    ),
]
PasswordStdin = Annotated[
    bool, flag(PROOF, "Read a password from standard input. It is kept as a hash, and never on a command line.")
]


@app.command
def add(
    name: str,
    /,
    *,
    key: KeyFiles = (),
    password_stdin: PasswordStdin = False,
    options: AccountOptions = AccountOptions(),
    output: Output = Output(),
) -> int:
    """Add a user.

    The user sees the virtual directories that are named here and nothing else. Without a key and a password nobody can log in yet.

    For example:

    ```
    lakelink gateway user add acme --home s3://lake/partners/acme --key acme.pub
    lakelink gateway user add acme --home s3://lake/partners/acme --folder /outgoing=/srv/outgoing:read-only --key acme.pub --allow 203.0.113.0/24
    lakelink gateway user add drop --home s3://lake/drop --password-stdin < password
    ```

    Args:
        name: of the user, as it logs in.
    """
    from lakelink.cli.gateway.stored import hashed, open_store, refuse_declared

    if options.home is None and not options.folder:
        raise UsageError(f"user {name} would see nothing", hint="--home s3://BUCKET/PREFIX, or a directory.")
    password_hash = hashed(read_stdin_password()) if password_stdin else ""
    account = options.apply(Account(name=name, password_hash=password_hash, keys=lines_of(key)), output.config)
    refuse_declared(name, output.config)
    with open_store(output.config) as store:
        store.add([account])
    return _told(account, f"user {name} is added", output)


@app.command(name="list")
def list_users(*, output: Output = Output()) -> int:
    """List the users, those of the settings too.

    For example:

    ```
    lakelink gateway user list
    lakelink gateway user list --json
    ```
    """
    from lakelink.cli.result import print_json, print_lines

    accounts = stored(output.config)
    if output.json:
        print_json({"users": [what_is(account, declared=declared) for account, declared in accounts]})
        return 0
    width = max((len(account.name) for account, _ in accounts), default=0)
    print_lines(f"{account.name:<{width}}  {_line(account, declared=declared)}" for account, declared in accounts)
    if not accounts and not output.quiet:
        print("no users; make one with `lakelink gateway user add NAME --home s3://BUCKET/PREFIX --key FILE`")
    return 0


@app.command
def show(name: str, /, *, output: Output = Output()) -> int:
    """Show one user. Never its password, nor the hash of it.

    For example:

    ```
    lakelink gateway user show acme
    lakelink gateway user show acme --json
    ```

    Args:
        name: of the user.
    """
    from lakelink.cli.gateway.stored import one_of, shown
    from lakelink.cli.result import print_json, print_lines

    account, declared = one_of(name, output.config)
    if output.json:
        print_json(what_is(account, declared=declared))
    else:
        print_lines(shown(account, declared=declared))
    return 0


@app.command
def update(
    name: str,
    /,
    *,
    enable: Annotated[bool, flag(PROOF, "Let the user in again.")] = False,
    disable: Annotated[bool, flag(PROOF, "Let the user in no more, and keep everything else.")] = False,
    options: AccountOptions = AccountOptions(),
    output: Output = Output(),
) -> int:
    """Change what is said, and leave the rest.

    For example:

    ```
    lakelink gateway user update acme --allow 203.0.113.0/24 --allow 198.51.100.7
    lakelink gateway user update acme --disable
    lakelink gateway user update acme --proof key+password
    ```

    Args:
        name: of the user.
    """
    if enable and disable:
        raise UsageError("--enable and --disable say the opposite of each other")

    def change(account: Account) -> Account:
        is_enabled = (account.is_enabled or enable) and not disable
        return dataclasses.replace(options.apply(account, output.config), is_enabled=is_enabled)

    return _change(name, change, f"user {name} is updated", output)


@app.command
def remove(name: str, /, *, output: Output = Output()) -> int:
    """Remove a user. Its files stay; sessions that are open go on until they end or are kicked.

    For example:

    ```
    lakelink gateway user remove acme
    lakelink gateway kick --user acme
    ```

    Args:
        name: of the user.
    """
    from lakelink.cli.gateway.stored import open_store, refuse_declared
    from lakelink.cli.result import print_json

    refuse_declared(name, output.config)
    with open_store(output.config) as store:
        store.remove([name])
    if output.json:
        print_json({"name": name, "removed": True})
    elif not output.quiet:
        print(f"user {name} is removed; its files stay")
    return 0


@app.command
def passwd(
    name: str = "",
    /,
    *,
    password_stdin: PasswordStdin = False,
    remove: Annotated[bool, flag(PROOF, "Have no password from now on.")] = False,
    print_: Annotated[
        bool, flag(PROOF, "Change nothing, and print the hash, for password_file of the settings.", ["--print"])
    ] = False,
    output: Output = Output(),
) -> int:
    """Give a user another password, or none.

    On a terminal it is asked for twice. It is kept as yescrypt, or as sha512crypt where the system knows no yescrypt.

    For example:

    ```
    lakelink gateway user passwd acme
    lakelink gateway user passwd acme --password-stdin < password
    lakelink gateway user passwd acme --remove
    lakelink gateway user passwd --print --password-stdin < password > acme.hash
    ```

    Args:
        name: of the user.
    """
    from lakelink.cli.gateway.stored import ask_password, hashed

    if not name and not print_:
        raise UsageError("which user?", hint="lakelink gateway user passwd NAME")
    password_hash = "" if remove else hashed(read_stdin_password() if password_stdin else ask_password(name))
    if print_:
        print(password_hash)
        return 0

    def change(account: Account) -> Account:
        return dataclasses.replace(account, password_hash=password_hash)

    return _change(name, change, f"user {name} has {'no' if remove else 'another'} password", output)


def _change(name: str, change: Callable[[Account], Account], sentence: str, output: Output) -> int:
    return _told(changed(name, change, output.config), sentence, output)


def _told(account: Account, sentence: str, output: Output) -> int:
    from lakelink.cli.result import print_json

    if output.json:
        print_json(what_is(account, declared=False))
        return 0
    if not output.quiet:
        print(sentence)
    for note in _notes(account, output.config):
        sys.stderr.write(f"note: {note}\n")
    return 0


def _notes(account: Account, config: str | None) -> Iterator[str]:
    """What keeps the user from its files, though it is no mistake."""
    from lakelink.config.document import load_document
    from lakelink.locations.resolve import local_path, parse_location
    from lakelink.model.path import display

    if not can_log_in(account):
        lacks = " and ".join(
            what for what, there in (("no key", account.keys), ("no password", account.password_hash)) if not there
        )
        yield f"user {account.name} has {lacks}, so nobody can log in as it yet"
    document = load_document(config)
    for folder in account.folders:
        spec = parse_location(folder.location, document)
        if spec.url.startswith("file://") and not Path(local_path(spec)).is_dir():
            yield f"{display(local_path(spec))} is no directory, so {display(folder.path)} cannot be opened yet"


def _line(account: Account, *, declared: bool) -> str:
    from lakelink.gateway.accounts.folders import folder_text

    means = [f"{len(account.keys)} key{'' if len(account.keys) == 1 else 's'}"] if account.keys else []
    means += ["password"] if account.password_hash else []
    marks = ([] if account.is_enabled else ["disabled"]) + (["declared"] if declared else [])
    folders = " ".join(folder_text(folder) for folder in account.folders)
    return f"{folders}  ({', '.join([' and '.join(means) if can_log_in(account) else 'no login', *marks])})"
