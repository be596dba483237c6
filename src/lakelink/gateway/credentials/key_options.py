"""The options in front of a key. What only takes rights away that the gateway never gives is read and holds anyway; what it could not keep is refused."""

from __future__ import annotations

import datetime as dt
import fnmatch
import ipaddress
import re
from dataclasses import dataclass, replace

from lakelink.errors import UsageError

# The gateway serves SFTP alone: no terminal, no forwarding, no program. So these hold whether they are written or not.
_ALWAYS_SO = frozenset(
    {
        "restrict", "no-pty", "no-port-forwarding", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc", "permitopen", "permitlisten", "tunnel",
    }
)  # fmt: skip
# These ask for what the gateway does not give: read, and nothing comes of them.
_NEVER_SO = frozenset({"pty", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc", "environment"})
_SFTP_COMMAND = re.compile(r"(internal-sftp|\S*/sftp-server)(\s.*)?")
_OPTION = re.compile(r'\s*([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?')


@dataclass(frozen=True, slots=True)
class Options:
    """What the line demands beyond the key itself."""

    sources: str = ""  # from=: patterns with commas
    expires_ns: int = 0  # 0 = never
    is_authority: bool = False
    principals: tuple[str, ...] = ()
    needs_touch: bool = True  # of a key in hardware

    def admits(self, address: str, now_ns: int) -> bool:
        """Whether the key may be used from there, now."""
        if self.expires_ns and now_ns >= self.expires_ns:
            return False
        return not self.sources or matches_sources(self.sources, address)


def read_options(line: str) -> tuple[Options, str]:
    """The options in front, and the rest of the line.

    Raises:
        UsageError: one of them is not known, or cannot be kept.
    """
    options, at = Options(), 0
    while match := _OPTION.match(line, at):
        options = _with(options, match[1].lower(), (match[2] or "").replace('\\"', '"'), has_value=match[2] is not None)
        at = match.end()
        if line[at : at + 1] != ",":
            break
        at += 1
    if line[at : at + 1] not in {" ", "\t"}:
        raise UsageError(
            "the options of a key cannot be read",
            hint='Separated by commas, values in quotes: from="10.0.0.0/8",restrict ssh-…',
        )
    return options, line[at:].lstrip()


def matches_sources(patterns: str, address: str) -> bool:
    """Whether an address is meant by a list of patterns: CIDR, or wildcards over its text; one with ! in front that matches refuses (ssh_config(5), PATTERNS).

    Names of hosts never match: addresses are not looked up, as sshd with its default UseDNS=no.
    """
    ip = ipaddress.ip_address(address)
    meant = False
    for raw in patterns.split(","):
        pattern = raw.strip().lower()
        negated = pattern.startswith("!")
        if _matches(pattern.removeprefix("!"), ip):
            if negated:
                return False
            meant = True
    return meant


def _matches(pattern: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if "/" in pattern:
        try:
            return ip in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    return fnmatch.fnmatchcase(str(ip), pattern.replace("[", "[[]"))


def _with(options: Options, name: str, value: str, *, has_value: bool) -> Options:
    if name in _ALWAYS_SO or name in _NEVER_SO:
        return options
    match name:
        case "from" if value:
            sources = f"{options.sources},{value}" if options.sources else value
            return replace(options, sources=sources)
        case "expiry-time" if value:
            expires_ns = read_expiry(value)
            return replace(options, expires_ns=min(options.expires_ns or expires_ns, expires_ns))
        case "cert-authority":
            return replace(options, is_authority=True)
        case "principals" if value:
            return replace(options, principals=_principals(value))
        case "no-touch-required":
            return replace(options, needs_touch=False)
        case "command" if _SFTP_COMMAND.fullmatch(value.strip()):
            return options
        case "command":
            raise UsageError(
                f"a key with command={value!r} runs a program, which the gateway never does",
                hint="Take the option out.",
            )
        case _:
            known = 'from, expiry-time, restrict, cert-authority, principals, command="internal-sftp"'
            what = f"option {name} of a key" + ("" if has_value or not value else " without a value")
            raise UsageError(f"the {what} cannot be kept", hint=f"Kept: {known}.")


def _principals(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(","))
    if any(not name or set(name) & set('*?!"\\') or not name.isprintable() for name in names):
        raise UsageError(f"principals={value!r} cannot be kept", hint="Plain names with commas between them.")
    return names


def read_expiry(text: str) -> int:
    """`YYYYMMDD[HHMM[SS]]`, in the machine's time zone or, with Z behind it, in UTC; nanoseconds since the epoch.

    Raises:
        UsageError: it is none.
    """
    digits, zone = text.removesuffix("Z"), dt.UTC if text.endswith("Z") else None
    try:
        form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}[len(digits)]
        moment = dt.datetime.strptime(digits, form).replace(tzinfo=zone).astimezone(dt.UTC)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"expiry-time={text} is no time", hint="YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, and Z for UTC."
        ) from error
    return int(moment.timestamp()) * 1_000_000_000
