"""The settings file: found, read, and handed out section by section; every complaint names the file and the line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lakelink.errors import ConfigError

SECTIONS = ("locations", "links", "gateway", "infra", "store", "serve", "replicate", "task", "mount", "console")
VARIABLE = "LAKELINK_CONFIG"
SEARCHED = (Path("lakelink.toml"), Path("/etc/lakelink/lakelink.toml"))

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True, slots=True)
class Document:
    """A settings file as it was written; without a file, an empty one.

    `lines` maps the path of a table or key to its line; `text` is all of it, for a process that is to have the very same settings.
    """

    path: Path | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    text: str = ""

    def section(self, name: str) -> Mapping[str, Any]:
        """The raw table of a top-level section; empty where it is not written.

        Raises:
            ConfigError: it is written, but is not a table.
        """
        table = self.data.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"{self.where(name)}: {name} has to be a table", hint=f"Write [{name}] and keys below it."
            )
        return MappingProxyType(table)

    def where(self, *keys: str) -> str:
        """`file:line` of a key; of the nearest table around it where the line is not known."""
        for length in range(len(keys), 0, -1):
            if line := self.lines.get(keys[:length]):
                return f"{self.path}:{line}"
        return str(self.path or "no settings file")


def find_document(config: str | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read: `config`, else $LAKELINK_CONFIG, else ./lakelink.toml, else /etc/lakelink/lakelink.toml, else none.

    Raises:
        ConfigError: a file that was asked for by name is not there.
    """
    for asked, by in ((config, "--config"), (environ.get(VARIABLE), f"${VARIABLE}")):
        if asked:
            path = Path(asked)
            if not path.is_file():
                raise ConfigError(f"{by}: there is no settings file {asked}", hint="Check the path, or leave it out.")
            return path
    return next((path for path in SEARCHED if path.is_file()), None)


def load_document(config: str | None = None, environ: Mapping[str, str] = os.environ) -> Document:
    """Find and read the settings. Without a file the document is empty.

    Raises:
        ConfigError: the file is not there, not readable, not TOML, or has a section that nobody knows.
    """
    path = find_document(config, environ)
    if path is None:
        return Document()
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        hint = "Make it readable for this user."
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 at byte {error.start}", hint="Save it as UTF-8.") from error
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Document:
    """The document of a text.

    Raises:
        ConfigError: it is not TOML, or has a section that nobody knows.
    """
    import tomllib  # only who has settings pays for loading it

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        raise ConfigError(
            f"{place}: not valid TOML: {error}", hint="https://toml.io shows how values are written."
        ) from error
    document = Document(path, data, _lines(text), text)
    for name in data:
        if name not in SECTIONS:
            raise unknown_key(document, (name,), SECTIONS, "section")
    return document


def unknown_key(document: Document, keys: tuple[str, ...], known: Iterable[str], what: str = "setting") -> ConfigError:
    """The error of a key that nobody knows, naming the nearest known one."""
    known = sorted(known)
    near = nearest(keys[-1], known)
    hint = f"Did you mean {near}?" if near else f"Known here: {', '.join(known)}."
    return ConfigError(f"{document.where(*keys)}: unknown {what} {'.'.join(keys)}", hint=hint)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, if one is like it at all."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Lines of tables and keys. tomllib does not tell them; text inside multi-line strings is passed over."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not quote:
            if header := _HEADER.match(line):
                table = _parts(header[1])
                _note(lines, table, number)
            elif key := _KEY.match(line):
                _note(lines, table + _parts(key[1]), number)
        for mark in ('"""', "'''"):
            if line.count(mark) % 2 and quote in {"", mark}:
                quote = "" if quote else mark
    return lines


def _note(lines: dict[tuple[str, ...], int], keys: tuple[str, ...], number: int) -> None:
    """A dotted name makes the tables above it as well; each keeps the line where it is seen first."""
    for length in range(1, len(keys) + 1):
        lines.setdefault(keys[:length], number)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
