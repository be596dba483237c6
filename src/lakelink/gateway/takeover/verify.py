"""Whether the gateway is to clients what the old server was. Reads only; each check is a value, so that one that fails stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakelink.config.secret import Secret
from lakelink.errors import LakelinkError, UsageError
from lakelink.gateway.credentials import crypt
from lakelink.gateway.takeover import wire
from lakelink.gateway.takeover.facts import KeyFact, Secrets, UserSecret
from lakelink.gateway.takeover.moving import split
from lakelink.gateway.takeover.plan import Plan, PlannedUser
from lakelink.gateway.takeover.wire import Offer, Server
from lakelink.model.task import SyncOptions

AT_ONCE = 4
COMPARED = ("kexalgorithms", "hostkeyalgorithms", "ciphers", "macs")


class Verdict(StrEnum):
    """How a check came out."""

    GOOD = "good"
    DIFFERENT = "different"  # clients may notice; read it
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    subject: str  # "host key ssh-ed25519", "user acme: key SHA256:…"
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be compared."""

    new: Server
    old: Server | None = None
    test_user: str = ""
    test_password: Secret
    with_listing: bool = False
    config: str | None = None


async def verify(plan: Plan, secrets: Secrets, asked: Asked) -> list[Check]:
    """All checks, in the order of a report.

    Raises:
        Unreachable: the new server, or the old one that was named, does not answer. UsageError: the test user is not in the plan.
    """
    new = await wire.offer(asked.new)
    old = await wire.offer(asked.old) if asked.old else None
    checks = await _host_keys(plan, asked, new, old)
    if old is not None:
        checks += _algorithms(old, new)
    checks += await _all_keys(plan, secrets, asked.new)
    if asked.test_user:
        checks += await _password(plan, secrets, asked)
    if asked.with_listing:
        checks += [await _listing(plan, user, asked.config) for user in plan.users if user.sync]
    return checks


async def _host_keys(plan: Plan, asked: Asked, new: Offer, old: Offer | None) -> list[Check]:
    """Clients of the old server have to see a key that they know, whichever type they prefer."""
    wanted: dict[str, str] = {}
    for key in plan.host_keys:
        wanted.setdefault(key.type, key.fingerprint)  # the first of a type is the one that is shown
    shown = await wire.host_keys(asked.new, new)
    before = await wire.host_keys(asked.old, old) if asked.old and old else {}
    checks = []
    for kind in dict.fromkeys([*wanted, *before, *shown]):
        subject, mine = f"host key {kind}", shown.get(kind, "")
        theirs = before.get(kind) or wanted.get(kind, "")
        if not mine:
            checks.append(Check(subject, Verdict.FAILED, f"{asked.new} does not show {theirs}"))
        elif not theirs:
            checks.append(
                Check(subject, Verdict.FAILED, f"the old server has none of this type; clients are warned of {mine}")
            )
        elif mine != theirs or wanted.get(kind, mine) != mine:
            checks.append(Check(subject, Verdict.FAILED, f"{mine}, and {theirs} at the old server"))
        else:
            checks.append(Check(subject, Verdict.GOOD, mine))
    return checks


def _algorithms(old: Offer, new: Offer) -> list[Check]:
    checks = []
    for name in COMPARED:
        before, now = old.algorithms.get(name, []), new.algorithms.get(name, [])
        gone = [word for word in before if word not in now]
        common = [word for word in before if word in now]
        if not common:
            checks.append(Check(name, Verdict.FAILED, f"nothing of {', '.join(before)} is left"))
        elif gone:
            checks.append(Check(name, Verdict.DIFFERENT, f"no longer: {', '.join(gone)}"))
        else:
            checks.append(Check(name, Verdict.GOOD, f"all {len(before)} are there"))
    return checks


async def _all_keys(plan: Plan, secrets: Secrets, server: Server) -> list[Check]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(user: PlannedUser, key: KeyFact, line: str) -> Check:
        async with room:
            return await _key(user, key, line, server)

    lines = {user.name: secrets.users.get(user.name, UserSecret()).keys for user in plan.users}
    return list(
        await asyncio.gather(
            *(one(user, key, lines[user.name][str(key.number)]) for user in plan.users for key in user.keys)
        )
    )


