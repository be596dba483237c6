"""`[[gateway.workflows]]`: what happens to files that have arrived."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lakelink.config.document import Document
from lakelink.config.locations import NAME
from lakelink.config.private import read_secret
from lakelink.config.secret import Secret
from lakelink.config.settings import Section
from lakelink.errors import ConfigError

STEPS = ("tag", "run", "webhook", "copy", "move")
"""The steps of a workflow, in the order in which they are done."""
PLACEHOLDERS = frozenset({"user", "path", "name", "relative", "url", "file", "size", "job", "date"})
MOST_WORKFLOWS = 100
MOST_TAGS = 10  # of an object (Amazon S3 user guide, object tagging)
LONGEST_TIMEOUT_S = 24 * 3600.0
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One table, checked. `steps` are those of STEPS that it has."""

    name: str
    steps: tuple[str, ...]
    users: tuple[str, ...] = ("*",)
    folder: str = "/"
    files: tuple[str, ...] = ("*",)
    run: tuple[str, ...] = ()
    webhook: str = ""
    webhook_secret: Secret = field(default_factory=lambda: Secret(""))
    ca_bundle: str = ""
    copy: str = ""
    move: str = ""
    tag: Mapping[str, str] = field(default_factory=dict)
    replaces: bool = False
    timeout_s: float = 300.0
    attempts: int = 8


def read_workflows(document: Document, environ: Mapping[str, str] = os.environ) -> tuple[Workflow, ...]:
    """The workflows in the order of the file.

    Raises:
        ConfigError: one of them is wrong; the message names the setting.
    """
    tables = document.section("gateway").get("workflows", [])
    if not isinstance(tables, list) or len(tables) > MOST_WORKFLOWS:
        where = document.where("gateway", "workflows")
        raise ConfigError(
            f"{where}: has to be a list of tables, at most {MOST_WORKFLOWS}", hint="[[gateway.workflows]]"
        )
    found = tuple(_read(document, table, environ) for table in tables)
    names = [workflow.name for workflow in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two workflows are called {name}", hint="Records are kept by name: give each its own.")
    return found


def _read(document: Document, table: Any, environ: Mapping[str, str]) -> Workflow:
    section = Section(document, ("gateway", "workflows"), _without_tag(table))
    name = section.text("name")
    if not NAME.fullmatch(name.value):
        raise ConfigError(
            f"{section.where('name')} has to be letters, digits, - and _", hint='For example name = "notify".'
        )
    workflow = Workflow(
        name=name.value,
        steps=tuple(step for step in STEPS if step in table),
        users=section.texts("users", ("*",)).value,
        folder=_folder(section),
        files=section.texts("files", ("*",)).value,
        run=_run(section),
        webhook=section.text("webhook").value,
        webhook_secret=read_secret(section, "webhook_secret", "the secret", environ),
        ca_bundle=section.text("ca_bundle").value,
        copy=_target(section, "copy"),
        move=_target(section, "move"),
        tag=_tag(section, table.get("tag", {})),
        replaces=section.flag("replace").value,
        timeout_s=_timeout(section),
        attempts=section.integer("attempts", 8, minimum=1).value,
    )
    section.finish()
    if not workflow.steps:
        raise ConfigError(
            f"{section.where('name')}: workflow {name.value} does nothing", hint=f"It needs one of {', '.join(STEPS)}."
        )
    return workflow


def _folder(section: Section) -> str:
    folder = section.text("folder", "/")
    if not folder.value.startswith("/") or posixpath.normpath(folder.value) != folder.value or folder.value[:2] == "//":
        raise ConfigError(f"{folder.origin} has to be an absolute virtual directory", hint='For example "/incoming".')
    return folder.value


def _timeout(section: Section) -> float:
    timeout = section.duration_s("timeout", 300.0)
    if not 0 < timeout.value <= LONGEST_TIMEOUT_S:
        raise ConfigError(f"{timeout.origin} has to be above zero and at most 24h")
    return timeout.value


def _run(section: Section) -> tuple[str, ...]:
    words = section.texts("run").value
    if section.has("run") and (not words or not words[0].startswith("/")):
        raise ConfigError(
            f"{section.where('run')} has to begin with the absolute path of a program",
            hint='run = ["/usr/local/bin/arrived", "{path}"]',
        )
    for word in words:
        _check_placeholders(section, "run", word)
    return words


def _target(section: Section, key: str) -> str:
    target = section.text(key).value
    _check_placeholders(section, key, target)
    if section.has(key) and (not target or target.startswith("{")):
        raise ConfigError(
            f"{section.where(key)} has to begin with a location",
            hint='For example "s3://lake/archive/{user}/{relative}".',
        )
    return target


def _check_placeholders(section: Section, key: str, text: str) -> None:
    for word in _PLACEHOLDER.findall(text):
        if word not in PLACEHOLDERS:
            known = ", ".join(sorted(PLACEHOLDERS))
            raise ConfigError(f"{section.where(key)}: {{{word}}} is not known", hint=f"Known: {known}.")


def _without_tag(table: Any) -> Any:
    """Names of tags are nobody's settings."""
    return {key: value for key, value in table.items() if key != "tag"} if isinstance(table, Mapping) else table


def _tag(section: Section, raw: Any) -> dict[str, str]:
    is_table = isinstance(raw, dict) and len(raw) <= MOST_TAGS
    if not is_table or not all(
        isinstance(value, str) and len(value) <= 256 and 0 < len(key) <= 128 for key, value in raw.items()
    ):
        raise ConfigError(
            f"{section.where('tag')} has to be a table of up to {MOST_TAGS} texts", hint='tag = { status = "new" }'
        )
    return dict(raw)
