"""`lakelink gateway user key`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from cyclopts import App, Parameter

from lakelink.cli.gateway.options import PROOF
from lakelink.cli.gateway.stored import changed, lines_of
from lakelink.cli.parameters import Output
from lakelink.errors import NotFound, Refused
from lakelink.model.account import Account

ABOUT = """Public keys of a user.

For example:

```
lakelink gateway user key add acme --key new.pub
lakelink gateway user key list acme
lakelink gateway user key remove acme SHA256:…
```
"""
app = App(name="key", help=ABOUT)


@app.command
def add(
    name: str,
    /,
    *,
    key: Annotated[
        tuple[str, ...],
        Parameter(
            help="A file of public keys, or a key itself in quotes. May be repeated.",
            metavar="FILE",
            group=PROOF,
            negative=(),
        ),
    ],
    output: Output = Output(),
) -> int:
    """Add keys to a user. Lines with options are kept as they are: from=, expiry-time, restrict, cert-authority, principals.

    For example:

    ```
    lakelink gateway user key add acme --key new.pub
    ```

    Args:
        name: of the user.
    """
    from lakelink.gateway.credentials.authorized_keys import parse_key

    lines = lines_of(key)

    def change(account: Account) -> Account:
        there = {parse_key(line).blob for line in account.keys}
        for line in lines:
            if (parsed := parse_key(line)).blob in there:
                raise Refused(
                    f"user {name} has the key {parsed.fingerprint} already",
                    hint="Remove it first, to change its options.",
                )
        return dataclasses.replace(account, keys=(*account.keys, *lines))

    return _told(changed(name, change, output.config), output)


@app.command(name="list")
def list_keys(name: str, /, *, output: Output = Output()) -> int:
    """List the keys of a user by their fingerprints.

    For example:

    ```
    lakelink gateway user key list acme
    ```

    Args:
        name: of the user.
    """
    from lakelink.cli.gateway.stored import one_of

    return _told(one_of(name, output.config)[0], output)


@app.command
def remove(name: str, fingerprint: str, /, *, output: Output = Output()) -> int:
    """Remove a key from a user.

    For example:

    ```
    lakelink gateway user key remove acme SHA256:oYGrrRKQ7pjqSr9SW0FMLhrVDdHJqmVCJjYLEVtqkmE
    ```

    Args:
        name: of the user.
        fingerprint: of the key, as `list` and `ssh-keygen -l` print it.
    """
    from lakelink.gateway.credentials.authorized_keys import parse_key

    def change(account: Account) -> Account:
        kept = tuple(line for line in account.keys if parse_key(line).fingerprint != fingerprint)
        if len(kept) == len(account.keys):
            raise NotFound(f"user {name} has no key {fingerprint}", hint=f"lakelink gateway user key list {name}")
        return dataclasses.replace(account, keys=kept)

    return _told(changed(name, change, output.config), output)


def _told(account: Account, output: Output) -> int:
    from lakelink.cli.gateway.stored import keys_of
    from lakelink.cli.result import print_json, print_lines

    keys = keys_of(account)
    if output.json:
        print_json({"name": account.name, "keys": keys})
    elif not output.quiet:
        print_lines(f"{key['type']} {key['fingerprint']} {key['comment']}".rstrip() for key in keys)
        if not keys:
            print(f"user {account.name} has no keys")
    return 0
