"""ListObjectsV2 answers, parsed: a regular expression over the bytes for the usual page, expat for every other.

The fast path is taken only where it provably reads the same as an XML parser: no comments, CDATA, DTD or processing instructions, every
`<Contents>` matched by the shape of the first one, and text unescaped by the same five entities and character references.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import TypeAlias
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from lakelink.errors import StorageError

Object: TypeAlias = tuple[bytes, bytes, bytes, bytes]
"""Key, last modified, ETag, size of one object, as the store wrote them: entities and the URL encoding of the key still to be undone."""


@dataclass(slots=True)
class Page:
    """One page of a listing."""

    objects: list[Object] = field(default_factory=list)
    prefixes: list[bytes] = field(default_factory=list)
    truncated: bool = False
    token: str = ""
    url_encoded: bool = False
    plain_keys: list[str] | None = None  # all keys, where none needs decoding and none can be an impossible path


_BOOLEAN = {"true": True, "1": True, "false": False, "0": False}  # XML Schema, boolean
_WANTED = (b"Key", b"LastModified", b"ETag", b"Size")
_TOKEN = re.compile(rb"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_TRUNCATED = re.compile(rb"<IsTruncated>(true|false)</IsTruncated>")
_ENCODING = re.compile(rb"<EncodingType>\s*url\s*</EncodingType>")
# In keys joined by line ends: an entity, an encoded byte, a blank, NUL; an empty component, `.` or `..` (but a marker's one slash at the end).
_WANTS_A_LOOK = (
    b"%",
    b"+",
    b"&",
    b"\0",
    b"//",
    b"\n/",
    b"/./",
    b"/../",
    b"\n./",
    b"\n../",
    b"/.\n",
    b"/..\n",
    b"\n.\n",
    b"\n..\n",
)
_CHILD = re.compile(rb"<([A-Za-z0-9]+)>(?:[^<]*</\1>|.*?</\1>)", re.DOTALL)


def next_token(body: bytes) -> str:
    """The token of the next page, found without parsing the page; "" where there is none or only a parser could say."""
    truncated = _only(_TRUNCATED, body, b"<IsTruncated>")
    if truncated is None or truncated[1] != b"true" or b"<!" in body:
        return ""
    found = _only(_TOKEN, body, b"<NextContinuationToken>")
    return text_of(found[1]) if found else ""


def _only(pattern: re.Pattern[bytes], body: bytes, tag: bytes) -> re.Match[bytes] | None:
    """The element that begins with `tag`, found by the tag: a pattern alone would walk through all keys."""
    at = body.find(tag)
    return pattern.match(body, at) if at >= 0 else None


def parse_page(body: bytes) -> Page:
    """The page.

    Raises:
        StorageError: not a listing, or cut short.
    """
    page = _parse_fast(body)
    return _parse_expat(body) if page is None else page


def text_of(raw: bytes) -> str:
    """The text of an element in which no tag stands."""
    text = raw.decode("utf-8", "surrogateescape")
    return unescape(text) if "&" in text else text


def key_of(raw: bytes, *, url_encoded: bool) -> str:
    """The key: entities first, then the URL encoding (form style, a plus is a blank, as AWS documents and botocore decodes it)."""
    if b"&" in raw:
        raw = text_of(raw).encode("utf-8", "surrogateescape")
    if url_encoded:
        if b"+" in raw:
            raw = raw.replace(b"+", b" ")
        if b"%" in raw:
            raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "surrogateescape")


def _parse_fast(body: bytes) -> Page | None:
    """The page, or None where only a parser can be trusted."""
    # XML turns line ends into \n, and a marked section, a comment or an instruction could hold what looks like an element.
    strange = b"<!" in body or body.find(b"<?", 2) >= 0 or b"\r" in body or b"<CommonPrefixes" in body
    truncated = _only(_TRUNCATED, body, b"<IsTruncated>")
    if strange or truncated is None or not body.rstrip().endswith(b"</ListBucketResult>"):
        return None
    page = Page(
        truncated=truncated[1] == b"true",
        token=next_token(body),
        url_encoded=_only(_ENCODING, body, b"<EncodingType>") is not None,
    )
    count = body.count(b"<Contents")
    if count:
        shape = _shape(body)
        if shape is None:
            return None
        pattern, order = shape
        found = pattern.findall(body)
        if len(found) != count:
            return None
        a, b, c, d = order
        page.objects = found if order == (0, 1, 2, 3) else [(row[a], row[b], row[c], row[d]) for row in found]
        page.plain_keys = _plain_keys(page.objects)
    return page


def _plain_keys(objects: list[tuple[bytes, bytes, bytes, bytes]]) -> list[str] | None:
    """The keys of a page, decoded in one go; None where a single one wants a closer look."""
    joined = b"\n".join([b"", *[row[0] for row in objects], b""])
    if any(sign in joined for sign in _WANTS_A_LOOK):
        return None
    keys = joined[1:-1].decode("utf-8", "surrogateescape").split("\n")
    return keys if len(keys) == len(objects) else None


def _shape(body: bytes) -> tuple[re.Pattern[bytes], tuple[int, ...]] | None:
    """The pattern of a `<Contents>` with the children of the first one in their order, and where the four wanted groups are."""
    start = body.find(b"<Contents>") + len(b"<Contents>")
    end = body.find(b"</Contents>", start)
    if end < 0:
        return None
    names: list[bytes] = []
    position = start
    while position < end:
        child = _CHILD.match(body, position, end)
        if child is None:
            return None
        names.append(child[1])
        position = child.end()
    if any(names.count(name) != 1 for name in _WANTED):
        return None
    groups = [name for name in names if name in _WANTED]
    # Other children are skipped whole, up to the end of this <Contents> at the most: two in one match would make the count differ.
    parts = [
        rb"<%s>([^<]*)</%s>" % (name, name) if name in _WANTED else rb"<%s>(?:(?!</?Contents>).)*?</%s>" % (name, name)
        for name in names
    ]
    pattern = re.compile(b"<Contents>" + b"".join(parts) + b"</Contents>", re.DOTALL)
    return pattern, tuple(groups.index(name) for name in _WANTED)


class _Reader:
    """Collects a page from expat's events; names are taken without their namespace prefix."""

    def __init__(self) -> None:
        self.page = Page()
        self._path: list[str] = []
        self._text: list[str] = []
        self._row: dict[str, str] = {}
        self.complete = False
        self.truncated: bool | None = None

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2])
        self._text.clear()
        if len(self._path) == 2 and self._path[1] == "Contents":
            self._row = {}

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, _name: str) -> None:
        path, text = self._path, "".join(self._text)
        self._text.clear()
        match path:
            case ["ListBucketResult"]:
                self.complete = True
            case ["ListBucketResult", "IsTruncated"]:
                self.truncated = _BOOLEAN.get(text.strip().lower())
            case ["ListBucketResult", "NextContinuationToken"]:
                self.page.token = text
            case ["ListBucketResult", "EncodingType"]:
                self.page.url_encoded = text.strip() == "url"
            case ["ListBucketResult", "CommonPrefixes", "Prefix"]:
                self.page.prefixes.append(_escaped(text))
            case ["ListBucketResult", "Contents", leaf]:
                self._row[leaf] = text
            case ["ListBucketResult", "Contents"]:
                self._row_done()
        path.pop()

    def _row_done(self) -> None:
        row = self._row
        try:
            self.page.objects.append(
                (
                    _escaped(row["Key"]),
                    _escaped(row["LastModified"]),
                    _escaped(row.get("ETag", "")),
                    _escaped(row["Size"]),
                )
            )
        except KeyError as error:
            raise StorageError(f"the listing has an object without {error}") from error


def _escaped(text: str) -> bytes:
    """Text as the fast path hands it out: with its ampersands escaped."""
    return text.replace("&", "&amp;").encode("utf-8", "surrogateescape")


def _parse_expat(body: bytes) -> Page:
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise StorageError(f"the listing is not XML: {error}") from error
    if not reader.complete:
        raise StorageError("the answer is not a listing")
    if reader.truncated is None:
        raise StorageError("the listing does not say whether it is complete")
    reader.page.truncated = reader.truncated
    return reader.page
