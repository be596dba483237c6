"""Whether an account makes sense, before it is stored or let in."""

from __future__ import annotations

import ipaddress
import posixpath
import unicodedata

from lakelink.config.document import Document
from lakelink.errors import LakelinkError, UsageError
from lakelink.gateway.credentials.authorized_keys import parse_key
from lakelink.gateway.credentials.schemes import scheme_of
from lakelink.locations.resolve import parse_location
from lakelink.model.account import Account, Folder, Proof

LONGEST_NAME_BYTES = 128
MOST_KEYS = 100
MOST_NETWORKS = 1000
MOST_FOLDERS = 100


def check_account(account: Account, document: Document | None = None) -> None:
    """Everything about the account is usable: its name, keys, hash, networks and folders. Nothing is opened.

    With `document`, the locations of its folders are known as well.

    Raises:
        UsageError: something is not; the message says what of which account.
    """
    check_name(account.name)
    who = f"user {account.name}"
    _bounded(who, "keys", len(account.keys), MOST_KEYS)
    _bounded(who, "networks", len(account.allow), MOST_NETWORKS)
    _bounded(who, "folders", len(account.folders), MOST_FOLDERS)
    for line in account.keys:
        parse_key(line)
    if account.password_hash:
        scheme_of(account.password_hash)
    for network in account.allow:
        check_network(network)
    _check_folders(account, document)
    check_folder(Folder(path=account.start, location="/"))
    _check_proof(account)
    numbers = (account.max_sessions, account.bandwidth_bytes_per_s, account.expires_ns, account.uid, account.gid)
    if min(numbers) < 0:
        raise UsageError(f"{who} has a number below zero", hint="0 means no limit.")
    if not (0 <= account.file_mode <= 0o777 and 0 <= account.directory_mode <= 0o777):
        raise UsageError(f"{who} has a mode beyond 0777", hint="For example 0640.")


def check_name(name: str) -> None:
    """A name that logs, commands and paths can hold.

    Raises:
        UsageError: it is none.
    """
    strange = any(letter in "/:" or letter.isspace() or unicodedata.category(letter)[0] == "C" for letter in name)
    if not name or strange or len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES or name[0] in "-.":
        raise UsageError(
            f"a user cannot be called {name!r}",
            hint=f"No blanks, slashes or colons, no - or . in front, at most {LONGEST_NAME_BYTES} bytes.",
        )


def check_network(text: str) -> None:
    """A network in CIDR form, or one address.

    Raises:
        UsageError: it is none.
    """
    try:
        ipaddress.ip_network(text, strict=True)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no network: {error}", hint="For example 203.0.113.0/24 or 2001:db8::/32."
        ) from error


def check_folder(folder: Folder, document: Document | None = None) -> None:
    """The virtual path is absolute and normal, and its location is one.

    Raises:
        UsageError: it is not.
    """
    path = folder.path
    if not path.startswith("/") or path.startswith("//") or posixpath.normpath(path) != path or "\0" in path:
        raise UsageError(f"{path!r} is no virtual directory", hint="Absolute and normal, for example / or /outgoing.")
    if folder.quota_bytes < 0:
        raise UsageError(f"{path} has a quota below zero", hint="0 means none.")
    if document is not None:
        try:
            parse_location(folder.location, document)
        except LakelinkError as error:
            raise UsageError(f"{path}: {error.message}", hint=error.hint) from error


def _check_folders(account: Account, document: Document | None) -> None:
    seen: set[str] = set()
    for folder in account.folders:
        check_folder(folder, document)
        if folder.path in seen:
            raise UsageError(f"user {account.name} has two folders at {folder.path}", hint="Keep one of them.")
        seen.add(folder.path)


def _check_proof(account: Account) -> None:
    """An account without anything to show is one that waits for a key or password; one that demands what it can never have is a mistake."""
    if account.proof is Proof.KEY and account.password_hash and not account.keys:
        raise UsageError(
            f"user {account.name} has to show a key and has only a password", hint="Add a key, or take --proof any."
        )


def _bounded(who: str, what: str, count: int, most: int) -> None:
    if count > most:
        raise UsageError(f"{who} has {count:,} {what}, more than {most:,}")
