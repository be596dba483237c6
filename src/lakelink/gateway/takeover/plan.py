"""A plan: what every user, key and list of the old server becomes here. Pure: facts, answers and what is here already in, a plan out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct, field

from lakelink.errors import UsageError
from lakelink.gateway.accounts.check import MOST_FOLDERS, check_account
from lakelink.gateway.takeover.facts import (
    FORMAT,
    Facts,
    Finding,
    HostKeyFact,
    KeyFact,
    Secrets,
    Severity,
    UserFact,
    UserSecret,
    Way,
    blocker,
    warning,
)
from lakelink.gateway.takeover.homes import LONGEST_KEY_BYTES, WHAT
from lakelink.gateway.takeover.words import intersection
from lakelink.model.account import Account, Folder, Permission, Proof

HOST_KEYS_HERE = "host-keys:here"
NOWHERE = "127.0.0.1/32"
STAYS_BEHIND = "these stay behind"
IN_A_LAKE = {  # what a tree may have that a prefix cannot: severity, and what accepting means
    "leading-out": (Severity.BLOCKER, "the links are kept as links; what they point at is not taken along"),
    "symlinks": (Severity.NOTE, ""),
    "hard-links": (Severity.NOTE, ""),
    "special": (Severity.WARNING, ""),
    "not-utf8": (Severity.BLOCKER, STAYS_BEHIND),
    "too-long": (Severity.BLOCKER, STAYS_BEHIND),
    "too-large": (Severity.BLOCKER, STAYS_BEHIND),
    "same-but-case": (Severity.NOTE, ""),
    "crowded": (Severity.WARNING, ""),
    "empty": (Severity.NOTE, ""),
}
ANYWHERE = {
    "locked-in": (Severity.BLOCKER, "the rights of the directory above them hold for them too"),
    "open": (Severity.WARNING, ""),
}


class Answers(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator decided."""

    home: str = ""  # where trees go, {user} for the name; "" = they stay where they are
    accepted: list[str] = []  # idents of findings
    left_out: list[str] = []  # names of users


class PlannedUser(Struct, kw_only=True, omit_defaults=True):
    """An account to be, without its secrets. `state`: new, same, or differs from the one that is here."""

    name: str
    folders: list[Folder]
    start: str = "/"
    proof: str = "any"
    password: str = ""  # in words
    takes_password: bool = False
    keys: list[KeyFact] = []
    allow: list[str] = []
    is_enabled: bool = True
    expires_ns: int = 0
    uid: int = 0
    gid: int = 0
    file_mode: int = 0o644
    directory_mode: int = 0o755
    comment: str = ""
    state: str = "new"
    before: str = ""  # digest of the account that is here; apply demands that it still is. "" = none
    sync: list[str] = []  # source, target; [] = nothing moves


class Plan(Struct, kw_only=True, omit_defaults=True):
    """`digest` ties it to the facts and secrets that it was made from."""

    format: int = FORMAT
    source: str = ""
    made_at: str = ""
    digest: str = ""
    answers: Answers = field(default_factory=Answers)
    users: list[PlannedUser] = []
    host_keys: list[HostKeyFact] = []
    findings: list[Finding] = []  # without those that were accepted
    accepted: list[Finding] = []
    not_taken: dict[str, str] = {}  # name to why

    @property
    def blockers(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.BLOCKER]


class Here(Struct, frozen=True):
    """What the gateway has already: accounts by name, fingerprints of host keys in order."""

    accounts: dict[str, Account] = {}
    host_keys: list[str] = []

    def __repr__(self) -> str:
        return f"Here({len(self.accounts)} accounts, {self.host_keys})"


def make_plan(facts: Facts, secrets: Secrets, answers: Answers, here: Here, made_at: str) -> Plan:
    """The plan.

    Raises:
        UsageError: an answer is to no question: a finding or a user that is not there, or a home that is no location.
    """
    plan = Plan(source=facts.source, made_at=made_at, digest=digest(facts, secrets), answers=answers)
    findings = list(facts.findings)
    known = {user.name for user in facts.users}
    for name in answers.left_out:
        if name not in known:
            raise UsageError(f"there is no user {name} in the scan", hint="plan lists who there is.")
    for user in facts.users:
        if user.way is Way.SFTP and user.name not in answers.left_out:
            secret = secrets.users.get(user.name, UserSecret())
            findings += user.findings
            plan.users.append(_planned(facts, user, secret, answers, here.accounts, findings))
        else:
            plan.not_taken[user.name] = user.reason or "left out, as you said"
    left_out = tuple(f"user:{name}:" for name in answers.left_out)
    findings = [finding for finding in findings if not finding.ident.startswith(left_out)] if left_out else findings
    if not plan.users:
        findings.append(blocker("users", "there is nobody to take over"))
    plan.host_keys = facts.host_keys
    findings += _host_key_findings(facts, here.host_keys)
    _settle(plan, findings)
    return plan


