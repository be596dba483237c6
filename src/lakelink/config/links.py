"""`[links.NAME]`: a link as it is declared. Checked word by word; whether links overlap is the registry's question."""

from __future__ import annotations

import os
from typing import Any

from lakelink.config.document import Document, nearest
from lakelink.config.locations import NAME
from lakelink.config.settings import Section
from lakelink.errors import ConfigError
from lakelink.model import units
from lakelink.model.link import ALL_EVENTS, ConflictRule, Event, Rule
from lakelink.model.linkspec import Lazy, LinkSpec, Pace, Refresh, Room, Safety, Transport

LONGEST_NAME = 63
SHORTEST_INTERVAL_S = 1.0
_SCHEMES_OF_A_LAKE = ("s3://", "memory:")
_PACE, _SAFETY, _LAZY = Pace(), Safety(), Lazy()


def declared(document: Document) -> list[LinkSpec]:
    """The links that the settings declare, in the order of the file, with `declared` set. Their `ident` is empty: the registry gives it.

    Raises:
        ConfigError: a section is wrong; the message names the setting, the file and the line, the hint the nearest known word.
    """
    return [_read_link(document, name, table) for name, table in document.section("links").items()]


def events_of(words: str | list[str] | tuple[str, ...]) -> frozenset[Event]:
    """A policy as people write it: "new,changed", ["new", "deleted"], "all", "none"; [] is none.

    Raises:
        ValueError: a word that is no event, with the nearest.
    """
    listed = [word.strip() for word in words.split(",")] if isinstance(words, str) else list(words)
    if listed in (["none"], []):
        return frozenset()
    if listed == ["all"]:
        return ALL_EVENTS
    known = [event.value for event in Event]
    for word in listed:
        if word not in known:
            near = nearest(word, [*known, "all", "none"])
            raise ValueError(
                f"knows {', '.join(known)}, or all or none alone, not {word!r}"
                + (f"; did you mean {near}?" if near else "")
            )
    return frozenset(Event(word) for word in listed)


