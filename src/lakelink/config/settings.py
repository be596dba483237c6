"""Typed settings out of raw tables. Every value knows where it came from; what nobody asked for is an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lakelink.config.document import Document, nearest, unknown_key
from lakelink.errors import ConfigError
from lakelink.model import units

T = TypeVar("T")
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and its origin: `file:line key`, `$VARIABLE`, or `default`."""

    value: T
    origin: str = DEFAULT

    @property
    def is_default(self) -> bool:
        return self.origin == DEFAULT


class Section:
    """One table, read key by key with the type each has. Call `finish` when all known keys were asked for.

    With `variable`, that environment variable wins over the file: the operator overrides it for one run.
    Every method raises ConfigError where the value is not of its type; the message names the setting and where it came from.
    """

    def __init__(
        self, document: Document, keys: tuple[str, ...], table: Any, environ: Mapping[str, str] = os.environ
    ) -> None:
        if not isinstance(table, Mapping):
            raise ConfigError(f"{document.where(*keys)}: {'.'.join(keys)} has to be a table")
        self._document = document
        self._keys = keys
        self._table = table
        self._environ = environ
        self._known: set[str] = set()

    def text(self, key: str, default: str = "", *, variable: str = "") -> Setting[str]:
        return self._setting(key, default, variable, _text)

    def listen(self, key: str, *, variable: str = "") -> Setting[str]:
        """Where to listen: text, or a port as a bare number."""
        return self._setting(key, "", variable, _quantity)

    def flag(self, key: str, default: bool = False, *, variable: str = "") -> Setting[bool]:
        return self._setting(key, default, variable, _flag)

    def integer(self, key: str, default: int, *, minimum: int = 0, variable: str = "") -> Setting[int]:
        def read(raw: Any) -> int:
            number = int(raw) if isinstance(raw, str) and raw.isdecimal() else raw
            if not isinstance(number, int) or isinstance(number, bool) or number < minimum:
                raise ValueError(f"has to be a whole number, at least {minimum}")
            return number

        return self._setting(key, default, variable, read)

    def choice(self, key: str, choices: Sequence[str], default: str, *, variable: str = "") -> Setting[str]:
        def read(raw: Any) -> str:
            if raw not in choices:
                near = nearest(str(raw), choices)
                raise ValueError(f"has to be one of {', '.join(choices)}" + (f"; did you mean {near}?" if near else ""))
            return str(raw)

        return self._setting(key, default, variable, read)

    def size_bytes(self, key: str, default: int, *, variable: str = "") -> Setting[int]:
        """Bytes: a number, or text as `units.parse_bytes` reads it."""
        return self._setting(key, default, variable, lambda raw: units.parse_bytes(_quantity(raw)))

    def rate_bytes_per_s(self, key: str, default: int | None = None, *, variable: str = "") -> Setting[int | None]:
        return self._setting(key, default, variable, lambda raw: units.parse_rate(_quantity(raw)))

    def duration_s(self, key: str, default: float, *, variable: str = "") -> Setting[float]:
        return self._setting(key, default, variable, lambda raw: units.parse_duration(_text(raw)))

    def texts(self, key: str, default: tuple[str, ...] = ()) -> Setting[tuple[str, ...]]:
        return self._setting(key, default, "", lambda raw: tuple(_text(item) for item in _list(raw)))

    def has(self, key: str) -> bool:
        """Whether the file writes the key."""
        return key in self._table

    def where(self, key: str) -> str:
        """`file:line section.key`, for errors."""
        return f"{self._document.where(*self._keys, key)}: {'.'.join((*self._keys, key))}"

    def finish(self) -> None:
        """Everything that is written was asked for.

        Raises:
            ConfigError: a key that nobody knows, with the nearest known one.
        """
        for key in self._table:
            if key not in self._known:
                raise unknown_key(self._document, (*self._keys, key), self._known)

    def _setting(self, key: str, default: T, variable: str, read: Callable[[Any], T]) -> Setting[T]:
        self._known.add(key)
        if variable and variable in self._environ:
            raw, origin, where = self._environ[variable], f"${variable}", f"${variable}"
        elif key in self._table:
            raw, where = self._table[key], self.where(key)
            origin = where.replace(": ", " ", 1)
        else:
            return Setting(default)
        try:
            return Setting(read(raw), origin)
        except ValueError as error:
            raise ConfigError(
                f"{where} {error}", hint="docs/reference/configuration.md lists every setting."
            ) from error


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("has to be text in quotes")  # noqa: TRY004  # a ValueError, as from all readers
    return raw


def _flag(raw: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    flag = words.get(raw.lower()) if isinstance(raw, str) else raw
    if not isinstance(flag, bool):
        raise ValueError("has to be true or false")  # noqa: TRY004
    return flag


def _quantity(raw: Any) -> str:
    return str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else _text(raw)


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise ValueError("has to be a list")  # noqa: TRY004
    return raw
