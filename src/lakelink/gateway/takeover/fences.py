"""Lists of addresses around the old server, and what all readers of them share; TCP wrappers and fail2ban. Pure: texts in, networks and findings out.

Only shapes that say "these may, nobody else" are translated. Everything else that concerns the port is a blocker with the rule in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakelink.gateway.takeover.facts import Finding, blocker
from lakelink.gateway.takeover.words import network_of

DAEMONS = {"sshd", "internal-sftp", "sftp-server", "ALL"}
EVERYWHERE = {"0.0.0.0/0", "::/0"}
SKIPPED = "this rule is left out: it does not hold here"


@dataclass(slots=True)
class Fence:
    """Who may reach the server. `networks` [] = anybody, None = nobody."""

    networks: list[str] | None = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def tcp_wrappers(allow: str, deny: str) -> Fence:
    """hosts.allow and hosts.deny (hosts_access(5)): the first line that matches decides, allow before deny, and who is in neither may."""
    fence = Fence()
    allowed = list(_wrapped(fence, "hosts.allow", allow))
    denied = list(_wrapped(fence, "hosts.deny", deny))
    if not denied:
        return fence
    if denied != ["ALL"]:
        fence.findings.append(
            blocker(
                "fence:hosts.deny",
                f"hosts.deny keeps out {', '.join(denied)}",
                hint="The gateway has lists of who may, not of who may not.",
                accepting=SKIPPED,
            )
        )
        return fence
    if "ALL" in allowed:
        return fence
    fence.networks = [str(network) for pattern in allowed if (network := _wrapper_network(pattern))] or None
    strange = [pattern for pattern in allowed if not _wrapper_network(pattern)]
    if strange:
        fence.findings.append(
            blocker(
                "fence:hosts.allow",
                f"hosts.allow names {', '.join(strange)}, which is no network",
                accepting="these clients are left out of the list",
            )
        )
    return fence


def _wrapped(fence: Fence, file: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        rule = line.split("#", 1)[0].strip()
        if not rule:
            continue
        daemons, colon, rest = rule.partition(":")
        names = re.split(r"[,\s]+", daemons.strip())
        if not DAEMONS & {name.split("@")[0] for name in names}:
            continue
        # A colon inside of [ ] belongs to an IPv6 address.
        clients, more = _clients(rest)
        words = [word for word in re.split(r"[,\s]+", clients) if word]
        if not colon or "EXCEPT" in (*names, *words) or more not in {"", "allow"} or not words or "@" in daemons:
            fence.findings.append(
                blocker(f"fence:{file}:{number}", f"{file}: {rule!r} is not understood", accepting=SKIPPED)
            )
            continue
        yield from words


def _clients(rest: str) -> tuple[str, str]:
    parts, depth = [""], 0
    for char in rest:
        depth += (char == "[") - (char == "]")
        if char == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts[0].strip(), ":".join(parts[1:]).strip().lower()


def _wrapper_network(pattern: str) -> str | None:
    """`10.1.` is 10.1.0.0/16; `10.1.0.0/255.255.0.0` is a network too; `[2001:db8::]/32` is IPv6."""
    if re.fullmatch(r"(\d+\.){1,3}", pattern):
        pattern += "*"
    network = network_of(pattern.replace("[", "").replace("]", ""))
    return str(network) if network else None


def fail2ban(texts: Sequence[str]) -> list[str]:
    """Networks of `ignoreip`: who is never banned."""
    found = []
    for text in texts:
        for match in re.finditer(r"^\s*ignoreip\s*=\s*(.*(?:\n[ \t]+\S.*)*)", text, re.MULTILINE):
            found += [str(network) for word in re.split(r"[,\s]+", match[1]) if word and (network := network_of(word))]
    return list(dict.fromkeys(found))


def port_in(value: str, port: int) -> bool:
    """Whether a list as iptables writes it (`22,2200:2300`, `ssh`) has the port."""
    for part in value.split(","):
        first, colon, last = part.partition(":")
        if part == "ssh" and port == 22:
            return True
        end = last if last.isdecimal() else "65535" if colon else first
        if first.isdecimal() and int(first) <= port <= int(end):
            return True
    return False


def not_understood(subject: str, why: str, rule: Any) -> Finding:
    """The blocker of a firewall's rule; its name stays the same as long as the rule does."""
    short = hashlib.sha256(str(rule).encode()).hexdigest()[:8]
    return blocker(
        f"fence:{subject}:{short}",
        f"{subject}: {why}: {rule}",
        hint="A firewall in front of the gateway can go on doing this.",
        accepting="the gateway does not know this rule; a firewall has to go on keeping it",
    )
