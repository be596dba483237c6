"""The rules of iptables as `iptables-save` prints them. Pure. The INPUT chain of the filter table counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lakelink.gateway.takeover.fences import Fence, not_understood, port_in
from lakelink.gateway.takeover.words import network_of, split

_PLAIN = {
    "-m", "--match", "--comment", "--ctstate", "--state", "--reject-with", "--log-prefix", "--log-level", "--syn",
}  # fmt: skip
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "LOG": "other"}


def iptables(saved: str, ports: Sequence[int]) -> Fence:
    """`iptables-save`: the INPUT chain of the filter table."""
    fence = Fence()
    table, drops, networks, decided = "", False, list[str](), False
    for number, line in enumerate(saved.splitlines(), 1):
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "filter" and line.startswith(":INPUT"):
            drops = line.split()[1:2] == ["DROP"]
        elif table == "filter" and line.startswith("-A INPUT") and not decided:
            kind, sources = _iptables_rule(split(line)[2:], ports)
            if kind == "accept" and not sources:
                return fence
            if kind == "accept":
                networks += sources
            elif kind == "drop" and not sources:
                drops = decided = True
            elif kind != "other":
                fence.findings.append(not_understood(f"iptables:{number}", kind, line))
        elif table == "filter" and line.startswith("-A ") and _mentions(line, ports):
            fence.findings.append(not_understood(f"iptables:{number}", "a chain of its own", line))
    fence.networks = networks if drops else []
    return fence


@dataclass(slots=True)
class _Rule:
    ports: Sequence[int]
    sources: list[str] = field(default_factory=list)
    is_elsewhere: bool = False
    strange: str = ""
    verdict: str = ""

    def take(self, word: str, value: str) -> None:
        match word:
            case "-s" | "--source":
                found = [network_of(part) for part in value.split(",")]
                self.strange = self.strange or ("" if all(found) else f"{word} {value}")
                self.sources += [str(network) for network in found if network]
            case "--dport" | "--dports" | "--destination-port":
                self.is_elsewhere = self.is_elsewhere or not any(port_in(value, port) for port in self.ports)
            case "-p" | "--protocol":
                self.is_elsewhere = self.is_elsewhere or value not in {"tcp", "all"}
            case "-i" | "--in-interface" if value == "lo":
                self.is_elsewhere = True
            case "--ctstate" | "--state" if "NEW" not in value:
                self.is_elsewhere = True
            case "-j" | "--jump":
                self.verdict = _VERDICTS.get(value, f"-j {value}")
            case _ if word not in _PLAIN:
                self.strange = self.strange or f"{word} {value}".strip()

    @property
    def kind(self) -> str:
        """accept, drop, other (does not concern the port), or why it is not understood."""
        if self.is_elsewhere or self.verdict == "other":
            return "other"
        return f"{self.strange} is not understood" if self.strange else self.verdict or "no verdict"


def _iptables_rule(words: Sequence[str], ports: Sequence[int]) -> tuple[str, list[str]]:
    rule = _Rule(ports)
    queue = list(words)
    while queue:
        word = queue.pop(0)
        is_inverted = word == "!"
        if is_inverted:
            word = f"! {queue.pop(0) if queue else ''}"
        value = queue.pop(0) if queue and not queue[0].startswith("-") and queue[0] != "!" else ""
        rule.take(word, value)
    return rule.kind, rule.sources


def _mentions(line: str, ports: Sequence[int]) -> bool:
    return any(re.search(rf"--dports? \S*\b{port}\b", line) for port in ports)
