"""Who wants to know what changes in the lake is told: the links of the same daemon, which need neither events nor a listing then."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from lakelink.config.document import Document
from lakelink.locations.resolve import parse_location

S3 = "s3://"


class Changed(NamedTuple):
    """What is at that key of a bucket may be another than it was; with `subtree`, all below it as well."""

    bucket: str
    key: str
    subtree: bool = False


Hear: TypeAlias = Callable[[Changed], None]
"""Takes a change without waiting."""


class Telling:
    """From places as accounts and workflows name them to keys of the lake."""

    def __init__(self, document: Document, hear: Hear | None = None) -> None:
        """`hear` None: nobody wants to know."""
        self._document = document
        self._hear = hear

    def __call__(self, location: str, path: str, subtree: bool = False) -> None:
        """Something happened at this path below a location, after it did. Directories are watched by whoever has them, and not told of."""
        if self._hear is None:
            return
        url = parse_location(location, self._document).url
        if not url.startswith(S3):
            return
        bucket, _, prefix = url.removeprefix(S3).partition("/")
        key = f"{prefix.strip('/')}/{path}".strip("/")
        if not any("\ud800" <= letter <= "\udfff" for letter in key):  # no key: nothing is there
            self._hear(Changed(bucket, key, subtree))
