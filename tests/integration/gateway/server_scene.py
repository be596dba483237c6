"""A gateway's server in the loop of a test: real accounts, real policies, one process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh

from lakelink.config.document import parse_document
from lakelink.config.gateway import read_gateway
from lakelink.gateway.accounts.store import AccountStore
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.server.hub import SharedState
from lakelink.gateway.server.listener import bind
from lakelink.gateway.server.rules import shared_rules
from lakelink.gateway.server.throttle import ThrottleRule
from lakelink.gateway.server.worker import Worker
from lakelink.model.account import Account, Folder
from lakelink.ports.clock import SystemClock
from lakelink.ports.random import SystemRandom

PATIENCE_S = 30.0
_numbers = itertools.count()  # a location in memory lives as long as the process
PASSWORD = "correct horse"
HASH = "$6$rounds=1000$saltsaltsaltsalt$90PYBEdNthW.s1MdBAGmZzUlBcO3THQlu3cLQCSmKwwDU4eOztdiNqFHvvjbULR8htwd7bcG6QXZbqiJ2JtSh."
KEYS = {"user": asyncssh.generate_private_key("ssh-ed25519"), "other": asyncssh.generate_private_key("ssh-ed25519")}
LINE = KEYS["user"].export_public_key("openssh").decode().strip()


@dataclass
class Scene:
    """What a test knows of a running server."""

    folder: Path
    port: int
    worker: Worker
    shared: SharedState
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def connect(self, user: str = "ann", **options: Any):
        """A connection of asyncssh's client, as a context; with the right key unless told otherwise."""
        given = {
            "client_keys": [KEYS["user"]],
            "password": None,
            "known_hosts": None,
            "config": None,
            "agent_path": None,
        }
        return asyncssh.connect("127.0.0.1", options.pop("port", self.port), username=user, **(given | options))

    async def refused(self, user: str = "ann", **options: Any) -> asyncssh.Error:
        """The error of a login that has to fail."""
        try:
            async with self.connect(user, **options):
                raise AssertionError(f"{user} was let in")
        except asyncssh.Error as error:
            return error

    def openssh(self, *options: str, key: str = "user") -> list[str]:
        """Options of OpenSSH's programs."""
        file = self.folder / f"id-{key}"
        if not file.exists():
            file.write_bytes(KEYS[key].export_private_key("openssh"))
            file.chmod(0o600)
        known = self.folder / "known_hosts"
        public = HostKeys(self.folder / "state").list()[0].public
        known.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        settings = (
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
        )
        return ["-F", "/dev/null", "-i", str(file), *(f"-o{each}" for each in settings), *options]

    async def run(self, *command: str, stdin: bytes = b"", **env: str) -> tuple[int, str]:
        """Exit code, and both streams."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(self.folder), **env},
        )
        try:
            async with asyncio.timeout(PATIENCE_S * 2):
                output, _ = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode("utf-8", "replace")

    def askpass(self, password: str) -> dict[str, str]:
        """The environment in which OpenSSH's programs get a password."""
        script = self.folder / "askpass"
        script.write_text(f"#!/bin/sh\necho '{password}'\n")
        script.chmod(0o700)
        return {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}

    async def until(self, condition: Any, what: str) -> Any:
        """What `condition` returns as soon as it is true."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not (found := condition()):
            assert asyncio.get_running_loop().time() < deadline, what
            await asyncio.sleep(0.01)
        return found

    def audit(self, operation: str = "") -> list[dict[str, Any]]:
        path = self.folder / "state" / "gateway" / "audit.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in lines if operation in {"", line["operation"]}]

    async def audited(self, operation: str, **wanted: Any) -> dict[str, Any]:
        """The line, as soon as it is written."""

        def look() -> dict[str, Any] | None:
            found = (line for line in self.audit(operation) if wanted.items() <= line.items())
            return next(found, None)

        return await self.until(look, f"{operation} {wanted} in {self.audit()}")


def account(name: str = "ann", **changes: Any) -> Account:
    """With a key and a password, at home in memory."""
    given = {
        "folders": (Folder(path="/", location=f"memory:{name}-{next(_numbers)}"),),
        "password_hash": HASH,
        "keys": (LINE,),
    }
    return Account(name=name, **(given | changes))


@contextlib.asynccontextmanager
async def server(
    folder: Path, accounts: Sequence[Account] = (), settings: str = "", rule: ThrottleRule | None = None
) -> AsyncIterator[Scene]:
    """One, with its host keys, until the context ends."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    document = parse_document(f"[gateway]\n{settings}\n", folder / "lakelink.toml")
    gateway = read_gateway(document, {})
    keys = HostKeys(state, gateway.host_keys)
    if not keys.is_declared and not keys.list():
        keys.generate(["ed25519"])
    store = AccountStore(state)
    store.put(accounts)
    store.close()
    rules = replace(shared_rules(gateway), throttle=rule or ThrottleRule(failures=1000))
    shared = SharedState(rules, SystemClock(), SystemRandom())
    worker = Worker(state, document, gateway, shared)
    sockets = bind("127.0.0.1", 0, 1)
    scene = Scene(folder, sockets[0].getsockname()[1], worker, shared)
    worker.server.start(sockets)
    try:
        yield scene
    finally:
        for task in scene.tasks:
            task.cancel()
        await asyncio.gather(*scene.tasks, return_exceptions=True)
        await worker.aclose()
