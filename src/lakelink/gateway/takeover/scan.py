"""A scan: the old server as facts and secrets. It reads, and changes nothing there."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lakelink.gateway.takeover.facts import (
    Facts,
    Finding,
    HostKeyFact,
    Secrets,
    ServerFact,
    Way,
    blocker,
    note,
    warning,
)
from lakelink.gateway.takeover.fences import Fence, fail2ban, tcp_wrappers
from lakelink.gateway.takeover.firewalld import firewalld
from lakelink.gateway.takeover.homes import census, written_to
from lakelink.gateway.takeover.iptables import iptables
from lakelink.gateway.takeover.keyfiles import host_key, unlocked
from lakelink.gateway.takeover.nft import nftables
from lakelink.gateway.takeover.pam import pam_findings
from lakelink.gateway.takeover.people import Person, read_people, read_shadow
from lakelink.gateway.takeover.settings import Settings, foreign, read_settings
from lakelink.gateway.takeover.source import Source
from lakelink.gateway.takeover.sshd_config import one
from lakelink.gateway.takeover.traffic import Tally, read_logs
from lakelink.gateway.takeover.users import Register, shared, user_fact
from lakelink.gateway.takeover.words import intersection

SETTINGS = "/etc/ssh/sshd_config"
USUAL_KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519"))
ALGORITHMS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms")
KEPT_SETTINGS = (
    "logingracetime",
    "maxauthtries",
    "maxsessions",
    "maxstartups",
    "clientaliveinterval",
    "clientalivecountmax",
)
LOGS = ("auth.log", "secure")
JOURNAL = [
    "journalctl",
    "-t",
    "sshd",
    "-t",
    "sshd-session",
    "-t",
    "internal-sftp",
    "-t",
    "sftp-server",
    "-o",
    "short-iso",
    "--no-pager",
    "-q",
    "-n",
    "500000",
]
DAY_S = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the operator says about a scan."""

    settings_path: str = SETTINGS
    included: frozenset[str] = frozenset()  # users with a shell that are taken over too
    with_homes: bool = True
    passphrase: Callable[[str], str] = lambda _path: ""  # of a host key; "" = not told


def scan(source: Source, asked: Asked, now: dt.datetime) -> tuple[Facts, Secrets]:
    """Look at everything.

    Raises:
        NotPermitted: it takes root. StorageError, Unreachable: something cannot be read, so that nothing is concluded.
    """
    settings = read_settings(source, asked.settings_path)
    facts = Facts(source=source.name, scanned_at=now.isoformat(timespec="seconds"))
    secrets = Secrets()
    facts.findings += foreign(settings.values, "sshd")
    facts.server = _server(source, settings, facts.findings)
    _host_keys(source, settings, asked, facts, secrets)
    if one(settings.values, "usepam") == "yes":
        facts.findings += pam_findings(source)
    _users(source, settings, asked, now, facts, secrets)
    facts.findings += settings.findings  # some of them come from asking about users
    _fences(source, facts)
    tally = _traffic(source, facts)
    for user in facts.users:
        user.traffic = tally.users.get(user.name)
    if asked.with_homes:
        _homes(source, facts)
    else:
        facts.findings.append(warning("homes", "the homes were not looked at", hint="Scan without --no-homes."))
    taken = [user for user in facts.users if user.way is Way.SFTP]
    facts.findings += shared(taken)
    facts.findings = list({finding.ident: finding for finding in facts.findings}.values())
    return facts, secrets


def _server(source: Source, settings: Settings, findings: list[Finding]) -> ServerFact:
    values = settings.values
    server = ServerFact(read_by="sshd -T" if settings.is_by_sshd else "own reading")
    server.ports = [int(port) for port in values.get("port", ["22"]) if port.isdecimal()]
    server.listen = listen_addresses(values.get("listenaddress", []), server.ports)
    server.settings = {keyword: values[keyword] for keyword in KEPT_SETTINGS if keyword in values}
    server.algorithms = {keyword: values[keyword][0].split(",") for keyword in ALGORITHMS if values.get(keyword)}
    for keyword, listed in server.algorithms.items():
        if not settings.is_by_sshd and listed[0][:1] in {"+", "-", "^"}:
            what = f"{keyword} {','.join(listed)} adds to a default that only sshd itself knows"
            findings.append(warning(f"sshd:{keyword}", what, hint="`verify` compares with what the old server offers."))
    banner = one(values, "banner")
    if banner not in {"", "none"}:
        server.banner = (source.read(banner) or b"").decode("utf-8", "replace")
    return server


