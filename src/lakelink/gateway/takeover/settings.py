"""The settings of the old sshd, for everybody and for one user from one address: by sshd itself where it can be asked, else by our own reading."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from lakelink.gateway.takeover.facts import Finding, blocker, note, warning
from lakelink.gateway.takeover.people import Person
from lakelink.gateway.takeover.source import Source
from lakelink.gateway.takeover.sshd_config import (
    Config,
    Connection,
    Values,
    effective,
    one,
    parse,
    read_test_output,
)
from lakelink.gateway.takeover.words import Network, network_of

OUTSIDE = ("192.0.2.77", "198.51.100.77", "203.0.113.77", "2001:db8:77::77")
MOST_SAMPLED = 512
WITHOUT_MEANING = {
    "acceptenv", "addressfamily", "allowagentforwarding", "allowstreamlocalforwarding", "allowtcpforwarding", "channeltimeout", "compression",
    "disableforwarding", "exposeauthinfo", "fingerprinthash", "gatewayports", "gssapicleanupcredentials", "gssapikeyexchange",
    "gssapistorecredentialsonrekey", "gssapistrictacceptorcheck", "hostbasedusesnamefrompacketonly", "ignorerhosts", "ignoreuserknownhosts", "ipqos",
    "kerberosgetafstoken", "kerberosorlocalpasswd", "kerberosticketcleanup", "loglevel", "logverbose", "moduli", "modulifile", "permitlisten",
    "permitopen", "permittty", "permittunnel", "permituserenvironment", "permituserrc", "persourcemaxstartups", "persourcenetblocksize",
    "persourcepenalties", "persourcepenaltyexemptlist", "pidfile", "printlastlog", "printmotd", "protocol", "pubkeyauthoptions", "rekeylimit",
    "setenv", "sshdsessionpath", "sshdauthpath", "streamlocalbindmask", "streamlocalbindunlink", "syslogfacility", "tcpkeepalive", "unusedconnectiontimeout",
    "useblocklist", "usedns", "usepam", "useprivilegeseparation", "versionaddendum", "debianbanner", "x11displayoffset", "x11forwarding", "x11uselocalhost",
    "xauthlocation", "gssapikexalgorithms", "hostbasedacceptedalgorithms", "securitykeyprovider", "refuseconnection", "keyregenerationinterval",
    "serverkeybits", "rhostsrsaauthentication", "rsaauthentication", "uselogin", "casignaturealgorithms", "requiredrsasize", "rdomain", "routingdomain",
}  # fmt: skip
CARRIED = {
    "allowgroups", "allowusers", "authenticationmethods", "authorizedkeyscommand", "authorizedkeyscommanduser", "authorizedkeysfile",
    "authorizedprincipalscommand", "authorizedprincipalscommanduser", "authorizedprincipalsfile", "banner", "chrootdirectory", "ciphers",
    "clientalivecountmax", "clientaliveinterval", "denygroups", "denyusers", "forcecommand", "gssapiauthentication", "hostbasedauthentication",
    "hostcertificate", "hostkey", "hostkeyagent", "hostkeyalgorithms", "kbdinteractiveauthentication", "kerberosauthentication", "kexalgorithms",
    "listenaddress", "logingracetime", "macs", "maxauthtries", "maxsessions", "maxstartups", "passwordauthentication", "permitemptypasswords",
    "permitrootlogin", "port", "pubkeyacceptedalgorithms", "pubkeyauthentication", "revokedkeys", "strictmodes", "trustedusercakeys",
}  # fmt: skip
FOREIGN = {
    "authorizedkeyscommand": "keys come from a program",
    "authorizedprincipalscommand": "names of certificates come from a program",
    "authorizedprincipalsfile": "names of certificates come from files",
    "revokedkeys": "there is a list of revoked keys",
    "hostkeyagent": "host keys are in an agent",
}
IGNORED = "it is left out: what it does is not done by the gateway"


@dataclass(slots=True)
class Settings:
    """`values` are those of the global section. `addresses`: from where users have to be asked about, and the networks that stand for them."""

    source: Source
    path: str
    config: Config
    values: Values
    is_by_sshd: bool
    addresses: dict[str, Network | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    asked: dict[tuple[str, str], Values] = field(default_factory=dict)

    def of(self, person: Person, address: str) -> Values:
        """The settings for a user who comes from there."""
        if not self.config.matches():
            return self.values
        key = (person.name, address)
        if key not in self.asked:
            self.asked[key] = self._ask(person, address) if self.is_by_sshd else self.by_reading(person, address)
        return self.asked[key]

    def by_reading(self, person: Person, address: str) -> Values:
        """The same, by our own reading."""
        return effective(self.config, Connection(person.name, person.groups, address))

    def _ask(self, person: Person, address: str) -> Values:
        who = f"user={person.name},host={address},addr={address}"
        said = self.source.ask(["sshd", "-T", "-f", self.path, "-C", who])
        if said.status == 0:
            return read_test_output(said.output)
        text = f"`sshd -T -C {who}` failed: {said.complaint.strip()[-200:]}"
        self.findings.append(warning(f"sshd-T:{person.name}", text, hint="Its settings are by our own reading."))
        return self.by_reading(person, address)


def read_settings(source: Source, path: str) -> Settings:
    """Read the settings of the sshd whose file is at `path` there. What was not understood is among the findings."""
    config = parse(path, source.read, lambda pattern: _glob(source, pattern))
    values, is_by_sshd = effective(config), False
    findings: list[Finding] = []
    if source.is_live:
        said = source.ask(["sshd", "-T", "-f", path])
        if said.status == 0:
            values, is_by_sshd = read_test_output(said.output), True
        elif said.status != 127:
            why = said.complaint.strip()[-200:]
            findings.append(
                warning("sshd-T", f"`sshd -T -f {path}` failed: {why}", hint="The settings are by our own reading.")
            )
    for number, trouble in enumerate(config.troubles):
        # What sshd reads itself need not be understood here, except for whom its blocks are.
        if is_by_sshd and "Match" not in trouble:
            findings.append(note(f"sshd:trouble:{number}", trouble))
        else:
            findings.append(blocker(f"sshd:trouble:{number}", trouble, accepting=IGNORED))
    findings += _unknown(config)
    settings = Settings(source, path, config, values, is_by_sshd, findings=findings)
    settings.addresses = _addresses(settings)
    return settings


def _unknown(config: Config) -> list[Finding]:
    found = []
    for line in config.directives:
        if line.keyword not in CARRIED | WITHOUT_MEANING | {"subsystem"}:
            what = f"{line.where}: {line.keyword} is not known"
            found.append(blocker(f"sshd:keyword:{line.keyword}", what, accepting=IGNORED))
    return list({finding.ident: finding for finding in found}.values())


def foreign(values: Values, who: str) -> list[Finding]:
    """Settings that let people in, or keep them out, by means that the gateway does not have. `who`: "sshd" or "user:NAME"."""
    found = [
        blocker(f"{who}:{keyword}", f"{why} ({keyword} {one(values, keyword)})", accepting=IGNORED)
        for keyword, why in FOREIGN.items()
        if one(values, keyword) not in {"", "none"}
    ]
    found += [
        warning(f"{who}:{keyword}", f"{keyword} is on; the gateway knows keys and passwords")
        for keyword in ("gssapiauthentication", "hostbasedauthentication", "kerberosauthentication")
        if one(values, keyword) == "yes"
    ]
    return found


def _addresses(settings: Settings) -> dict[str, Network | None]:
    """One address for each network that a Match block or a name@address asks for, and one that is in none."""
    patterns: list[str] = []
    for match in settings.config.matches():
        for name, words in match.criteria:
            patterns += [word.removeprefix("!") for word in words] if name in {"address", "host"} else []
            if name in {"localaddress", "localport", "rdomain"}:
                what = f"{match.where}: it depends on the server's own {name}"
                settings.findings.append(
                    blocker(f"sshd:match:{name}", what, accepting="the block is taken as one that does not hold")
                )
    networks: list[Network] = []
    for pattern in dict.fromkeys(patterns):
        if network := network_of(pattern):
            networks.append(network)
        elif pattern != "*":
            what = f"a Match block names {pattern}, which is no network"
            settings.findings.append(
                blocker(f"sshd:match:{pattern}", what, accepting="the block is taken as one that does not hold")
            )
    found: dict[str, Network | None] = {}
    outside = next(
        text
        for text in OUTSIDE
        if not any(ipaddress.ip_address(text) in network for network in networks) or text == OUTSIDE[-1]
    )
    found[outside] = None
    for network in networks:
        if sample := _sample(network, networks):
            found[sample] = network
    return found


def _sample(network: Network, others: Sequence[Network]) -> str | None:
    """An address that is in no smaller network of the others; None where they fill it."""
    smaller = [other for other in others if other.version == network.version and other.prefixlen > network.prefixlen]
    first = int(network.network_address)
    for step in range(min(network.num_addresses, MOST_SAMPLED)):
        address = ipaddress.ip_address(first + step) if network.version == 4 else ipaddress.IPv6Address(first + step)
        if not any(address in other for other in smaller):
            return str(address)
    return None


def _glob(source: Source, pattern: str) -> list[str]:
    """As glob(3), for patterns in the last part and above it."""
    places = ["/"]
    for part in filter(None, pattern.split("/")):
        found = []
        for place in places:
            base = place.rstrip("/")
            if not any(char in part for char in "*?["):
                found.append(f"{base}/{part}")
                continue
            names = source.names(place)
            hidden = part.startswith(".")
            found += [
                f"{base}/{name}" for name in names if fnmatch.fnmatchcase(name, part) and (hidden or name[0] != ".")
            ]
        places = found
    return sorted(place for place in places if source.look(place) is not None)
