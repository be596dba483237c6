"""The resource graph of a program, as a value: what would be made, after what, and from what. Text, JSON and Mermaid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

UNKNOWN: Final = "<known after creation>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One registered resource. `after` is every resource it waits for; `uses` says which inputs come from which of them."""

    name: str
    type: str
    inputs: Mapping[str, Any]
    after: tuple[str, ...] = ()
    uses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parent: str = ""
    custom: bool = True
    protect: bool = False
    retain: bool = False
    ignores: tuple[str, ...] = ()
    timeouts: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The last part of the type: `LustreFileSystem`, `Bucket` …"""
        return self.type.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question to the account that the program asks."""

    token: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """All resources in an order in which they can be made, the lookups, and the exported outputs."""

    nodes: tuple[Node, ...]
    lookups: tuple[Lookup, ...] = ()
    outputs: tuple[str, ...] = ()

    def of(self, kind: str) -> list[Node]:
        """The resources of one kind."""
        return [node for node in self.nodes if node.kind == kind]

    def one(self, kind: str) -> Node:
        """The only resource of a kind."""
        (node,) = self.of(kind)
        return node

    def named(self, name: str) -> Node:
        """The resource of that name."""
        return next(node for node in self.nodes if node.name == name)

    def waits_for(self, name: str) -> set[str]:
        """Everything that is made before a resource, through any number of steps."""
        found: set[str] = set()
        queue = [name]
        while queue:
            for dependency in self.named(queue.pop()).after:
                if dependency not in found:
                    found.add(dependency)
                    queue.append(dependency)
        return found

    def types(self) -> list[str]:
        """The types of all resources and lookups, without repetition."""
        return sorted({node.type for node in self.nodes} | {look.token for look in self.lookups})


def ordered(nodes: Mapping[str, Node]) -> tuple[Node, ...]:
    """The nodes after what they wait for, by name among equals: the same program always gives the same order."""
    done: dict[str, Node] = {}
    while len(done) < len(nodes):
        ready = sorted(
            name
            for name, node in nodes.items()
            if name not in done and all(needed in done for needed in node.after if needed in nodes)
        )
        if not ready:
            raise ValueError(f"resources wait for each other: {', '.join(sorted(set(nodes) - set(done)))}")
        done |= {name: nodes[name] for name in ready}
    return tuple(done.values())


def as_json(graph: Graph) -> str:
    """The graph as one documented JSON document."""
    document = {
        "resources": [_node(node) for node in graph.nodes if node.custom],
        "lookups": [{"token": look.token, "arguments": dict(look.arguments)} for look in graph.lookups],
        "outputs": list(graph.outputs),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _node(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": node.name,
        "type": node.type,
        "inputs": dict(node.inputs),
        "after": list(node.after),
        "uses": {key: list(value) for key, value in node.uses.items()},
    }
    flags = {
        "protect": node.protect,
        "retain_on_delete": node.retain,
        "ignore_changes": list(node.ignores),
        "timeouts": dict(node.timeouts),
    }
    return found | {key: value for key, value in flags.items() if value}


def direct(graph: Graph, node: Node) -> list[str]:
    """What a resource waits for, without what is implied by something else that it waits for."""
    implied = {far for near in node.after for far in graph.waits_for(near)}
    return [needed for needed in node.after if needed not in implied]


def as_text(graph: Graph) -> str:
    """One line per resource, in the order in which they are made; the rules of security groups are counted, not named."""
    rules = {node.name for node in graph.nodes if node.kind.startswith("SecurityGroup") and node.kind.endswith("Rule")}
    lines = []
    for number, node in enumerate((node for node in graph.nodes if node.custom), start=1):
        needed = direct(graph, node)
        words = [name for name in needed if name not in rules]
        if count := len(needed) - len(words):
            words.append(f"{count} security-group rule{'s' if count > 1 else ''}")
        marks = " [protected]" if node.protect else ""
        lines.append(f"{number:3} {node.name} ({node.kind}){marks}{'  after ' if words else ''}{', '.join(words)}")
    lines += [f"  ? {look.token.rpartition(':')[2]} {json.dumps(dict(look.arguments))}" for look in graph.lookups]
    return "\n".join(lines) + "\n"


def as_mermaid(graph: Graph) -> str:
    """A flowchart: an arrow leads from what is made first to what waits for it. Edges implied by longer ways are left out."""
    places = {node.name: f"n{index}" for index, node in enumerate(graph.nodes) if node.custom}
    lines = ["flowchart LR"]
    shown = [node for node in graph.nodes if node.custom]
    lines += [f'  {places[node.name]}["{node.name}<br/>{node.kind}"]' for node in shown]
    lines += [
        f"  {places[needed]} --> {places[node.name]}"
        for node in shown
        for needed in direct(graph, node)
        if needed in places
    ]
    return "\n".join(lines) + "\n"