def listen_addresses(words: Sequence[str], ports: Sequence[int]) -> list[str]:
    """ListenAddress as HOST:PORT, for each port where none is named; [] = all addresses."""
    found = []
    for word in words:
        host, colon, port = word.rpartition(":")
        if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
            found.append(f"{host}:{port}")
            continue
        bare = word if word.startswith("[") or ":" not in word else f"[{word}]"
        found += [f"{bare}:{port}" for port in ports]
    return list(dict.fromkeys(found))


def _host_keys(source: Source, settings: Settings, asked: Asked, facts: Facts, secrets: Secrets) -> None:
    paths = settings.values.get("hostkey") or [path for path in USUAL_KEYS if source.look(path)]
    certificates = [path for path in settings.values.get("hostcertificate", ()) if path != "none"]
    for path in dict.fromkeys(paths):
        private = source.read(path)
        if private is None:
            facts.findings.append(note(f"host-key:{path}", f"host key {path} is not there; sshd goes without it"))
            continue
        try:
            fact = host_key(path, private, source.read(f"{path}.pub"))
        except ValueError as error:
            facts.findings.append(blocker(f"host-key:{path}", f"host key {path} cannot be read: {error}"))
            continue
        text = _unlock(fact, private.decode("ascii", "replace"), asked, facts)
        beside = next((name for name in certificates if name == f"{path}-cert.pub"), "")
        facts.host_keys.append(_with_certificate(fact, beside))
        secrets.host_keys[path] = text
        if beside and (certificate := source.read(beside)):
            secrets.certificates[path] = certificate.decode("ascii", "replace")
    known = {key.certificate for key in facts.host_keys}
    for path in certificates:
        if path not in known:
            what = f"host certificate {path} stands beside no host key"
            facts.findings.append(blocker(f"host-certificate:{path}", what, accepting="it is left out"))
    if not facts.host_keys:
        facts.findings.append(blocker("host-key", "there is no host key: clients could not know the server again"))


def _with_certificate(fact: HostKeyFact, certificate: str) -> HostKeyFact:
    """The fact with the path of a certificate."""
    from msgspec.structs import replace as changed

    return changed(fact, certificate=certificate) if certificate else fact


def _unlock(fact: HostKeyFact, private: str, asked: Asked, facts: Facts) -> str:
    if not fact.needs_passphrase:
        return private
    try:
        return unlocked(private, asked.passphrase(fact.path))
    except ValueError as error:
        hint = "Scan again and give its passphrase."
        facts.findings.append(blocker(f"host-key:{fact.path}:passphrase", f"host key {fact.path}: {error}", hint=hint))
        return private


