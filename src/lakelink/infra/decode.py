"""From a table of the configuration file to a specification: every unknown key and wrong type is named, all at once."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from lakelink.errors import ConfigError
from lakelink.infra.spec import LakeSpec

T = TypeVar("T")
_NAMES = {str: "a text", int: "a whole number", bool: "true or false"}


def decode(table: Mapping[str, Any], *, where: str = "[infra]") -> LakeSpec:
    """The specification that `table` holds. Types and names are right afterwards; whether AWS offers it is `check`'s question.

    Raises:
        ConfigError: unknown keys (the nearest known one is named), wrong types, missing keys; all of them in one message.
    """
    problems: list[str] = []
    spec = _record(LakeSpec, table, where, problems)
    if problems or spec is None:
        raise ConfigError(
            "; ".join(problems), hint="The keys and their meaning are in docs/infra/reference.md; nothing was touched."
        )
    return spec


def _record(kind: type[T], table: Mapping[str, Any], where: str, problems: list[str]) -> T | None:
    """One table as a dataclass; None if something is wrong with it, which is then in `problems`."""
    before = len(problems)
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # every caller passes a dataclass
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            problems.append(f"{where} does not know {key!r}; {meant}")
    for name, field in known.items():
        if name not in table and field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{where} needs {name!r}")
    values = {name: _value(hints[name], table[name], f"{where} {name}", problems) for name in known if name in table}
    return kind(**values) if len(problems) == before else None


def _value(hint: Any, raw: Any, where: str, problems: list[str]) -> Any:
    """One value as its declared type; None if it is wrong, which is then in `problems`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        inner = next(arm for arm in arguments if arm is not types.NoneType)
        return _value(inner, raw, where, problems)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(raw, Mapping):
        return _record(hint, raw, where, problems)
    if origin is tuple and isinstance(raw, list):
        return tuple(_value(arguments[0], item, f"{where}[{index}]", problems) for index, item in enumerate(raw))
    if origin is Mapping and isinstance(raw, Mapping) and all(isinstance(item, str) for item in raw.values()):
        return dict(raw)
    # bool is a subclass of int: `storage_capacity_gib = true` must not become 1.
    if type(raw) is hint:
        return raw
    wanted = {tuple: "a list", Mapping: "a table of texts"}.get(origin) if origin else _NAMES.get(hint, "a table")
    problems.append(f"{where} must be {wanted}, not {raw!r}")
    return None
