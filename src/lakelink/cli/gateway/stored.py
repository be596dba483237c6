"""How commands reach users, and how they show them."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakelink.config.secret import Secret
from lakelink.errors import Refused, UsageError
from lakelink.model.account import Account, Proof
from lakelink.model.units import format_bytes, format_rate

if TYPE_CHECKING:
    from lakelink.gateway.accounts.store import AccountStore

LONGEST_FILE_BYTES = 1 << 20
_KEY = re.compile(r"\sAAAA[A-Za-z0-9+/=]{20}")  # in a line of authorized_keys, and in no path


@contextmanager
def open_store(config: str | None) -> Iterator[AccountStore]:
    """The users that commands may change.

    Raises:
        ConfigError: the settings are wrong. StorageError: the database cannot be used.
    """
    from lakelink.config.document import load_document
    from lakelink.config.state_dir import state_dir
    from lakelink.gateway.accounts.store import AccountStore

    store = AccountStore(state_dir(), load_document(config))
    try:
        yield store
    finally:
        store.close()


def stored(config: str | None) -> list[tuple[Account, bool]]:
    """Every user by name, and whether the settings declare it, which wins over the store."""
    with open_store(config) as store:
        found = {account.name: (account, False) for account in store.list()}
    found |= {account.name: (account, True) for account in _declared(config)}
    return [found[name] for name in sorted(found)]


def one_of(name: str, config: str | None) -> tuple[Account, bool]:
    """The user of that name.

    Raises:
        NotFound: there is none; the hint names the nearest.
    """
    for account in _declared(config):
        if account.name == name:
            return account, True
    with open_store(config) as store:
        return store.get(name), False


def changed(name: str, change: Callable[[Account], Account], config: str | None) -> Account:
    """Store what `change` makes of a user.

    Raises:
        Refused: the settings declare it. NotFound: there is none.
    """
    refuse_declared(name, config)
    with open_store(config) as store:
        return store.change(name, change)


def refuse_declared(name: str, config: str | None) -> None:
    """Commands change no user of the settings.

    Raises:
        Refused: this is one.
    """
    if any(account.name == name for account in _declared(config)):
        raise Refused(
            f"user {name} is declared in the settings file and changed only there",
            hint=f"Edit [gateway.users.{name}], then reload.",
        )


def _declared(config: str | None) -> Sequence[Account]:
    from lakelink.config.document import load_document
    from lakelink.gateway.accounts.declared import declared_accounts

    return declared_accounts(load_document(config))


def lines_of(given: Sequence[str]) -> tuple[str, ...]:
    """The keys of some files, or the keys themselves.

    Raises:
        UsageError: one cannot be read, or holds what is no key; the message names file and line.
    """
    from lakelink.gateway.credentials.authorized_keys import parse_file

    found: list[str] = []
    for each in given:
        is_key = _KEY.search(each) is not None
        try:
            found += parse_file(each if is_key else _content(Path(each)))
        except UsageError as error:
            raise UsageError(f"{'the key' if is_key else each}: {error.message}", hint=error.hint) from error
    return tuple(dict.fromkeys(found))


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(LONGEST_FILE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", hint="It holds a public key, as ssh-keygen writes it to FILE.pub."
        ) from error


def can_log_in(account: Account) -> bool:
    """Whether it has what has to be shown."""
    has_key, has_password = bool(account.keys), bool(account.password_hash)
    match account.proof:
        case Proof.KEY:
            return has_key
        case Proof.PASSWORD:
            return has_password
        case Proof.BOTH:
            return has_key and has_password
        case Proof.ANY:
            return has_key or has_password


def read_stdin_password() -> Secret:
    """The first line of standard input.

    Raises:
        UsageError: it is empty.
    """
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise UsageError(
            "there is no password on standard input",
            hint="printf %s PASSWORD | lakelink gateway user passwd NAME --password-stdin",
        )
    return Secret(line)


def ask_password(name: str) -> Secret:
    """Asked for twice, on the terminal.

    Raises:
        UsageError: there is no terminal, or the two differ.
    """
    import getpass

    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password", hint="--password-stdin reads it from standard input."
        )
    first = getpass.getpass(f"Password of {name or 'the user'}: ")
    if first != getpass.getpass("Once more: "):
        raise UsageError("the two passwords differ", hint="Try again.")
    return Secret(first)


def hashed(password: Secret) -> str:
    """As it is kept."""
    from lakelink.gateway.credentials.crypt import hash_password

    return hash_password(password)


def keys_of(account: Account) -> list[dict[str, str]]:
    """The keys as they are shown."""
    from lakelink.gateway.credentials.authorized_keys import parse_key

    return [
        {"type": key.type, "fingerprint": key.fingerprint, "comment": key.comment, "line": line}
        for line in account.keys
        for key in (parse_key(line),)
    ]


def what_is(account: Account, *, declared: bool) -> dict[str, Any]:
    """The JSON of a user: of a password only that there is one, and its kind."""
    from lakelink.gateway.credentials.schemes import recognise

    scheme = recognise(account.password_hash) if account.password_hash else None
    return {
        "name": account.name,
        "folders": [
            {
                "path": each.path,
                "location": each.location,
                "permission": each.permission.value,
                "quota_bytes": each.quota_bytes,
            }
            for each in account.folders
        ],
        "start": account.start,
        "proof": account.proof.value,
        "password": scheme.name if scheme else "",
        "keys": keys_of(account),
        "allow": list(account.allow),
        "enabled": account.is_enabled,
        "expires": _stamp(account.expires_ns),
        "max_sessions": account.max_sessions,
        "bandwidth_bytes_per_s": account.bandwidth_bytes_per_s,
        "uid": account.uid,
        "gid": account.gid,
        "file_mode": f"{account.file_mode:04o}",
        "directory_mode": f"{account.directory_mode:04o}",
        "comment": account.comment,
        "declared": declared,
    }


def shown(account: Account, *, declared: bool) -> Iterator[str]:
    """The lines for people."""
    fields = what_is(account, declared=declared)
    yield f"user {account.name}{' (declared)' if declared else ''}{'' if account.is_enabled else ', disabled'}"
    for folder in fields["folders"]:
        quota = f", quota {format_bytes(folder['quota_bytes'])}" if folder["quota_bytes"] else ""
        yield f"  {folder['path']}  {folder['location']}  {folder['permission']}{quota}"
    for key in fields["keys"]:
        yield f"  key {key['type']} {key['fingerprint']} {key['comment']}".rstrip()
    yield f"  password: {fields['password'] or 'none'}; to be shown: {fields['proof']}"
    yield f"  from: {', '.join(account.allow) or 'anywhere'}"
    if account.bandwidth_bytes_per_s:
        yield f"  bandwidth: {format_rate(account.bandwidth_bytes_per_s)}"
    for name in ("expires", "max_sessions", "comment"):
        if fields[name]:
            yield f"  {name.replace('_', ' ')}: {fields[name]}"


def _stamp(time_ns: int) -> str:
    return dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time_ns else ""