def digest(facts: Facts, secrets: Secrets) -> str:
    """Of everything that a plan rests on."""
    return hashlib.sha256(msgspec.json.encode(facts) + b"\0" + msgspec.json.encode(secrets)).hexdigest()


def account_digest(account: Account | None) -> str:
    """Of an account with all its secrets; "" for none."""
    return hashlib.sha256(msgspec.json.encode(account)).hexdigest() if account else ""


def account_of(user: PlannedUser, secret: UserSecret) -> Account:
    """The account that a planned user becomes."""
    return Account(
        name=user.name,
        folders=tuple(user.folders),
        start=user.start,
        password_hash=secret.hash if user.takes_password else "",
        keys=tuple(secret.keys[str(key.number)] for key in user.keys),
        proof=Proof(user.proof),
        allow=tuple(user.allow),
        is_enabled=user.is_enabled,
        expires_ns=user.expires_ns,
        uid=user.uid,
        gid=user.gid,
        file_mode=user.file_mode,
        directory_mode=user.directory_mode,
        comment=user.comment,
    )


def _planned(
    facts: Facts,
    user: UserFact,
    secret: UserSecret,
    answers: Answers,
    here: Mapping[str, Account],
    findings: list[Finding],
) -> PlannedUser:
    location = _location(answers.home, user)
    allow = intersection([user.allow, facts.server.allow])
    if allow is None:
        text = f"user {user.name}: no address is on its own list and on that of everybody"
        findings.append(blocker(f"user:{user.name}:allow", text, accepting="it may not come from anywhere"))
        allow = [NOWHERE]
    expired = f"user:{user.name}:expired"
    takes_password = bool(secret.hash) and (user.password.standing != "expired" or expired in answers.accepted)
    planned = PlannedUser(
        name=user.name,
        folders=_folders(user, location, findings),
        start=user.start,
        proof=user.proof,
        password=_password_words(user, takes_password),
        takes_password=takes_password,
        keys=[key for key in user.keys if not key.refused and not key.ignored],
        allow=allow,
        is_enabled=not user.is_locked,
        expires_ns=user.expires_ns,
        uid=user.uid,
        gid=user.gid,
        file_mode=0o666 & ~user.umask,
        directory_mode=0o777 & ~user.umask,
        comment=user.comment,
        sync=[_here(facts.source, user.tree), location] if location != user.tree else [],
    )
    findings += _home_findings(user, location if planned.sync else "")
    _compare(planned, secret, here.get(user.name), findings)
    return planned


def _location(home: str, user: UserFact) -> str:
    if not home:
        return user.tree
    filled = home.replace("{user}", user.name)
    return filled if "{user}" in home else f"{home.rstrip('/')}/{user.name}"


def _here(source: str, tree: str) -> str:
    """Where a tree of the old server is for a sync: of an image below its root, of another machine as that one calls it."""
    return tree if source == "/" or source.startswith("ssh://") else f"{source.rstrip('/')}{tree}"


def _password_words(user: UserFact, takes_password: bool) -> str:
    if takes_password:
        return f"kept ({user.password.scheme})"
    if not user.wants_password:
        return "none (the old server takes no passwords)"
    return f"none ({user.password.refused or user.password.standing})"


def _folders(user: UserFact, location: str, findings: list[Finding]) -> list[Folder]:
    """The root with the rights that the modes gave, and each directory right below it whose rights differ."""
    tops = user.home.folders if user.home and user.home.folders else []
    rights = {top.path: _permission(top.can_read, top.can_write, user.is_read_only) for top in tops}
    root = rights.get("", Permission.READ_ONLY if user.is_read_only else Permission.READ_WRITE)
    if root is None:
        text = f"user {user.name} may not even look into {user.tree}"
        findings.append(warning(f"user:{user.name}:root", text))
        root = Permission.READ_ONLY
    folders = [Folder(path=user.root, location=location, permission=root)]
    for name, permission in sorted(rights.items()):
        if not name or permission is root:
            continue
        if permission is None:
            text = f"user {user.name} sees /{name} and may not open it; a folder that hides it does not exist here"
            findings.append(
                blocker(f"user:{user.name}:folder:{name}", text, accepting="it has the rights of the directory above")
            )
            continue
        path = f"{user.root.rstrip('/')}/{name}"
        folders.append(Folder(path=path, location=f"{location.rstrip('/')}/{name}", permission=permission))
    if len(folders) > MOST_FOLDERS:
        text = f"user {user.name} has {len(folders)} directories with rights of their own"
        findings.append(
            blocker(
                f"user:{user.name}:folders",
                text,
                hint=f"At most {MOST_FOLDERS}.",
                accepting="the first ones keep theirs, the others have those of the root",
            )
        )
    return folders[:MOST_FOLDERS]


