"""Small XML answers and requests: records out, records in. Listings have their own fast parser in `list_xml`."""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape, unescape
from xml.parsers import expat

from lakelink.errors import StorageError

# XML 1.0, production Char: these cannot be written at all, not even as references.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search


def can_be_written(text: str) -> bool:
    """Whether XML 1.0 has a way to write this text."""
    return _UNWRITABLE(text) is None


def escaped(text: str) -> str:
    """The text as element content; white space that a parser would normalise is written as references."""
    return escape(text).replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")


def records(body: bytes, names: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """Each element below the root whose name is in `names`, in order, with the text of its children by name.

    Raises:
        StorageError: not XML, or cut short.
    """
    found: list[tuple[str, dict[str, str]]] = []
    depth = 0
    text: list[str] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        text.clear()
        if depth == 2 and name in names:
            found.append((name, {}))

    def end(name: str) -> None:
        nonlocal depth
        if depth == 3 and found:
            found[-1][1].setdefault(name, "".join(text))
        depth -= 1
        text.clear()

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise StorageError(f"the answer is not XML: {error}") from error
    return found


def element(body: bytes, name: str) -> str:
    """The text of the first element of that name below the root that has only text; "" where there is none."""
    match = re.search(rb"<%b>([^<]*)</%b>" % (name.encode(), name.encode()), body)
    if match is None:
        return ""
    return unescape(match[1].decode("utf-8", "replace"))
