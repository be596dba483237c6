"""The rules of nftables as `nft -j list ruleset` prints them. Pure.

Understood: an input chain that drops, rules that accept the port, and source addresses of those rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakelink.gateway.takeover.fences import Fence, not_understood
from lakelink.gateway.takeover.words import network_of


def nftables(ruleset: Mapping[str, Any], ports: Sequence[int]) -> Fence:
    """`nft -j list ruleset`. Understood: an input chain that drops, rules that accept the port, and source addresses of those rules."""
    fence = Fence()
    chains, rules = [], []
    for item in ruleset.get("nftables", ()):
        if (chain := item.get("chain")) and chain.get("hook") == "input":
            chains.append(chain)
        if rule := item.get("rule"):
            rules.append(rule)
    lists: list[list[str]] = []
    for chain in chains:
        mine = [
            rule
            for rule in rules
            if all(
                rule.get(key) == chain.get(name)
                for key, name in (("family", "family"), ("table", "table"), ("chain", "name"))
            )
        ]
        lists.append(_nft_chain(fence, chain, mine, ports))
    others = {str(chain.get("name")) for chain in chains}
    for rule in rules:
        if rule.get("chain") not in others and (strange := _nft_rule(rule.get("expr", ()), ports)[0]) != "other":
            fence.findings.append(not_understood("nftables", f"{rule.get('chain')}: {strange}", rule.get("expr")))
    bounded = [one for one in lists if one]
    if len(bounded) > 1:
        fence.findings.append(not_understood("nftables", "several input chains have lists", bounded))
    fence.networks = bounded[0] if bounded else []
    return fence


def _nft_chain(
    fence: Fence, chain: Mapping[str, Any], rules: Sequence[Mapping[str, Any]], ports: Sequence[int]
) -> list[str]:
    networks: list[str] = []
    drops = chain.get("policy") == "drop"
    for rule in rules:
        kind, sources = _nft_rule(rule.get("expr", ()), ports)
        match kind:
            case "accept" if not sources:
                return []
            case "accept":
                networks += sources
            case "drop" if not sources:
                drops = True
                break
            case "other":
                continue
            case _:
                fence.findings.append(not_understood("nftables", kind, rule.get("expr")))
    return networks if drops else []


@dataclass(slots=True)
class _Rule:
    """What the expressions of a rule say, one after the other."""

    ports: Sequence[int]
    sources: list[str] = field(default_factory=list)
    is_of_port: bool = False
    is_elsewhere: bool = False  # it cannot concern a new connection to the port
    strange: str = ""
    verdict: str = ""

    def take(self, expression: Any) -> None:
        match expression:
            case {
                "match": {"op": "==" | "in", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}
            }:
                self.is_of_port = any(_nft_has(right, port) for port in self.ports)
                self.is_elsewhere = self.is_elsewhere or not self.is_of_port
            case {
                "match": {"op": "==", "left": {"payload": {"protocol": "ip" | "ip6", "field": "saddr"}}, "right": right}
            }:
                found = list(_nft_networks(right))
                self.strange = self.strange or ("" if found and all(found) else "a set of addresses")
                self.sources += [text for text in found if text]
            case {"match": matched} if _is_elsewhere(matched):
                self.is_elsewhere = True
            case {"match": {"left": {"ct": {"key": "state"}}}} | {"counter": _} | {"log": _}:
                pass
            case {"accept": _} | {"drop": _} | {"reject": _}:
                self.verdict = "accept" if "accept" in expression else "drop"
            case _:
                self.strange = self.strange or f"{next(iter(expression), '')} is not understood"

    @property
    def kind(self) -> str:
        """accept, drop, other (does not concern the port), or why it is not understood."""
        if self.is_elsewhere or not (self.verdict or self.is_of_port or self.strange):
            return "other"
        return self.strange or self.verdict or "no verdict"


def _is_elsewhere(matched: Any) -> bool:
    match matched:
        case {"left": {"meta": {"key": "iifname" | "iif"}}, "right": "lo"}:
            return True
        case {"left": {"ct": {"key": "state"}}, "right": right}:
            return "new" not in str(right)
        case {"left": {"payload": {"protocol": "udp" | "icmp" | "icmpv6"}}}:
            return True
        case {"left": {"meta": {"key": "l4proto"}}, "right": "udp" | "icmp" | "ipv6-icmp" | "icmpv6"}:
            return True
    return False


def _nft_rule(expressions: Sequence[Any], ports: Sequence[int]) -> tuple[str, list[str]]:
    rule = _Rule(ports)
    for expression in expressions:
        rule.take(expression)
    return rule.kind, rule.sources


def _nft_has(right: Any, port: int) -> bool:
    match right:
        case int():
            return right == port
        case {"set": list(items)}:
            return any(_nft_has(item, port) for item in items)
        case {"range": [int(first), int(last)]}:
            return first <= port <= last
        case str():
            return right == "ssh" and port == 22
        case _:
            return True


def _nft_networks(right: Any) -> Iterator[str]:
    match right:
        case str() if network := network_of(right):
            yield str(network)
        case {"prefix": {"addr": str(address), "len": int(length)}} if network := network_of(f"{address}/{length}"):
            yield str(network)
        case {"set": list(items)}:
            for item in items:
                yield from _nft_networks(item)
        case _:
            yield ""
