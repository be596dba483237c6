"""One directory of a bucket: a listing with a delimiter."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lakelink.errors import NameUnsupported, NotFound, problem_of
from lakelink.locations.base import Batch
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.keys import KeySpace, path_problem
from lakelink.locations.s3.list_xml import Object, key_of
from lakelink.locations.s3.listing import list_pages
from lakelink.locations.s3.metadata import parse_iso_ns
from lakelink.model.entry import Kind, Row
from lakelink.model.path import display, is_own

_QUOTES = ("&#34;", "&quot;", '"')


async def list_directory(client: S3Client, keys: KeySpace, path: str) -> AsyncIterator[Batch]:
    """See `Browsable.list_directory`."""
    prefix = keys.marker(path)
    exists = not path
    files: set[str] = set()  # that may turn up as common prefixes too
    async for page in list_pages(client, prefix, delimiter="/"):
        batch = Batch()
        for found in page.objects:
            exists = True
            name = key_of(found[0], url_encoded=page.url_encoded)[len(keys.prefix) :]
            if name not in {"", f"{path}/"} and _is_name(batch, name):
                batch.rows.append(_row(name, found))
                files.add(name)
        for raw in page.prefixes:
            exists = True
            name = key_of(raw, url_encoded=page.url_encoded)[len(keys.prefix) :].removesuffix("/")
            if name not in files and _is_name(batch, name):
                batch.rows.append(Row(name, Kind.DIR, 0, -1, -1, -1, -1, 0, ""))
        yield batch
    if not exists:
        raise NotFound(f"there is no directory {display(path)}")


def _is_name(batch: Batch, path: str) -> bool:
    """Whether it can be a path, and is not lakelink's own; a key that cannot is a problem of its own."""
    reason = path_problem(path)
    if reason is not None:
        error = NameUnsupported(reason, hint="Rename or remove the object; nothing else is affected.")
        batch.problems.append(problem_of(path, error))
    return reason is None and not is_own(path)


def _row(path: str, found: Object) -> Row:
    _, modified, etag, size = found
    ident = etag.decode("ascii", "replace").strip()
    for quote in _QUOTES:
        ident = ident.removeprefix(quote).removesuffix(quote)
    return Row(path, Kind.FILE, int(size), -1, -1, -1, -1, parse_iso_ns(modified.decode("ascii", "replace")), ident)
