"""The AWS API models that ship with botocore, as a judge: also of enums and patterns, which botocore's own validation lets through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

Shape: TypeAlias = Any  # botocore.model.Shape; botocore is imported only when a model is asked for
_PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float, datetime),
    "blob": (bytes, str),
}


@cache
def service_model(service: str) -> Any:
    """The model of one service, e.g. `fsx`."""
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def request_problems(service: str, operation: str, parameters: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters of one call; nothing if the service would not complain about their shape."""
    shape = service_model(service).operation_model(operation).input_shape
    return [] if shape is None else list(_walk(shape, parameters, operation))


def response_problems(service: str, operation: str, answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with the answer to one call."""
    shape = service_model(service).operation_model(operation).output_shape
    return [] if shape is None else list(_walk(shape, answer, operation))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the model, which is Java's: its classes of letters, spaces and digits have other names here."""
    for theirs, ours in ((r"\p{L}", r"\w"), (r"\p{Z}", r"\s"), (r"\p{N}", r"\d")):
        pattern = pattern.replace(theirs, ours)
    return re.compile(f"^(?:{pattern})$")


def _walk(shape: Shape, value: Any, where: str) -> Iterator[str]:
    match shape.type_name:
        case "structure":
            yield from _structure(shape, value, where)
        case "list":
            if not isinstance(value, list | tuple):
                yield f"{where} must be a list"
                return
            yield from _bounds(shape, len(value), f"the length of {where}")
            for index, item in enumerate(value):
                yield from _walk(shape.member, item, f"{where}[{index}]")
        case "map":
            if not isinstance(value, Mapping):
                yield f"{where} must be a map"
                return
            for key, item in value.items():
                yield from _walk(shape.value, item, f"{where}.{key}")
        case _:
            yield from _plain(shape, value, where)


def _structure(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} must be a structure"
        return
    for name in shape.required_members:
        if name not in value:
            yield f"{where} needs {name}"
    for name, item in value.items():
        if name not in shape.members:
            yield f"{where} has no {name}"
        else:
            yield from _walk(shape.members[name], item, f"{where}.{name}")


def _plain(shape: Shape, value: Any, where: str) -> Iterator[str]:
    kinds = _PLAIN[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield f"{where} must be of type {shape.type_name}, not {value!r}"
    elif isinstance(value, str):
        yield from _bounds(shape, len(value), f"the length of {where}")
        choices = shape.metadata.get("enum")
        if choices and value not in choices:
            yield f"{where} is {value!r}, not one of {', '.join(choices)}"
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).search(value):
            yield f"{where} is {value!r}, which does not match {pattern}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _bounds(shape, value, where)


def _bounds(shape: Shape, size: float, where: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{where} is {size}, not between {low} and {high}"