def _users(source: Source, settings: Settings, asked: Asked, now: dt.datetime, facts: Facts, secrets: Secrets) -> None:
    passwd, group = _text(source, "/etc/passwd"), _text(source, "/etc/group")
    people, troubles = read_people(passwd, group)
    shadow, more = read_shadow(_text(source, "/etc/shadow"), int(now.timestamp()) // DAY_S)
    for trouble in troubles + more:
        facts.findings.append(blocker(f"users:{trouble.split(' ')[0]}", trouble, accepting="the line is left out"))
    foreigners = _foreigners(source, people, facts)
    register = Register(
        source,
        settings,
        shadow,
        asked.included,
        frozenset(person.name for person in foreigners),
        _authorities(source, settings, facts),
    )
    for person in [*people, *foreigners]:
        fact, secret = user_fact(register, person)
        facts.users.append(fact)
        if fact.way is Way.SFTP:
            secrets.users[fact.name] = secret
    for name in sorted(asked.included - {user.name for user in facts.users}):
        facts.findings.append(blocker(f"include:{name}", f"there is no user {name} on the old server"))


def _foreigners(source: Source, people: Sequence[Person], facts: Facts) -> list[Person]:
    """Users that another service knows (LDAP, SSSD …), as far as it lists them."""
    services: list[str] = []
    for line in _text(source, "/etc/nsswitch.conf").splitlines():
        if line.split("#")[0].strip().startswith("passwd:"):
            services = [word for word in line.split("#")[0].split()[1:] if not word.startswith("[")]
    outside = [service for service in services if service not in {"files", "systemd", "compat"}]
    if not outside:
        return []
    names = {person.name for person in people}
    listed: list[Person] = []
    if source.is_live:
        listed, _ = read_people(source.ask(["getent", "passwd"]).output, source.ask(["getent", "group"]).output)
    facts.findings.append(
        blocker(
            "users:nss",
            f"users come from {', '.join(outside)} as well, and may not all be listed",
            hint="The identity hook asks such a service at each login.",
            accepting="only those that are listed are taken over",
        )
    )
    return [person for person in listed if person.name not in names]


def _authorities(source: Source, settings: Settings, facts: Facts) -> tuple[str, ...]:
    path = one(settings.values, "trustedusercakeys")
    if path in {"", "none"}:
        return ()
    lines = [line.strip() for line in _text(source, path).splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        facts.findings.append(blocker("sshd:trustedusercakeys", f"{path} has no keys", accepting="it is left out"))
    return tuple(lines)


def _fences(source: Source, facts: Facts) -> None:
    """Lists of addresses that hold for everybody; an address has to be on all of them."""
    ports = facts.server.ports
    fences = {"TCP wrappers": tcp_wrappers(_text(source, "/etc/hosts.allow"), _text(source, "/etc/hosts.deny"))}
    fences["nftables"] = _nftables(source, ports)
    saved = (
        source.ask(["iptables-save"]).output
        or _text(source, "/etc/iptables/rules.v4")
        or _text(source, "/etc/sysconfig/iptables")
    )
    fences["iptables"] = iptables(saved, ports)
    zones = {name: _text(source, f"/etc/firewalld/zones/{name}") for name in source.names("/etc/firewalld/zones")}
    fences["firewalld"] = firewalld({name: text for name, text in zones.items() if name.endswith(".xml")}, ports)
    lists = []
    for name, fence in fences.items():
        facts.findings += fence.findings
        if fence.networks is None:
            facts.findings.append(
                blocker(f"fence:{name}", f"{name} lets nobody in", accepting="it is left out of the list")
            )
        elif fence.networks:
            lists.append(fence.networks)
            facts.findings.append(note(f"fence:{name}:list", f"{name}: only from {', '.join(fence.networks)}"))
    allowed = intersection(lists)
    if allowed is None:
        facts.findings.append(blocker("fence:none", "no address is on all lists", accepting="anybody may come"))
    facts.server.allow = allowed or []
    jails = [
        _text(source, "/etc/fail2ban/jail.local"),
        *(_text(source, f"/etc/fail2ban/jail.d/{name}") for name in source.names("/etc/fail2ban/jail.d")),
    ]
    facts.server.never_banned = fail2ban(jails)


def _nftables(source: Source, ports: Sequence[int]) -> Fence:
    said = source.ask(["nft", "-j", "list", "ruleset"])
    if said.status == 0 and said.output.strip():
        try:
            return nftables(json.loads(said.output), ports)
        except (ValueError, AttributeError, TypeError):
            return Fence(
                findings=[
                    blocker("fence:nftables", "the rules of nftables cannot be read", accepting="they are left out")
                ]
            )
    text = "" if source.is_live else _text(source, "/etc/nftables.conf")
    rules = [line.strip() for line in text.splitlines() if "dport" in line and not line.lstrip().startswith("#")]
    hits = [line for line in rules if "ssh" in line.split() or any(str(port) in line for port in ports)]
    if hits:
        what = f"/etc/nftables.conf has rules for the port: {'; '.join(hits)}"
        return Fence(
            findings=[
                blocker("fence:nftables.conf", what, hint="Scan the running server.", accepting="they are left out")
            ]
        )
    return Fence()


def _traffic(source: Source, facts: Facts) -> Tally:
    tally = read_logs(_log_lines(source))
    if tally.lines:
        facts.findings.append(note("traffic", f"logs of {tally.first} to {tally.last} were read"))
    else:
        facts.findings.append(warning("traffic", "no log tells who came, with which clients, and from where"))
    return tally


def _log_lines(source: Source) -> Iterator[str]:
    names = [name for name in source.names("/var/log") if name.split(".")[0] in {log.split(".")[0] for log in LOGS}]
    found = False
    # auth.log.2.gz is older than auth.log.1, and that than auth.log.
    for name in sorted(names, key=lambda name: [-int(part) for part in name.split(".") if part.isdecimal()] or [1]):
        raw = source.read(f"/var/log/{name}") or b""
        if name.endswith(".gz"):
            try:
                raw = gzip.decompress(raw)
            except (OSError, EOFError, zlib.error):
                continue
        found = found or bool(raw)
        yield from raw.decode("utf-8", "replace").splitlines()
    if not found and source.is_live:
        yield from source.ask(JOURNAL).output.splitlines()


def _homes(source: Source, facts: Facts) -> None:
    being_written = sorted(set(written_to(source)))
    people, _ = read_people(_text(source, "/etc/passwd"), _text(source, "/etc/group"))
    groups = {person.name: person.gids for person in people}
    for user in facts.users:
        if user.way is not Way.SFTP or not user.tree:
            continue
        gids = groups.get(user.name, frozenset([user.gid]))
        user.home = census(source, user.tree, user.uid, gids)
        inside = [path for path in being_written if path.startswith(user.tree.rstrip("/") + "/")]
        if inside:
            user.home.counts["open"] = len(inside)
            user.home.examples["open"] = inside[:5]


def _text(source: Source, path: str) -> str:
    return (source.read(path) or b"").decode("utf-8", "surrogateescape")