async def _key(user: PlannedUser, key: KeyFact, line: str, server: Server) -> Check:
    """The server is asked whether it would take the key; where it takes it from elsewhere alone, that cannot be asked from here."""
    subject = f"user {user.name}: key {key.fingerprint}"
    options = [option.lower() for option in key.options]
    if "cert-authority" in options:
        return Check(subject, Verdict.SKIPPED, "an authority; only a certificate of it can be shown")
    try:
        is_taken = await wire.would_accept(
            server, user.name, f"{key.type} {line[line.index('AAAA') :].split(maxsplit=1)[0]}"
        )
    except LakelinkError as error:
        return Check(subject, Verdict.FAILED, error.message)
    if is_taken:
        return Check(subject, Verdict.GOOD, "would be taken")
    if key.sources or user.allow or not user.is_enabled or key.expires_ns or user.expires_ns:
        return Check(
            subject,
            Verdict.SKIPPED,
            "not taken from here and now; it is bound to addresses or times, or the user is locked",
        )
    return Check(subject, Verdict.FAILED, "not taken")


async def _password(plan: Plan, secrets: Secrets, asked: Asked) -> list[Check]:
    user = next((user for user in plan.users if user.name == asked.test_user), None)
    if user is None:
        raise UsageError(f"user {asked.test_user} is not in the plan", hint="plan.md lists the users.")
    subject, password = f"user {user.name}: password", asked.test_password.reveal()
    if not user.takes_password:
        return [Check(subject, Verdict.SKIPPED, user.password)]
    stored = secrets.users[user.name].hash
    if not await asyncio.to_thread(crypt.matches, password, stored):
        return [Check(subject, Verdict.FAILED, "the hash of the old server is not of this password")]
    checks = [Check(subject, Verdict.GOOD, "it is that of the hash")]
    servers = {"new": asked.new, "old": asked.old}
    for name, server in servers.items():
        if server is None:
            continue
        if user.proof not in {"any", "password"}:
            checks.append(
                Check(f"{subject} at the {name} server", Verdict.SKIPPED, "it is asked for after a key alone")
            )
        elif await wire.takes_password(server, user.name, password):
            checks.append(Check(f"{subject} at the {name} server", Verdict.GOOD, "logs in"))
        else:
            verdict = Verdict.SKIPPED if user.allow else Verdict.FAILED
            checks.append(Check(f"{subject} at the {name} server", verdict, "not let in from here"))
    return checks


async def _listing(plan: Plan, user: PlannedUser, config: str | None) -> Check:
    """Old tree and new home, by size and time: what a sync would still have to do."""
    from lakelink.oneway.run import sync

    subject = f"user {user.name}: files"
    if plan.source.startswith("ssh://"):
        return Check(subject, Verdict.SKIPPED, "the old tree is on another machine; run the sync there with --dry-run")
    tree, target = user.sync
    try:
        result = await sync(tree, target, SyncOptions(dry_run=True, delete=True), config=config)
    except LakelinkError as error:
        return Check(subject, Verdict.FAILED, error.message)
    behind, failed = split(plan, user, result.failed)
    left = f"; {len(behind):,} stay behind, as was accepted" if behind else ""
    if failed:
        return Check(subject, Verdict.FAILED, f"{len(failed):,} paths cannot be compared{left}")
    if result.transferred_files or result.deleted:
        detail = f"{result.transferred_files:,} files to copy, {result.deleted:,} that the old server does not have"
        return Check(subject, Verdict.DIFFERENT, detail + left)
    return Check(subject, Verdict.GOOD, f"{result.unchanged:,} are equal{left}")


def worst(checks: Sequence[Check]) -> Verdict:
    """FAILED if any failed, else DIFFERENT if any is, else GOOD."""
    verdicts = {check.verdict for check in checks}
    return next((verdict for verdict in (Verdict.FAILED, Verdict.DIFFERENT) if verdict in verdicts), Verdict.GOOD)
