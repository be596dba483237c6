"""On which terms sshd lets a user in, and how they depend on where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lakelink.gateway.takeover.facts import Finding, blocker
from lakelink.gateway.takeover.people import Person
from lakelink.gateway.takeover.sshd_config import Values, one
from lakelink.gateway.takeover.words import Network, in_list, intersection, network_of


@dataclass(frozen=True, slots=True)
class Terms:
    """`proof` "" = nothing that could be shown is taken. Troubles are sentences."""

    is_admitted: bool
    sources: tuple[str, ...] = ()  # of name@address; () = anywhere
    proof: str = ""
    wants_password: bool = False
    wants_keys: bool = False
    command: str = ""
    chroot: str = ""
    key_files: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def lets_in(self) -> bool:
        return self.is_admitted and bool(self.proof)


def terms(values: Values, person: Person) -> Terms:
    """The terms of one user under these settings."""
    troubles: list[str] = []
    is_admitted, sources = _admitted(values, person, troubles)
    proof, password, keys = _proof(values, troubles)
    return Terms(
        is_admitted=is_admitted,
        sources=tuple(sources),
        proof=proof,
        wants_password=password,
        wants_keys=keys,
        command=_unless_none(one(values, "forcecommand")),
        chroot=_unless_none(one(values, "chrootdirectory")),
        key_files=tuple(values.get("authorizedkeysfile", ())),
        troubles=tuple(troubles),
    )


def within_reach(terms: Terms, *, has_password: bool, has_keys: bool) -> Terms:
    """The terms for somebody who has only this to show: a way that it cannot go does not count."""
    match terms.proof:
        case "any" if has_password != has_keys:
            proof = "password" if has_password else "key"
        case "any" if has_password:
            proof = "any"
        case "key" if has_keys:
            proof = "key"
        case "password" if has_password:
            proof = "password"
        case "key+password" if has_password and has_keys:
            proof = "key+password"
        case _:
            proof = ""
    return replace(terms, proof=proof, wants_password="password" in proof or proof == "any")


def _unless_none(value: str) -> str:
    return "" if value.lower() == "none" else value


def _admitted(values: Values, person: Person, troubles: list[str]) -> tuple[bool, list[str]]:
    """Deny before allow, users before groups; a list of whom to allow keeps out everybody else."""
    for pattern in values.get("denyusers", ()):
        name, at, place = pattern.partition("@")
        if in_list([name], person.name):
            if not at:
                return False, []
            troubles.append(f"DenyUsers {name}@{place} keeps it out from some places")
    is_allowed, sources = _allowed_users(values, person, troubles)
    if not is_allowed:
        return False, []
    if any(in_list([pattern], group) for pattern in values.get("denygroups", ()) for group in person.groups):
        return False, []
    allowed_groups = values.get("allowgroups")
    if allowed_groups and not any(in_list(allowed_groups, group) for group in person.groups):
        return False, []
    return True, sources


def _allowed_users(values: Values, person: Person, troubles: list[str]) -> tuple[bool, list[str]]:
    """AllowUsers, and the networks of name@address; [] = anywhere."""
    allowed = values.get("allowusers", [])
    hits = [pattern for pattern in allowed if in_list([pattern.partition("@")[0]], person.name)]
    if allowed and (not hits or f"!{person.name}" in allowed):
        return False, []
    if not all("@" in pattern for pattern in hits) or any(pattern.endswith("@*") for pattern in hits):
        return True, []
    sources = []
    for pattern in hits:
        place = pattern.partition("@")[2]
        if network := network_of(place):
            sources.append(str(network))
        else:
            troubles.append(f"AllowUsers {pattern}: {place} is no network")
    return True, sources


def _proof(values: Values, troubles: list[str]) -> tuple[str, bool, bool]:
    """The proof as an account has it, and whether a password and keys are asked for at all."""
    keys = one(values, "pubkeyauthentication") == "yes"
    by_dialogue = one(values, "kbdinteractiveauthentication") == "yes" and one(values, "usepam") == "yes"
    password = one(values, "passwordauthentication") == "yes" or by_dialogue
    lists = values.get("authenticationmethods", ["any"])
    if lists == ["any"]:
        chosen: set[tuple[str, ...]] = {("publickey",)} if keys else set()
        chosen |= {("password",)} if password else set()
    else:
        chosen = {tuple(_method(word) for word in one_list.split(",")) for one_list in lists}
        chosen = {
            steps for steps in chosen if (keys or "publickey" not in steps) and (password or "password" not in steps)
        }
    match chosen:
        case _ if not chosen:
            return "", False, False
        case _ if chosen == {("publickey",), ("password",)}:
            return "any", True, True
        case _ if chosen == {("publickey",)}:
            return "key", False, True
        case _ if chosen == {("password",)}:
            return "password", True, False
        case _ if chosen == {("publickey", "password")}:
            return "key+password", True, True
    troubles.append(f"AuthenticationMethods {' '.join(lists)} is not one of: key, password, either, key then password")
    return "key+password", True, True


def _method(word: str) -> str:
    name = word.partition(":")[0]
    return "password" if name == "keyboard-interactive" else name


@dataclass(slots=True)
class Agreed:
    """The terms that hold, and from where."""

    terms: Terms
    allow: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def agree(person: Person, by_address: Mapping[str, Terms], networks: Mapping[str, Network | None]) -> Agreed:
    """One set of terms out of those for several places. What cannot be said by "only from these networks" is a blocker."""
    outside = next(terms for address, terms in by_address.items() if networks[address] is None)
    admitting = {address: terms for address, terms in by_address.items() if terms.lets_in}
    agreed = Agreed(outside)
    if admitting and not outside.lets_in:
        agreed.terms = next(iter(admitting.values()))
        agreed.allow = [str(networks[address]) for address in admitting]
        refused = [networks[address] for address in by_address if address not in admitting]
        overlapping = [network for network in refused if network and _lies_in(network, agreed.allow)]
    else:
        overlapping = [networks[address] for address in by_address if outside.lets_in and address not in admitting]  # type: ignore[misc]
    if overlapping:
        _ask(agreed, person, f"it is kept out from {', '.join(map(str, overlapping))}, and let in around that")
    if len({_comparable(terms) for terms in admitting.values()}) > 1:
        _ask(agreed, person, f"its settings depend on where it comes from: {_differences(admitting)}")
    common = intersection([agreed.allow, list(agreed.terms.sources)])
    if common is None:
        agreed.findings.append(
            blocker(
                f"user:{person.name}:nowhere",
                f"user {person.name}: no address is on all of its lists",
                accepting="it is made, and may not come from anywhere but 127.0.0.1/32",
            )
        )
        common = ["127.0.0.1/32"]
    agreed.allow = common
    for number, trouble in enumerate(agreed.terms.troubles):
        agreed.findings.append(
            blocker(
                f"user:{person.name}:terms:{number}",
                f"user {person.name}: {trouble}",
                accepting="this rule is left out; the stricter proof is taken",
            )
        )
    return agreed


def _lies_in(network: Network, networks: Sequence[str]) -> bool:
    return intersection([[str(network)], networks]) is not None


def _comparable(one: Terms) -> tuple[object, ...]:
    return (one.proof, one.command, one.chroot, one.key_files, one.sources)


def _differences(admitting: Mapping[str, Terms]) -> str:
    return "; ".join(
        f"{address}: proof {terms.proof}, command {terms.command or 'none'}, chroot {terms.chroot or 'none'}"
        for address, terms in admitting.items()
    )


def _ask(agreed: Agreed, person: Person, what: str) -> None:
    agreed.findings.append(
        blocker(
            f"user:{person.name}:places",
            f"user {person.name}: {what}",
            accepting="what holds outside of all these networks is taken for everywhere",
        )
    )
