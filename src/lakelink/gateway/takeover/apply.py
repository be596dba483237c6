"""A plan becomes accounts and host keys of the gateway, and can be taken back. May be repeated: what is as planned already is left alone."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakelink.errors import Busy, NotFound, Refused
from lakelink.gateway.accounts.store import AccountStore
from lakelink.gateway.server.hostkeys import HostKeys
from lakelink.gateway.takeover.facts import Facts, Secrets, UserSecret
from lakelink.gateway.takeover.folder import FACTS, JOURNAL, PLAN, SECRETS, PlanFolder, sync_directory
from lakelink.gateway.takeover.journal import AccountChange, Journal, KeysChange, RolledBack
from lakelink.gateway.takeover.plan import HOST_KEYS_HERE, Plan, account_digest, account_of, digest
from lakelink.gateway.takeover.settings_text import SNIPPET, settings_text
from lakelink.model.account import Account

LOCK = ".lock"


@dataclass(slots=True)
class Applied:
    """What an apply did."""

    made: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    host_keys: int = 0  # that were set now


@dataclass(slots=True)
class TakenBack:
    """What a rollback did; `kept` were changed by somebody since, and are as they are."""

    removed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    host_keys: str = ""  # what was done about them, in words


def apply(folder: PlanFolder, store: AccountStore, keys: HostKeys) -> Applied:
    """Carry out the plan.

    Raises:
        NotFound: there is no plan. Refused: it has open questions, the scan is newer than it, or something here is not as it was when it was made;
        nothing was changed. StorageError: the disk refused; run it again.
    """
    plan, facts, secrets = folder.read(PLAN, Plan), folder.read(FACTS, Facts), folder.read(SECRETS, Secrets)
    with _alone(folder.path):
        _check(plan, facts, secrets)
        journal, done = Journal(folder.path / JOURNAL), Applied()
        changes = _changes(plan, secrets, store, done)
        fresh = _fresh_keys(plan, keys)
        for change in changes:
            journal.write(change)
        _store(store, changes)
        if fresh:
            _set_keys(folder, plan, secrets, keys, journal)
            done.host_keys = len(plan.host_keys)
        folder.write(SNIPPET, settings_text(facts))
    return done


def roll_back(folder: PlanFolder, store: AccountStore, keys: HostKeys, now: dt.datetime) -> TakenBack:
    """Take back what apply changed, the last first. What somebody changed since is left as it is and told.

    Raises:
        NotFound: nothing was applied. Corrupt, StorageError: the journal cannot be read or written.
    """
    with _alone(folder.path):
        journal, done = Journal(folder.path / JOURNAL), TakenBack()
        lines = journal.open_lines()
        if not lines:
            raise NotFound(
                "there is nothing to take back", hint="Nothing was applied from this directory, or it was taken back."
            )
        for line in reversed(lines):
            if isinstance(line, AccountChange):
                _restore(store, line, done)
            elif isinstance(line, KeysChange):
                done.host_keys = _restore_keys(folder, keys, line)
        journal.write(RolledBack(at=now.isoformat(timespec="seconds")))
    return done


def _check(plan: Plan, facts: Facts, secrets: Secrets) -> None:
    if plan.digest != digest(facts, secrets):
        raise Refused("the scan is newer than the plan", hint="Run `lakelink gateway import plan` again, and read it.")
    if plan.blockers:
        idents = ", ".join(finding.ident for finding in plan.blockers[:5])
        raise Refused(
            f"the plan has {len(plan.blockers)} open questions: {idents}",
            hint="plan.md says what each means; answer them with --accept or put them right.",
        )


def _changes(plan: Plan, secrets: Secrets, store: AccountStore, done: Applied) -> list[AccountChange]:
    """What is to be stored. Every account that is there has to be the one that the plan saw."""
    here = {account.name: account for account in store.list()}
    changes = []
    for user in plan.users:
        wanted = account_of(user, secrets.users.get(user.name, UserSecret()))
        there = here.get(user.name)
        if there == wanted:
            done.unchanged.append(user.name)
            continue
        if account_digest(there) != user.before:
            raise Refused(
                f"user {user.name} is no longer as it was when the plan was made",
                hint="Run `lakelink gateway import plan` again.",
            )
        (done.made if there is None else done.replaced).append(user.name)
        changes.append(AccountChange(name=user.name, before=there, after=wanted))
    return changes


def _store(store: AccountStore, changes: Sequence[AccountChange]) -> None:
    store.add([change.after for change in changes if change.before is None])
    for change in changes:
        if change.before is not None:
            store.change(change.name, _exchange(change.before, change.after))


class _exchange:  # noqa: N801  # used as the function that it stands for
    """Stores `after` in place of `before` and of nothing else."""

    def __init__(self, before: Account, after: Account) -> None:
        self._before, self._after = before, after

    def __call__(self, there: Account) -> Account:
        if there != self._before:
            raise Refused(f"user {there.name} was changed just now", hint="Run `lakelink gateway import plan` again.")
        return self._after


def _fresh_keys(plan: Plan, keys: HostKeys) -> bool:
    """Whether the host keys have to be set. They are taken over as a whole: a key of our own beside them would look like another server."""
    there = [key.fingerprint for key in keys.list()]
    wanted = [key.fingerprint for key in plan.host_keys]
    if there == wanted:
        return False
    if keys.is_declared:
        raise Refused(
            "the settings name other host keys",
            hint="Take host_keys out of [gateway], or let it name the old server's.",
        )
    is_ours = there == wanted[: len(there)]  # an apply that was cut short
    if there and not is_ours and HOST_KEYS_HERE not in plan.answers.accepted:
        raise Refused(
            "the gateway has host keys that the plan did not see", hint="Run `lakelink gateway import plan` again."
        )
    return True


def _set_keys(folder: PlanFolder, plan: Plan, secrets: Secrets, keys: HostKeys, journal: Journal) -> None:
    before = keys.list()
    wanted = [key.fingerprint for key in plan.host_keys]
    aside = f"host-keys-{len(journal.open_lines())}"
    # The keys that are there are copied aside, and are on stable storage, before the line that says so; only then they go.
    _private(folder.path / aside)
    for key in before:
        _copy(key.path, folder.path / aside / key.name)
        certificate = key.path.with_name(f"{key.name}-cert.pub")
        if certificate.exists():
            _copy(certificate, folder.path / aside / certificate.name)
    sync_directory(folder.path / aside)
    journal.write(KeysChange(aside=aside, before=[key.fingerprint for key in before], after=wanted))
    keys.remove([key.name for key in before])
    with _unpacked(folder.path, plan, secrets) as files:
        for file in files:
            keys.take_over(file)


def _restore_keys(folder: PlanFolder, keys: HostKeys, line: KeysChange) -> str:
    there = keys.list()
    fingerprints = [key.fingerprint for key in there]
    if fingerprints == line.before:
        return "as they were"
    if fingerprints != line.after[: len(fingerprints)]:
        return "changed since, and kept"
    keys.remove([key.name for key in there])
    for file in sorted((folder.path / line.aside).iterdir()):
        if not file.name.endswith(".pub"):
            keys.take_over(file)
    return "restored" if line.before else "removed"


def _restore(store: AccountStore, line: AccountChange, done: TakenBack) -> None:
    there = next((account for account in store.list() if account.name == line.name), None)
    if there == line.before:
        return
    if there != line.after:
        done.kept.append(line.name)
    elif line.before is None:
        store.remove([line.name])
        done.removed.append(line.name)
    else:
        store.change(line.name, _exchange(line.after, line.before))
        done.restored.append(line.name)


@contextlib.contextmanager
def _unpacked(directory: Path, plan: Plan, secrets: Secrets) -> Iterator[list[Path]]:
    """The private keys as files, in the order of the plan, gone afterwards."""
    place = directory / ".host-keys"
    _private(place)
    files = []
    try:
        for number, key in enumerate(plan.host_keys):
            # A directory each: the file keeps its name, which says what it is.
            file = place / str(number) / key.path.rsplit("/", 1)[-1]
            _private(file.parent)
            _write(file, secrets.host_keys[key.path].encode("ascii"))
            if key.path in secrets.certificates:
                _write(file.with_name(f"{file.name}-cert.pub"), secrets.certificates[key.path].encode("ascii"))
            files.append(file)
        yield files
    finally:
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        place.rmdir()


def _private(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other apply or rollback of this directory meanwhile."""
    handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another command works in {directory}", hint="Wait for it.") from error
        yield
    finally:
        os.close(handle)