def check_name(name: str) -> None:
    """A name that commands, directories and labels can hold.

    Raises:
        ValueError: it is none.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ValueError(f"a link cannot be called {name!r}; letters, digits, - and _, at most {LONGEST_NAME}")


def _read_link(document: Document, name: str, table: Any) -> LinkSpec:
    keys = ("links", name)
    try:
        check_name(name)
    except ValueError as error:
        raise ConfigError(
            f"{document.where(*keys)}: {error}", hint="The name is what follows links. in the header."
        ) from error
    section = Section(document, keys, table)
    spec = LinkSpec(
        name=name,
        ident="",
        files=_files(section),
        lake=_lake(section),
        rule=Rule(_policy(section, table, "import"), _policy(section, table, "export"), _conflict(section)),
        filters=_filters(section),
        transport=_transport(section),
        pace=_pace(section),
        safety=_safety(section, table),
        events=section.text("events").value,
        accept_unconditional=section.flag("accept_unconditional_writes").value,
        lazy=_lazy(section),
        declared=True,
    )
    section.finish()
    return spec


def _files(section: Section) -> str:
    files = section.text("files").value
    if not files:
        raise ConfigError(f"{section.where('files')} is missing", hint='For example files = "/srv/logs".')
    name, colon, _ = files.partition(":")
    named = bool(colon) and "/" not in name and bool(NAME.fullmatch(name))
    if files.startswith(("s3://", "memory:")):
        raise ConfigError(f"{section.where('files')} has to be a directory, not {files}", hint="The store is `lake`.")
    if not files.startswith(("/", "file:///")) and not named:
        raise ConfigError(
            f"{section.where('files')} has to be an absolute path, not {files!r}",
            hint="A daemon is started from anywhere: what a relative path means would change.",
        )
    return files if named or files.startswith("file:") else os.path.abspath(files)  # noqa: PTH100  # no link is resolved


def _lake(section: Section) -> str:
    lake = section.text("lake").value
    if not lake:
        raise ConfigError(f"{section.where('lake')} is missing", hint='For example lake = "s3://bucket/prefix".')
    name, colon, _ = lake.partition(":")
    if not lake.startswith(_SCHEMES_OF_A_LAKE) and not (colon and NAME.fullmatch(name)):
        raise ConfigError(
            f"{section.where('lake')} has to be s3://BUCKET/PREFIX or NAME:PREFIX, not {lake!r}",
            hint="NAME is a [locations.NAME] section.",
        )
    return lake


def _policy(section: Section, table: Any, key: str) -> frozenset[Event]:
    if isinstance(table.get(key), str):
        words: str | tuple[str, ...] = section.text(key).value
    else:
        words = section.texts(key, ("all",)).value
    try:
        return events_of(words)
    except ValueError as error:
        raise ConfigError(f"{section.where(key)} {error}", hint='For example ["new", "changed"].') from error


def _conflict(section: Section) -> ConflictRule:
    rules = [rule.value for rule in ConflictRule]
    return ConflictRule(section.choice("conflict", rules, ConflictRule.KEEP_BOTH).value)


def _filters(section: Section) -> tuple[str, ...]:
    """`exclude`, then `include`, which takes back in, then the lines of `filter`, in which both can be mixed. The last match wins."""
    lines = []
    for key in ("exclude", "include", "filter"):
        for line in section.texts(key).value:
            if not line.strip() or "\n" in line:
                raise ConfigError(
                    f"{section.where(key)} has an empty pattern, or one of two lines", hint='For example "*.tmp".'
                )
            literal = (
                key != "filter" and line[0] in "!#"
            )  # only a line of `filter` is a comment or takes back in by itself
            lines.append(("!" if key == "include" else "") + ("\\" if literal else "") + line)
    return tuple(lines)


def _transport(section: Section) -> Transport:
    sse = section.text("sse").value
    if sse and sse not in {"AES256", "aws:kms"} and not sse.startswith("aws:kms:"):
        raise ConfigError(f"{section.where('sse')} has to be AES256, aws:kms or aws:kms:KEY, not {sse!r}")
    concurrency = section.integer("concurrency", 0, minimum=1)
    return Transport(
        bandwidth_bytes_per_s=section.rate_bytes_per_s("bandwidth").value,
        concurrency=None if concurrency.is_default else concurrency.value,
        storage_class=section.text("storage_class").value,
        sse=sse,
    )


def _pace(section: Section) -> Pace:
    return Pace(
        quiet_s=section.duration_s("quiet", _PACE.quiet_s).value,
        scan_interval_s=_interval(section, "scan_interval", _PACE.scan_interval_s),
        list_interval_s=_interval(section, "list_interval", _PACE.list_interval_s),
    )


def _interval(section: Section, key: str, default_s: float) -> float:
    seconds = section.duration_s(key, default_s).value
    if seconds < SHORTEST_INTERVAL_S:
        shortest = units.format_duration(SHORTEST_INTERVAL_S)
        raise ConfigError(f"{section.where(key)} has to be at least {shortest}", hint='For example "5m".')
    return seconds


def room_of(text: str) -> Room:
    """A part of a file system as people write it: "20%", or a size such as "100GiB".

    Raises:
        ValueError: it is neither.
    """
    if text.strip().endswith("%"):
        return Room(percent=units.parse_percent(text))
    return Room(size_bytes=units.parse_bytes(text))


def _lazy(section: Section) -> Lazy | None:
    """`lazy = true`, and how files are held then."""
    wanted = section.flag("lazy").value
    keep_free, free_up_to = _room(section, "keep_free", _LAZY.keep_free), _room(section, "free_up_to", _LAZY.free_up_to)
    after_s = section.duration_s("release_after", -1.0)
    refresh = Refresh(section.choice("refresh", [each.value for each in Refresh], Refresh.STUB).value)
    lazy = Lazy(
        keep_free=keep_free,
        free_up_to=free_up_to,
        release_after_s=None if after_s.is_default else after_s.value,
        refresh=refresh,
    )
    if not wanted and lazy != _LAZY:
        raise ConfigError(
            f"{section.where('lazy')} is not true: keep_free, free_up_to, release_after and refresh are for lazy links",
            hint="Write lazy = true, or take them out.",
        )
    return lazy if wanted else None


def _room(section: Section, key: str, default: Room) -> Room:
    text = section.text(key).value
    if not text:
        return default
    try:
        return room_of(text)
    except ValueError as error:
        raise ConfigError(f"{section.where(key)} {error}", hint='For example "20%" or "100GiB".') from error


def _safety(section: Section, table: Any) -> Safety:
    percent, count = _SAFETY.max_delete_percent, _SAFETY.max_delete_count
    if isinstance(table.get("max_delete"), int):
        percent, count = 0.0, section.integer("max_delete", count).value
    elif text := section.text("max_delete").value:
        try:
            percent = units.parse_percent(text)
        except ValueError as error:
            raise ConfigError(
                f"{section.where('max_delete')} {error}", hint="A number of paths is written without quotes."
            ) from error
    return Safety(
        max_delete_percent=percent,
        max_delete_count=count,
        trash_keep_s=section.duration_s("trash_keep", _SAFETY.trash_keep_s).value,
        trash_max_bytes=section.size_bytes("trash_max", _SAFETY.trash_max_bytes).value,
    )
