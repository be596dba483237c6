"""`lakelink gateway hostkey`: the keys by which clients know the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group

from lakelink.cli.parameters import Output, flag

if TYPE_CHECKING:
    from lakelink.gateway.server.hostkeys import HostKey, HostKeys

ABOUT = """The keys by which clients know this server.

Clients remember them: with another key they refuse to connect. So take over the keys of the server that you replace, and keep a copy of them.
A gateway that runs shows a new key after a reload.

For example:

```
lakelink gateway hostkey list
lakelink gateway hostkey import /etc/ssh/ssh_host_ed25519_key
```
"""
KEYS = Group("Keys", sort_key=1)
app = App(name="hostkey", help=ABOUT)


@app.command(name="list")
def list_keys(*, output: Output = Output()) -> int:
    """List the host keys, in their order. The public part can be put into a known_hosts file.

    For example:

    ```
    lakelink gateway hostkey list
    lakelink gateway hostkey list --json
    ```
    """
    return _tell(list(_keys(output).list()), output)


@app.command
def generate(
    *kinds: str,
    output: Output = Output(),
) -> int:
    """Make new keys behind those that are there. The first of a type is the one that clients see.

    For example:

    ```
    lakelink gateway hostkey generate
    lakelink gateway hostkey generate ecdsa
    ```

    Args:
        kinds: ed25519, rsa (3072 bits), ecdsa; ed25519 and rsa unless given.
    """
    from lakelink.gateway.server.hostkeys import GENERATED

    return _tell(list(_keys(output).generate(kinds or GENERATED)), output)


@app.command(name="import")
def import_(
    file: Path,
    /,
    *files: Path,
    passphrase_stdin: Annotated[bool, flag(KEYS, "Read the passphrase of the files from standard input.")] = False,
    output: Output = Output(),
) -> int:
    """Take over private keys, in this order. The files stay where they are; certificates beside them (FILE-cert.pub) come along.

    For example:

    ```
    lakelink gateway hostkey import /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key
    ```

    Args:
        file: a private key, in the format of OpenSSH or PEM.
        files: more of them.
    """
    from lakelink.cli.gateway.stored import read_stdin_password

    passphrase = read_stdin_password() if passphrase_stdin else None
    keys = _keys(output)
    return _tell([keys.take_over(each, passphrase) for each in (file, *files)], output)


def _keys(output: Output) -> HostKeys:
    from lakelink.config.document import load_document
    from lakelink.config.gateway import read_gateway
    from lakelink.config.state_dir import state_dir
    from lakelink.gateway.server.hostkeys import HostKeys

    return HostKeys(state_dir(), read_gateway(load_document(output.config)).host_keys)


def _tell(keys: list[HostKey], output: Output) -> int:
    from lakelink.cli.result import print_json, print_lines

    if output.json:
        fields = ("name", "type", "fingerprint", "public", "has_certificate")
        print_json({"host_keys": [{name: getattr(key, name) for name in fields} for key in keys]})
    elif not output.quiet:
        print_lines(
            f"{key.name:<12} {key.type:<20} {key.fingerprint}{' certified' if key.has_certificate else ''}"
            for key in keys
        )
        if not keys:
            print("no host keys; `lakelink gateway serve` makes some, or `lakelink gateway hostkey import FILE`")
    return 0
