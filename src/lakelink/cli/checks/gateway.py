"""The gateway: its settings, its host keys, what passwords it can check, and whether it runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from lakelink.cli.checks.finding import Finding, fail, note, ok
from lakelink.config.document import Document
from lakelink.errors import LakelinkError, NoDaemon

SAMPLES = {
    "yescrypt": "$y$j9T$eGVwzrJ3ms3KPiFlFLw8o.$",
    "sha512crypt": "$6$rounds=1000$abcdefgh$",
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuu",
}  # settings, at the least cost


def gateway(state_dir: Path, document: Document) -> Iterator[Finding]:
    """Nothing where no gateway was ever set up. Nothing is made."""
    from lakelink.config.gateway import has_gateway

    if not has_gateway(document) and not (state_dir / "gateway").is_dir():
        return
    yield _library()
    yield _hashes()
    yield from _settings(state_dir, document)
    yield _running(state_dir)


def _library() -> Finding:
    if importlib.util.find_spec("asyncssh") is None:
        return fail("gateway", "asyncssh is not installed", "pip install 'lakelink[gateway]'")
    return ok("gateway", "asyncssh is there")


def _hashes() -> Finding:
    from lakelink.gateway.credentials.crypt import knows

    try:
        known = [name for name, setting in SAMPLES.items() if knows(setting)]
    except LakelinkError as error:
        return note("passwords", error.message, error.hint)
    missing = [name for name in SAMPLES if name not in known]
    if missing:
        return note(
            "passwords",
            f"libcrypt knows {', '.join(known)}",
            f"Users with {', '.join(missing)} hashes cannot log in here: install libxcrypt.",
        )
    return ok("passwords", f"libcrypt knows {', '.join(known)}")


def _settings(state_dir: Path, document: Document) -> Iterator[Finding]:
    from lakelink.config.gateway import read_gateway
    from lakelink.gateway.accounts.declared import declared_accounts

    try:
        settings = read_gateway(document)
        users = len(declared_accounts(document))
    except LakelinkError as error:
        yield fail("gateway", error.message, error.hint)
        return
    where = ", ".join(f"{each.host}:{each.port}" for each in settings.listen)
    yield ok("gateway", f"to listen on {where}, policy {settings.policy}, {users} declared users")
    if importlib.util.find_spec("asyncssh") is not None:
        yield _keys(state_dir, settings.host_keys)


def _keys(state_dir: Path, files: tuple[str, ...]) -> Finding:
    from lakelink.gateway.server.hostkeys import HostKeys

    try:
        keys = HostKeys(state_dir, files).list()
    except LakelinkError as error:
        return fail("host keys", error.message, error.hint)
    if not keys:
        return note("host keys", "none yet", "The gateway makes some, or: lakelink gateway hostkey import FILE")
    return ok("host keys", ", ".join(f"{key.type} {key.fingerprint}" for key in keys))


def _running(state_dir: Path) -> Finding:
    from lakelink.api.calls import GetGateway
    from lakelink.cli.gateway.reach import ask

    try:
        status = ask(state_dir, GetGateway())
    except NoDaemon as error:
        return note("gateway", "does not run", error.hint)
    except LakelinkError as error:
        return fail("gateway", error.message, error.hint)
    found = (
        f"process {status.pid}, {status.workers} workers, {status.sessions} sessions on {', '.join(status.listening)}"
    )
    if status.banned:
        return note(
            "gateway", f"{found}; {len(status.banned)} addresses are kept out", "lakelink gateway sessions names them."
        )
    return ok("gateway", found)
