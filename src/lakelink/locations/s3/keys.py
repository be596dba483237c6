"""Paths and keys: one object is one file, under the same name below a prefix."""

from __future__ import annotations

import re
from urllib.parse import quote

from lakelink.model.path import file_problem, key_problem

# What Signature Version 4 leaves as it is (Amazon S3 API reference, Signature calculations: UriEncode), and the slash between components.
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*").fullmatch
_SUSPECT = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0").search
_SHORT = 63  # characters: 63 x 4 bytes is below the limit of a component, so a shorter path needs no closer look


def encode_key(key: str) -> str:
    """The key as it stands in a request path, percent-encoded byte by byte."""
    return key if _PLAIN(key) else quote(key.encode("utf-8", "surrogateescape"), safe="/~")


def encode_query(value: str) -> str:
    """The value as it stands in a query, slashes included."""
    return quote(value.encode("utf-8", "surrogateescape"), safe="~")


def is_short_file(path: str) -> bool:
    """Whether a path without odd components is certainly that of a file, and not lakelink's own: it is short, and no marker."""
    return 0 < len(path) <= _SHORT and path[-1] != "/" and path[0] != "."


def is_usual(path: str) -> bool:
    """Whether the path is certainly that of a file: quick, and False where only `path_problem` could tell."""
    return len(path) <= _SHORT and not _SUSPECT(path) and path[0] != "."


def path_problem(path: str) -> str | None:
    """Why the object of this relative key cannot be a file, or None; quick for the usual ones."""
    if len(path) <= _SHORT and not _SUSPECT(path):
        return None
    return file_problem(path)


class KeySpace:
    """The keys of one location: a prefix that is empty or ends in a slash."""

    def __init__(self, prefix: str) -> None:
        stripped = prefix.strip("/")
        self.prefix = f"{stripped}/" if stripped else ""
        self._prefix_bytes = len(self.prefix.encode("utf-8", "surrogateescape"))

    def key(self, path: str) -> str:
        """The key of a file or symlink."""
        return self.prefix + path

    def marker(self, path: str) -> str:
        """The key of a directory: it ends in a slash. "" for the root of a whole bucket, which has none."""
        return f"{self.prefix}{path}/" if path else self.prefix

    def problem(self, path: str, *, marker: bool) -> str | None:
        """Why there can be no key for this path, or None."""
        if path and _SUSPECT(path) and (problem := file_problem(path)):
            return problem
        return key_problem(path, self._prefix_bytes + marker)
