"""Writes the reference page from the tables that the checks use: `python -m lakelink.infra.reference > docs/infra/reference.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Final

from lakelink.infra import rules, spec
from lakelink.infra.meanings import MEANINGS
from lakelink.infra.network import ANYWHERE, INSIDE, flows
from lakelink.infra.userdata import SYSTEMS

SECTIONS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("[infra]", spec.LakeSpec),
    ("[infra.metadata_configuration]", spec.MetadataConfiguration),
    ("[infra.data_read_cache_configuration]", spec.ReadCache),
    ("[infra.bucket]", spec.BucketSpec),
    ("[infra.network]", spec.NetworkSpec),
    ("[[infra.associations]]", spec.Association),
    ("[infra.client]", spec.ClientSpec),
    ("[infra.events]", spec.EventsSpec),
    ("[infra.agent]", spec.AgentSpec),
    ("[[infra.transfer_users]]", spec.TransferUser),
)
_INTRODUCTION: Final = (
    "This page is written from the tables that `lakelink infra check` uses (`python -m lakelink.infra.reference`).\n"
    "Source: the FSx API model and the pages named in `lakelink/infra/rules.py`, read in November 2026."
)
_TABLES: Final = {kind for _, kind in SECTIONS[1:]}


def render() -> str:
    """The whole page."""
    parts = [
        "# Reference: the specification and what can be ordered",
        _INTRODUCTION,
        *_offerings(),
        *_limits(),
        *_ports(),
        "## Operating systems of the client",
        _table(
            ("`os`", "image", "packages"),
            [
                (f"`{name}`", "looked up" if one.image else "`ami` is required", _packages(name))
                for name, one in SYSTEMS.items()
            ],
        ),
        "## Keys",
    ]
    for title, kind in SECTIONS:
        parts += [f"### `{title}`", _keys(kind)]
    return "\n\n".join(parts) + "\n"


def _packages(name: str) -> str:
    system = SYSTEMS[name]
    if system.packages_in_s3:
        return "from S3: no internet needed"
    return "mirrors on port 80 (`http_out`) and 443" if system.http_mirrors else "mirrors on port 443"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _offerings() -> Iterator[str]:
    rows = []
    for row in rules.OFFERINGS:
        sizes = ", ".join([*(f"{first:,}" for first in row.firsts), f"multiples of {row.step_gib:,}"])
        capacity = sizes if row.step_gib else "elastic: none to choose"
        throughput = f"{row.throughput:,}" if row.throughput is not None else "none: must be absent"
        links = (
            "no"
            if row.deployment_type in rules.NO_ASSOCIATION_DEPLOYMENTS
            or row.storage_type in rules.NO_ASSOCIATION_STORAGE
            else "yes"
        )
        efa = f"{rules.EFA_STEP_GIB[row.throughput]:,}" if _takes_efa(row) and row.throughput else ""
        rows.append((row.deployment_type, row.storage_type, throughput, capacity, efa, links))
    yield "## What can be ordered"
    yield _table(
        ("deployment", "storage", "MB/s per TiB", "capacity, GiB", "with EFA, multiples of GiB", "associations"), rows
    )
    yield (
        "Throughput of the whole file system = capacity in GiB / 1,024 x MB/s per TiB. "
        f"Defaults: PERSISTENT_2, SSD, {rules.DEFAULT_THROUGHPUT['PERSISTENT_2', 'SSD']} MB/s per TiB, "
        f"{rules.DEFAULT_CAPACITY_GIB['SSD']:,} GiB, Lustre {rules.DEFAULT_VERSION}."
    )


def _takes_efa(row: rules.Offering) -> bool:
    return (row.deployment_type, row.storage_type) == ("PERSISTENT_2", "SSD")


def _limits() -> Iterator[str]:
    yield "## Limits"
    low, high = rules.CHUNK_MIB
    versions = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in rules.VERSIONS.items())
    firsts = ", ".join(f"{first:,}" for first in rules.METADATA_IOPS_FIRSTS)
    rows = [
        ("associations per file system", f"at most {rules.MAX_ASSOCIATIONS}; no path or prefix within another"),
        ("Lustre versions", versions),
        ("with a metadata configuration", f"Lustre {', '.join(rules.METADATA_VERSIONS)}"),
        ("with associations", f"Lustre {', '.join(rules.ASSOCIATION_VERSIONS)}; no backups"),
        ("imported file chunk", f"{low:,} to {high:,} MiB"),
        ("metadata IOPS", f"{firsts}, multiples of {rules.METADATA_IOPS_STEP:,} up to {rules.METADATA_IOPS_MAX:,}"),
        ("metadata IOPS, INTELLIGENT_TIERING", ", ".join(f"{iops:,}" for iops in rules.METADATA_IOPS_TIERING)),
        (
            "throughput capacity, INTELLIGENT_TIERING",
            f"multiples of {rules.TIERING_THROUGHPUT_STEP:,} MB/s up to {rules.TIERING_THROUGHPUT_MAX:,}",
        ),
        ("tags", f"at most {rules.MAX_TAGS}, four of them lakelink's"),
        (f"regions known on {rules.REGIONS_AS_OF}", ", ".join(rules.PERSISTENT_2_REGIONS)),
    ]
    yield _table(("what", "allowed"), rows)
    yield (
        "The list of regions is not complete: a region outside of it is a warning, and `known_regions` replaces the list."
    )


def _ports() -> Iterator[str]:
    shown = spec.LakeSpec(
        name="lab",
        region="eu-central-1",
        network=spec.NetworkSpec(interface_endpoints=("s3",)),
        agent=spec.AgentSpec(enabled=True),
    )
    rows = []
    for flow in flows(shown):
        peer = {ANYWHERE: "anywhere", INSIDE: "the VPC's own block"}.get(flow.peer, flow.peer)
        ports = str(flow.from_port) if flow.from_port == flow.to_port else f"{flow.from_port}-{flow.to_port}"
        rows.append((flow.group, "in from" if flow.ingress else "out to", peer, f"{flow.protocol} {ports}", flow.why))
    yield "## Who may talk to whom"
    yield _table(("group", "way", "peer", "ports", "why"), rows)
    yield "With `on_premises_cidrs` each of those networks reaches the endpoints as well; with EFA the pair of groups is open."


def _keys(kind: type[Any]) -> str:
    rows = [
        (f"`{field.name}`", _type(field), _default(field), MEANINGS[kind.__name__, field.name])
        for field in fields(kind)
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _type(field: Field[Any]) -> str:
    text = str(field.type).removesuffix(" | None")
    names = {"str": "text", "int": "whole number", "bool": "true or false", "tuple[str, ...]": "list of texts"}
    return names.get(text, "list of tables" if text.startswith("tuple") else "table")


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default
    if value is MISSING or type(value) in _TABLES or value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return ", ".join(f"`{item}`" for item in value) if isinstance(value, tuple) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(render())
