"""The users of the old server, one by one: what each may do there, and with what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lakelink.gateway.credentials.schemes import SCHEMES, recognise
from lakelink.gateway.takeover.facts import (
    Finding,
    KeyFact,
    PasswordFact,
    UserFact,
    UserSecret,
    Way,
    blocker,
    note,
    warning,
)
from lakelink.gateway.takeover.keyfiles import KeyLine, authorized_keys, expand, key_line
from lakelink.gateway.takeover.people import Person, Shadow, Standing
from lakelink.gateway.takeover.settings import Settings, foreign
from lakelink.gateway.takeover.sftp_command import SftpCommand, read_command, shell_kind
from lakelink.gateway.takeover.source import Source
from lakelink.gateway.takeover.sshd_config import one
from lakelink.gateway.takeover.terms import Agreed, Terms, agree, terms, within_reach
from lakelink.gateway.takeover.words import network_of

UMASK = 0o022
NOTHING = "it has no key and no password that sshd takes"
NO_PASSWORD = "it is made without a password"  # noqa: S105  # a sentence
LEFT_OUT = "the key is left out"


@dataclass(slots=True)
class Register:
    """Where users are looked up."""

    source: Source
    settings: Settings
    shadow: dict[str, Shadow]
    included: frozenset[str] = frozenset()  # users with a shell that are taken over all the same
    foreign_people: frozenset[str] = frozenset()  # that passwd(5) does not have: their hashes are elsewhere
    authorities: tuple[str, ...] = ()  # public keys of TrustedUserCAKeys
    taken: list[UserFact] = field(default_factory=list)


def user_fact(register: Register, person: Person) -> tuple[UserFact, UserSecret]:
    """What becomes of a person. Only for one with the way SFTP are keys and password read."""
    settings = register.settings
    # Most lines of passwd(5) are nobody's: sshd is not asked about who has nothing to show.
    rough = [terms(settings.by_reading(person, address), person) for address in settings.addresses]
    if not _has_password(register, person) and not _has_keys(register, person, rough):
        return UserFact(name=person.name, way=Way.CLOSED, reason=NOTHING, uid=person.uid, gid=person.gid), UserSecret()
    by_address = {address: terms(settings.of(person, address), person) for address in settings.addresses}
    has_keys, has_password = _has_keys(register, person, by_address.values()), _has_password(register, person)
    by_address = {
        address: within_reach(one_place, has_password=has_password, has_keys=has_keys)
        for address, one_place in by_address.items()
    }
    agreed = agree(person, by_address, settings.addresses)
    command, way, reason = _way(register, person, agreed)
    fact = UserFact(name=person.name, way=way, reason=reason, uid=person.uid, gid=person.gid, comment=person.comment)
    secret = UserSecret()
    if way is not Way.SFTP:
        return fact, secret
    values = settings.of(person, next(iter(settings.addresses)))
    fact.findings += agreed.findings + foreign(values, f"user:{person.name}")
    fact.proof, fact.allow = agreed.terms.proof, agreed.allow
    fact.wants_password, fact.wants_keys = agreed.terms.wants_password, agreed.terms.wants_keys
    _place(register, fact, person, agreed, command)
    lines = _keys(register, fact, person, agreed) if fact.wants_keys else []
    fact.keys = [line.fact for line in lines]
    secret.keys = {str(line.fact.number): line.line for line in lines}
    has_pam, takes_empty = one(values, "usepam") == "yes", one(values, "permitemptypasswords") == "yes"
    secret.hash = _password(register, fact, person, has_pam=has_pam, takes_empty=takes_empty)
    return fact, secret


def _has_keys(register: Register, person: Person, by_place: Iterable[Terms]) -> bool:
    """Whether any key file of its has a key that sshd took."""
    if register.authorities:
        return True
    files = dict.fromkeys(name for one_place in by_place for name in one_place.key_files)
    return any(not line.fact.ignored for line in _lines(register, person, tuple(files)))


def _lines(register: Register, person: Person, files: tuple[str, ...]) -> list[KeyLine]:
    values = register.settings.values
    accepted = [word for line in values.get("pubkeyacceptedalgorithms", ()) for word in line.split(",")]
    strict = one(values, "strictmodes") != "no"
    return authorized_keys(register.source, person, files, accepted, strict=strict)


def _has_password(register: Register, person: Person) -> bool:
    shadow = register.shadow.get(person.name)
    if shadow is None:
        return person.name in register.foreign_people or shell_kind(person.shell) != "closed"
    return shadow.standing in {Standing.USABLE, Standing.EXPIRED, Standing.EMPTY}


def _way(register: Register, person: Person, agreed: Agreed) -> tuple[SftpCommand, Way, str]:
    terms = agreed.terms
    nothing = SftpCommand(False)
    if person.uid == 0:
        return nothing, Way.SHELL, "the superuser is never taken over"
    if not terms.is_admitted:
        return nothing, Way.DENIED, "Allow and Deny rules keep it out"
    if not terms.proof:
        return nothing, Way.CLOSED, NOTHING
    subsystem = read_command(one(register.settings.values, "subsystem sftp"))
    if terms.command:
        command = read_command(terms.command)
        return (
            command,
            Way.SFTP if command.is_sftp else Way.SHELL,
            "" if command.is_sftp else f"it is forced to run {terms.command}",
        )
    kind = shell_kind(person.shell)
    if kind == "shell" and person.name not in register.included:
        return nothing, Way.SHELL, f"its shell is {person.shell}"
    if not subsystem.is_sftp:
        return subsystem, Way.CLOSED, "there is no SFTP subsystem"
    if kind == "closed" and not subsystem.is_internal:
        return subsystem, Way.CLOSED, f"its shell {person.shell} ends before the SFTP server starts"
    return subsystem, Way.SFTP, ""


def _place(register: Register, fact: UserFact, person: Person, agreed: Agreed, command: SftpCommand) -> None:
    """What it sees, where it begins, and with which rights files are made."""
    home = person.home.rstrip("/") or "/"
    fact.umask = UMASK if command.umask is None else command.umask
    fact.is_read_only = command.is_read_only
    for number, trouble in enumerate(command.troubles):
        fact.findings.append(
            blocker(
                f"user:{fact.name}:command:{number}",
                f"user {fact.name}: SFTP server: {trouble}",
                accepting="the option is left out",
            )
        )
    fact.findings += [
        note(f"user:{fact.name}:command:note:{number}", f"user {fact.name}: {text}")
        for number, text in enumerate(command.notes)
    ]
    wanted = command.start.replace("%d", home).replace("%u", person.name).replace("%%", "%") or home
    if agreed.terms.chroot:
        fact.tree, fact.root = expand(agreed.terms.chroot, person).rstrip("/") or "/", "/"
        inside = f"{fact.tree.rstrip('/')}/{wanted.strip('/')}"
        fact.start = _normal(wanted) if register.source.look(inside) is not None else "/"
        return
    fact.tree, fact.root, fact.start = home, home, _normal(wanted)
    if home == "/":
        fact.findings.append(blocker(f"user:{fact.name}:home", f"user {fact.name} has / for a home and no chroot"))
        return
    text = f"user {fact.name} saw the whole file system; here it sees {home} alone, under the same name"
    fact.findings.append(warning(f"user:{fact.name}:no-chroot", text))


def _normal(path: str) -> str:
    import posixpath

    return posixpath.normpath("/" + path.strip("/"))


def _keys(register: Register, fact: UserFact, person: Person, agreed: Agreed) -> list[KeyLine]:
    lines = _lines(register, person, agreed.terms.key_files)
    for authority in register.authorities:
        made = f'cert-authority,principals="{person.name}" {authority}'
        lines.append(key_line(made, len(lines), "TrustedUserCAKeys"))
    for line in lines:
        fact.findings += _key_findings(fact.name, line.fact, register.settings.values.get("usedns") == ["yes"])
    return lines


def _key_findings(user: str, key: KeyFact, uses_dns: bool) -> list[Finding]:
    ident = f"user:{user}:key:{key.fingerprint if key.fingerprint.startswith('SHA256') else f'{key.file}:{key.number}'}"
    what = f"user {user}: key {key.fingerprint} ({key.type}, {key.file})"
    if key.ignored:
        return [note(f"{ident}:ignored", f"{what} is left out: it did not work before: {key.ignored}")]
    if key.refused:
        return [blocker(f"{ident}:refused", f"{what}: {key.refused}", accepting=LEFT_OUT)]
    found = []
    if any(option.lower().startswith("command=") and " " in option for option in key.options):
        text = f"{what}: its command has options of its own"
        found.append(blocker(f"{ident}:command", text, accepting="the key is taken, and these options are not"))
    names = [
        word
        for word in key.sources
        if not network_of(word.removeprefix("!")) and any(char.isalpha() for char in word) and ":" not in word
    ]
    if names and uses_dns:
        text = f"{what}: from= names hosts ({', '.join(names)}), which are not looked up here"
        found.append(blocker(f"{ident}:from", text, accepting="the key does not work from these hosts"))
    if any(option.lower().startswith("environment=") for option in key.options):
        found.append(note(f"{ident}:environment", f"{what}: environment= has no meaning for SFTP"))
    return found


def _password(register: Register, fact: UserFact, person: Person, *, has_pam: bool, takes_empty: bool) -> str:
    """How the password stands; returns the hash that may be taken over."""
    who = f"user:{fact.name}"
    shadow = register.shadow.get(person.name)
    if shadow is None:
        fact.password = PasswordFact(standing="unknown")
        if fact.wants_password:
            why = (
                "its password is not in shadow(5)"
                if person.name in register.foreign_people
                else "it has no entry in shadow(5)"
            )
            fact.findings.append(blocker(f"{who}:no-hash", f"user {fact.name}: {why}", accepting=NO_PASSWORD))
        return ""
    fact.expires_ns = shadow.expires_ns
    # Without PAM, sshd takes a ! in front for a locked account and lets nobody in, not even with a key.
    fact.is_locked = shadow.has_lock and not has_pam
    if fact.is_locked:
        fact.findings.append(note(f"{who}:locked", f"user {fact.name} is locked, and stays so"))
    scheme = recognise(shadow.hash)
    fact.password = PasswordFact(standing=shadow.standing, scheme=scheme.name if scheme else "")
    if not fact.wants_password or shadow.standing in {Standing.NONE, Standing.LOCKED}:
        return ""
    return shadow.hash if _is_taken(fact, shadow.standing, takes_empty=takes_empty) else ""


def _is_taken(fact: UserFact, standing: Standing, *, takes_empty: bool) -> bool:
    who, name = f"user:{fact.name}", fact.name
    if standing is Standing.EMPTY:
        if takes_empty:
            text = f"user {name} logs in with an empty password"
            fact.findings.append(blocker(f"{who}:empty", text, accepting=NO_PASSWORD))
        return False
    if standing is Standing.EXPIRED:
        text = f"user {name}: its password has expired, so that it does not work on the old server; it is left out"
        fact.findings.append(warning(f"{who}:expired", text, accepting="the password is taken over and works again"))
    refused = _refused(fact.password.scheme)
    if refused:
        fact.password = PasswordFact(standing=standing, scheme=fact.password.scheme, refused=refused)
        hint = "Give the user a new password, or a key."
        fact.findings.append(blocker(f"{who}:hash", f"user {name}: {refused}", hint=hint, accepting=NO_PASSWORD))
    return not refused


def _refused(scheme: str) -> str:
    """Why a hash of that kind is not kept."""
    known = {each.name: each.is_weak for each in SCHEMES}
    if scheme not in known:
        return "its password hash is of no known kind"
    return f"its password hash is {scheme}, which is too weak to keep" if known[scheme] else ""


def shared(users: Sequence[UserFact]) -> list[Finding]:
    """Trees that several users see: there, modes decided who may do what, and here nothing does."""
    found = []
    for one_user in users:
        for other in users:
            if one_user is other or not one_user.tree or not _within(other.tree, one_user.tree):
                continue
            if one_user.tree == other.tree and one_user.name > other.name:
                continue
            text = (
                f"users {one_user.name} and {other.name} share {other.tree}; file modes decided there who may do what"
            )
            found.append(
                blocker(
                    f"user:{one_user.name}:shares:{other.name}",
                    text,
                    hint="Give them folders of their own, or accept it.",
                    accepting="each of them may do in it what its own folders allow, whoever made a file",
                )
            )
    return found


def _within(path: str, tree: str) -> bool:
    return path == tree or path.startswith(tree.rstrip("/") + "/")