def _permission(can_read: bool, can_write: bool, is_read_only: bool) -> Permission | None:
    match can_read, can_write and not is_read_only:
        case True, True:
            return Permission.READ_WRITE
        case True, False:
            return Permission.READ_ONLY
        case False, True:
            return Permission.WRITE_ONLY
    return None


def _home_findings(user: UserFact, target: str) -> list[Finding]:
    """What is in the way of a home that goes to `target`; "" = it stays where it is."""
    if user.home is None:
        return []
    if user.home.is_missing:
        return [warning(f"user:{user.name}:tree", f"user {user.name}: {user.tree} is not there")]
    found = []
    for what, count in user.home.counts.items():
        rule = ANYWHERE.get(what) or (IN_A_LAKE.get(what) if target else None)
        if rule is None:
            continue
        examples = ", ".join(user.home.examples.get(what, ()))
        text = f"user {user.name}: {count:,} {WHAT[what]} in {user.tree}: {examples}"
        found.append(Finding(ident=f"user:{user.name}:{what}", severity=rule[0], message=text, accepting=rule[1]))
    key_bytes = len(_prefix(target).encode("utf-8", "surrogateescape")) + 1 + user.home.longest_path_bytes
    if target and not target.startswith("/") and key_bytes > LONGEST_KEY_BYTES and "too-long" not in user.home.counts:
        text = f"user {user.name}: with {target} before them some names of {user.tree} are beyond {LONGEST_KEY_BYTES} bytes"
        severity, accepting = IN_A_LAKE["too-long"]
        hint = f"A shorter --home helps; the longest name takes {user.home.longest_path_bytes:,} bytes."
        ident = f"user:{user.name}:too-long"
        found.append(Finding(ident=ident, severity=severity, message=text, hint=hint, accepting=accepting))
    return found


def _prefix(location: str) -> str:
    """What of a location is surely a part of each key; "" of a directory."""
    if location.startswith("s3://"):
        return location.removeprefix("s3://").partition("/")[2]
    return "" if location.startswith(("/", ".")) else location.partition(":")[2]


def _compare(planned: PlannedUser, secret: UserSecret, account: Account | None, findings: list[Finding]) -> None:
    """Whether it makes sense as an account, and what stands in its place already."""
    wanted = account_of(planned, secret)
    who = f"user:{planned.name}"
    try:
        check_account(wanted)
    except UsageError as error:
        findings.append(blocker(f"{who}:account", f"user {planned.name}: {error.message}", hint=error.hint))
    if account is None:
        return
    planned.before = account_digest(account)
    planned.state = "same" if account == wanted else "differs"
    if planned.state == "differs":
        text = f"there is a user {planned.name} here already, and it is another"
        findings.append(blocker(f"{who}:exists", text, accepting="it is replaced; rollback brings it back"))


def _host_key_findings(facts: Facts, here: Sequence[str]) -> list[Finding]:
    wanted = [key.fingerprint for key in facts.host_keys]
    found = []
    if any(key.type.startswith("ecdsa-") for key in facts.host_keys):
        text = "clients that know the ECDSA host key alone are shown it by the policy compatible, and not by modern"
        found.append(warning("host-keys:policy", text, hint="gateway.toml, which apply writes, has it."))
    if not here or list(here) == wanted:
        return found
    text = f"the gateway has {len(here)} host keys of its own; clients of the old server would not know it"
    return [
        *found,
        blocker(
            HOST_KEYS_HERE,
            text,
            accepting="they are put aside and the old server's take their place; clients that know the gateway already are warned",
        ),
    ]


def _settle(plan: Plan, findings: Sequence[Finding]) -> None:
    """Take out what was accepted.

    Raises:
        UsageError: nothing of that name is there, or it cannot be accepted.
    """
    by_ident = {finding.ident: finding for finding in findings}
    for ident in plan.answers.accepted:
        finding = by_ident.get(ident)
        if finding is None:
            raise UsageError(f"there is no finding {ident}", hint="plan lists them, each with its name in brackets.")
        if not finding.accepting:
            hint = finding.hint or "Put it right and scan again, or leave the user out."
            raise UsageError(f"{ident} cannot be accepted: {finding.message}", hint=hint)
        plan.accepted.append(finding)
    order = list(Severity)
    left = [finding for ident, finding in by_ident.items() if ident not in plan.answers.accepted]
    plan.findings = sorted(left, key=lambda finding: order.index(finding.severity))
