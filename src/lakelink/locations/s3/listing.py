"""Listings: complete, by continuation token only, or an error. Never split by start-after, never dependent on order.

A store may list in UTF-8 byte order (AWS) or in tree order (SeaweedFS): nothing here relies on more than each key coming once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import unescape

from lakelink.errors import InternalError, NameUnsupported, StorageError, problem_of
from lakelink.locations.base import Batch, Excludes
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.keys import KeySpace, encode_query, is_short_file, is_usual, path_problem
from lakelink.locations.s3.list_xml import Page, key_of, next_token, parse_page
from lakelink.locations.s3.metadata import parse_iso_ns
from lakelink.model.change import Skipped, SkipReason
from lakelink.model.entry import Kind, Row
from lakelink.model.path import OWN_DIRECTORY, is_own
from lakelink.ports.wire import WireRequest

_MAX_CACHED_TIMES = 100_000
_ROW = tuple.__new__  # a named tuple from a tuple, without its keyword constructor


async def list_pages(client: S3Client, prefix: str, *, delimiter: str = "") -> AsyncIterator[Page]:
    """All pages of the keys below `prefix`; with a delimiter, those behind the next one are one common prefix.

    The next page is asked for before this one is parsed.

    Raises:
        RootMissing: there is no such bucket. NotPermitted: no right to list. Unreachable: a page could not be had.
        StorageError: an answer is not a listing, or says that it goes on without saying where.
    """
    seen: set[str] = set()
    body = (await client.call(_page_request(client, prefix, ("", delimiter)), prefix)).body
    while True:
        token = next_token(body)
        ahead = None
        try:
            if token:
                ahead = asyncio.ensure_future(client.call(_page_request(client, prefix, (token, delimiter)), prefix))
                await asyncio.sleep(0)  # lets the request start before the page is parsed
            page = parse_page(body)
            yield page
            if not page.truncated:
                return
            if not page.token or page.token in seen:
                raise StorageError("the listing says that it goes on, but not from where")
            seen.add(page.token)
            answer = (
                ahead
                if ahead and page.token == token
                else client.call(_page_request(client, prefix, (page.token, delimiter)), prefix)
            )
            body = (await answer).body
        finally:
            if ahead is not None and not ahead.cancel() and not ahead.cancelled():
                ahead.exception()  # seen: whoever stops reading does not want to hear of it


def _page_request(client: S3Client, prefix: str, place: tuple[str, str]) -> WireRequest:
    token, delimiter = place
    split = f"delimiter={encode_query(delimiter)}&" if delimiter else ""
    query = f"{split}encoding-type=url&list-type=2&max-keys=1000&prefix={encode_query(prefix)}"
    if token:
        query = f"continuation-token={encode_query(token)}&{query}"
    return client.request("ListObjectsV2", "GET", "", query=query)


class RowMaker:
    """Turns pages into rows: each path once; what cannot be a path, and what is both a file and a directory, becomes a Problem."""

    def __init__(self, keys: KeySpace, excludes: Excludes | None) -> None:
        self._prefix = keys.prefix
        self._excludes = excludes
        self._times: dict[bytes, int] = {}
        self._directories: dict[str, bool] = {}  # path -> it has a marker that was emitted
        self._excluded: dict[str, bool] = {}  # directory -> verdict
        self._parent = ""
        # Files that may still turn out to be prefixes as well: in both orders `a` and `a/x` are only parted by keys that begin with `a`.
        self._open: list[Row] = []
        self._batch = Batch()

    def page(self, page: Page) -> Batch:
        """The rows of this page, and those held back of earlier ones."""
        prefix, times, held, directories = self._prefix, self._times, self._open, self._directories
        skip = len(prefix)
        add = self._batch.rows.append
        plain = self._excludes is None
        if len(times) > _MAX_CACHED_TIMES:
            times.clear()
        known_good = page.plain_keys is not None
        keys = page.plain_keys or [key_of(row[0], url_encoded=page.url_encoded) for row in page.objects]
        for key, (_, modified, etag, size) in zip(keys, page.objects, strict=True):
            if not key.startswith(prefix):
                raise StorageError(f"the listing of {prefix} holds the key {key!r}")
            time_ns = times.get(modified)
            if time_ns is None:
                time_ns = times[modified] = parse_iso_ns(modified.decode("ascii", "replace"))
            if etag.startswith(b"&#34;"):  # as Go escapes a quote
                ident = etag[5:-5].decode("ascii", "replace")
            else:
                ident = etag[6:-6].decode("ascii", "replace") if etag.startswith(b"&quot;") else _bare(etag)
            path = key[skip:]
            # The usual file, in line: a good name, in the directory of the one before, which it does not make a prefix.
            if (
                plain
                and (is_short_file(path) if known_good else is_usual(path))
                and path not in directories
                and (len(held) == 1 and not path.startswith(held[0][0]))
                and path[: max(path.rfind("/"), 0)] == self._parent
            ):
                add(held[0])
                held[0] = _ROW(Row, (path, Kind.FILE, int(size), -1, -1, -1, -1, time_ns, ident))
            else:
                self._object(path, int(size), time_ns, ident)
        return self._emit()

    def finish(self) -> Batch:
        """What was held back, and the directories that no marker stands for."""
        self._close_all("")
        batch = self._emit()
        rows = batch.rows
        for path, marked in self._directories.items():
            if not marked and not self._is_excluded(path):
                rows.append(Row(path, Kind.DIR, 0, -1, -1, -1, -1, 0, ""))
        return batch

    def _emit(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        return batch

    def _object(self, path: str, size_bytes: int, time_ns: int, etag: str) -> None:
        if not path:
            self._marker("", time_ns, etag)
            return
        if path.endswith("/") and path_problem(path[:-1]) is None:
            self._marker(path[:-1], time_ns, etag)
            return
        if (problem := path_problem(path)) is not None:
            self._report(path, problem)
            return
        if path.startswith(OWN_DIRECTORY) and is_own(path):
            return
        self._close_all(path)
        parent = path.rpartition("/")[0]
        if parent != self._parent:
            self._parent = parent
            self._enter(parent)
        if self._excludes is not None and self._excluded_file(path, parent):
            return
        if path in self._directories:
            self._clash(path)
            return
        self._open.append(Row(path, Kind.FILE, size_bytes, -1, -1, -1, -1, time_ns, etag))

    def _marker(self, path: str, time_ns: int, etag: str) -> None:
        if path.startswith(OWN_DIRECTORY) and is_own(path):
            return
        self._close_all(path + "/")
        self._enter(path.rpartition("/")[0])
        self._directories[path] = True
        if not self._is_excluded(path):
            self._batch.rows.append(Row(path, Kind.DIR, 0, -1, -1, -1, -1, time_ns, etag))

    def _enter(self, directory: str) -> None:
        """Remember the directory and all above it."""
        while directory and directory not in self._directories:
            self._directories[directory] = False
            directory = directory.rpartition("/")[0]

    def _close_all(self, path: str) -> None:
        """Let go of held files that `path` can no longer make a prefix; report those that it does."""
        held = self._open
        while held:
            row = held[-1]
            if path.startswith(row[0]):
                following = path[len(row[0]) : len(row[0]) + 1]
                if following == "/":
                    self._clash(row[0])
                elif following:
                    return
            else:
                self._batch.rows.append(row)
            held.pop()

    def _clash(self, path: str) -> None:
        self._report(path, "the key is an object and a prefix of other keys as well; a file cannot be a directory")

    def _report(self, path: str, reason: str) -> None:
        error = NameUnsupported(reason, hint="Rename or remove the object; nothing else is affected.")
        self._batch.problems.append(problem_of(path, error))

    def _excluded_file(self, path: str, parent: str) -> bool:
        if self._is_excluded(parent):
            return True
        if self._excludes is not None and self._excludes(path, False):
            self._batch.skipped.append(Skipped(path, SkipReason.EXCLUDED))
            return True
        return False

    def _is_excluded(self, directory: str) -> bool:
        """Whether the directory or one above it is excluded; the topmost is reported once."""
        if self._excludes is None or not directory:
            return False
        known = self._excluded.get(directory)
        if known is None:
            known = self._is_excluded(directory.rpartition("/")[0])
            if not known and self._excludes(directory, True):
                known = True
                self._batch.skipped.append(Skipped(directory, SkipReason.EXCLUDED))
            self._excluded[directory] = known
        return known


async def scan(client: S3Client, keys: KeySpace, excludes: Excludes | None) -> AsyncIterator[Batch]:
    """All paths of the location; see `Location.scan`."""
    maker = RowMaker(keys, excludes)
    keys_before: set[bytes] = set()
    async for page in list_pages(client, keys.prefix):
        if page.prefixes:
            raise InternalError("a listing without a delimiter answered with common prefixes")
        keys_before = _only_new(page, keys_before)
        try:
            batch = maker.page(page)
        except (ValueError, OverflowError) as error:
            raise StorageError(f"the listing has a size or a time that is none: {error}") from error
        yield batch
    yield maker.finish()


def _only_new(page: Page, before: set[bytes]) -> set[bytes]:
    """The keys of a page, none of which may be among each other's or the page's `before`: pages overlap, or come again and again, where a
    store loses its place. Two pages are held, not a million keys: a key that comes again later is harmless, since nothing is deleted
    before the other side was asked once more.
    """
    keys = {found[0] for found in page.objects}
    if len(keys) != len(page.objects) or not before.isdisjoint(keys):
        raise StorageError(
            "the store listed a key twice", hint="Run again; if it stays, the listings of this store cannot be trusted."
        )
    return keys


def _bare(etag: bytes) -> str:
    return unescape(etag.decode("ascii", "replace")).strip('"')
