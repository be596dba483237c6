"""`[gateway.users.NAME]`: users as the settings declare them. Commands show them and never change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lakelink.config.document import Document
from lakelink.config.private import read_private
from lakelink.config.settings import Section
from lakelink.errors import ConfigError, UsageError
from lakelink.gateway.accounts.check import check_account
from lakelink.gateway.accounts.folders import parse_folder
from lakelink.gateway.credentials.authorized_keys import parse_file
from lakelink.gateway.credentials.key_options import read_expiry
from lakelink.model.account import Account, Folder, Proof


class DeclaredAccounts:
    """Implements `Accounts`: read once, when the settings are read."""

    def __init__(self, document: Document) -> None:
        """Read them all.

        Raises:
            ConfigError: a section is wrong; the message names the setting, the file and the line.
        """
        self._accounts = {account.name: account for account in declared_accounts(document)}

    async def find(self, name: str) -> Account | None:
        return self._accounts.get(name)

    def get(self, name: str) -> Account | None:
        return self._accounts.get(name)

    def list(self) -> Sequence[Account]:
        """By name."""
        return [self._accounts[name] for name in sorted(self._accounts)]


def declared_accounts(document: Document) -> Sequence[Account]:
    """Every user of the settings, checked.

    Raises:
        ConfigError: a section is wrong.
    """
    table = document.section("gateway").get("users", {})
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"{document.where('gateway', 'users')}: gateway.users has to be a table", hint="Write [gateway.users.NAME]."
        )
    return [_read(document, name, section) for name, section in table.items()]


def _read(document: Document, name: str, table: Any) -> Account:
    keys = ("gateway", "users", name)
    section = Section(document, keys, table)
    try:
        account = Account(
            name=name,
            folders=_folders(section),
            start=section.text("start", "/").value,
            password_hash=_password(section),
            keys=_keys(section),
            proof=Proof(section.choice("proof", [proof.value for proof in Proof], Proof.ANY).value),
            allow=section.texts("allow").value,
            is_enabled=section.flag("enabled", default=True).value,
            expires_ns=_expiry(section),
            max_sessions=section.integer("max_sessions", 0).value,
            bandwidth_bytes_per_s=section.rate_bytes_per_s("bandwidth").value or 0,
            uid=section.integer("uid", 0).value,
            gid=section.integer("gid", 0).value,
            file_mode=_mode(section, "file_mode", 0o644),
            directory_mode=_mode(section, "directory_mode", 0o755),
            comment=section.text("comment").value,
        )
        section.finish()
        check_account(account, document)
    except UsageError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{document.where(*keys)}: {error.message}", hint=error.hint) from error
    return account


def _folders(section: Section) -> tuple[Folder, ...]:
    """`home`, and `folders` as on the command line: "/outgoing=/srv/outgoing:read-only"."""
    home, more = section.text("home").value, section.texts("folders").value
    folders = [Folder(path="/", location=home)] if home else []
    return tuple(folders + [parse_folder(text) for text in more])


def _password(section: Section) -> str:
    """The hash is in a file of its own: settings are shown around."""
    file = section.text("password_file")
    return (
        read_private(file, "a hash of crypt(3), as `lakelink gateway user passwd --print` writes it,")
        if file.value
        else ""
    )


def _keys(section: Section) -> tuple[str, ...]:
    lines: list[str] = []
    for text in section.texts("keys").value:
        lines += parse_file(text)
    files = section.texts("key_files")
    for name in files.value:
        try:
            lines += parse_file(Path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{files.origin}: {name} cannot be read", hint="It has lines as authorized_keys has."
            ) from error
    return tuple(lines)


def _expiry(section: Section) -> int:
    text = section.text("expires").value
    return read_expiry(text) if text else 0


def _mode(section: Section, key: str, default: int) -> int:
    text = section.text(key)
    if not text.value:
        return default
    try:
        return int(text.value, 8)
    except ValueError as error:
        raise ConfigError(f"{text.origin}: has to be octal, in quotes", hint='For example "0640".') from error
