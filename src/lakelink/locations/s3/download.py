"""Reading one object: small ones in one GET, large ones in ranges at once, every range bound to the same ETag.

Length, ETag and checksum are checked before the last byte is handed out or the call returns.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from lakelink.errors import ChangedWhileRead, Corrupt, LakelinkError, StorageError
from lakelink.locations.base import Read
from lakelink.locations.content import Content
from lakelink.locations.s3.checksums import Digest, promised_digest
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.metadata import bare_etag, entry_of_headers
from lakelink.locations.s3.options import SMALL_BYTES
from lakelink.locations.s3.pouring import pour_ranges, write_all
from lakelink.locations.s3.translate import translate
from lakelink.locations.s3.upload import StoreTraits
from lakelink.model.entry import Entry, Kind, Version
from lakelink.ports.wire import WireRequest, WireResponse

CHUNK_RANGE_BYTES = SMALL_BYTES // 2


class S3Content(Content):
    """The bytes of one version of an object. `entry` is set by the first answer."""

    def __init__(
        self, client: S3Client, traits: StoreTraits, key: str, size_bytes: int, expect: Version | None
    ) -> None:
        self.client = client
        self.key = key
        self.size_bytes: int = size_bytes
        self.etag = expect.etag if expect else ""
        self._sized = bool(expect and expect.size_bytes == size_bytes)
        self._mismatch = ""  # the digest of bytes that were not what the ETag promises
        self._traits = traits
        self._data: bytes | None = None
        self._digest: tuple[str, str] | None = None

    async def load(self) -> bytes:
        if self._data is not None:
            return self._data
        for last_try in (False, True):
            response = await self.checked(self.get())
            self._observe(response.headers, len(response.body))
            if self._verified_bytes(response.body, last_try=last_try):
                if self.entry is not None and self.entry.kind is Kind.SYMLINK:
                    self.entry = replace(self.entry, target=response.body.decode("utf-8", "surrogateescape"))
                return response.body
        raise Corrupt(f"{self.key}: the bytes do not match their checksum", hint="Run again; check the network path.")

    async def preload(self) -> None:
        """Fetch a small object now and keep its bytes for the one who asks."""
        self._data = await self.load()

    def at_hand(self) -> bytes | None:
        return self._data

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if self._data is not None:
            yield self._data[start:end]
            return
        await self._locate()
        stop = self.size_bytes if end is None else min(end, self.size_bytes)
        whole = start == 0 and stop == self.size_bytes and self._digest is not None
        digest = Digest(self._digest[0]) if whole and self._digest else None
        ahead: asyncio.Task[bytes] | None = None
        last: bytes | None = None
        try:
            for offset in range(start, stop, CHUNK_RANGE_BYTES):
                data = await (ahead or self._range(offset, min(offset + CHUNK_RANGE_BYTES, stop)))
                following = offset + CHUNK_RANGE_BYTES
                ahead = None
                if following < stop:
                    ahead = asyncio.ensure_future(self._range(following, min(following + CHUNK_RANGE_BYTES, stop)))
                if last is not None:
                    yield last
                last = data  # held back until it is known whether all of it is right
                if digest is not None:
                    digest.update(data)
        finally:
            if ahead is not None and not ahead.cancel() and not ahead.cancelled():
                ahead.exception()
        if digest is not None:
            await self._judge_once(digest)
        if last is not None:
            yield last

    async def _judge_once(self, digest: Digest) -> None:
        """As `_judge`, of bytes that were handed out already. An ETag that may be no MD5 gets the same bytes a second time, to be compared."""
        doubtful = digest.algorithm == "md5" and self._traits.md5.trusted is None
        if self._judge(digest.text, last_try=not doubtful):
            return
        again = Digest(digest.algorithm)
        for offset in range(0, self.size_bytes, CHUNK_RANGE_BYTES):
            again.update(await self._range(offset, min(offset + CHUNK_RANGE_BYTES, self.size_bytes)))
        self._judge(again.text, last_try=True)
        if again.text != digest.text:
            raise Corrupt(
                f"{self.key}: the bytes came otherwise a second time", hint="Run again; check the network path."
            )

    async def pour(self, fd: int) -> int:
        if self._data is not None or self.size_bytes <= SMALL_BYTES:
            data = await self.load()
            write_all(fd, data, 0)
            os.ftruncate(fd, len(data))
            return len(data)
        await self._locate()
        os.ftruncate(fd, self.size_bytes)
        for last_try in (False, True):
            found = await pour_ranges(self, fd, self._digest[0] if self._digest else "")
            if self._judge(found, last_try=last_try):
                return self.size_bytes
        raise Corrupt(f"{self.key}: the bytes do not match their checksum", hint="Run again; check the network path.")

    async def locate(self) -> Entry:
        """What is there, from HEAD unless an answer was seen already.

        Raises:
            ChangedWhileRead: another version than the expected one.
        """
        await self._locate()
        if self.entry is None:
            raise StorageError(f"{self.key}: HEAD said nothing")
        return self.entry

    async def _locate(self) -> None:
        """Know size, ETag and digest before ranges are asked for."""
        if self.entry is not None:
            return
        headers = [("x-amz-checksum-mode", "ENABLED"), *self._condition()]
        response = await self.checked(self.client.request("HeadObject", "HEAD", self.key, headers=headers))
        size = int(response.headers.get("content-length") or 0)
        self._observe(response.headers, size)

    async def _range(self, start: int, end: int) -> bytes:
        request = self.get(start, end)
        request.bulk_bytes = end - start
        response = await self.checked(request)
        self.check_range(response, start, end)
        if len(response.body) != end - start:
            raise Corrupt(f"{self.key}: {len(response.body)} bytes came instead of {end - start}")
        return response.body

    def get(self, start: int = 0, end: int | None = None) -> WireRequest:
        headers = self._condition()
        if end is not None:
            headers.append(("range", f"bytes={start}-{end - 1}"))
        else:
            headers.append(("x-amz-checksum-mode", "ENABLED"))
        return self.client.request("GetObject", "GET", self.key, headers=headers)

    def _condition(self) -> list[tuple[str, str]]:
        return [("if-match", f'"{self.etag}"')] if self.etag else []

    async def checked(self, request: WireRequest) -> WireResponse:
        response = await self.client.send(request)
        if response.status == 412:
            raise self._changed()
        if response.status >= 300:
            raise translate(request, response, self.client.bucket, self.key)
        return response

    def check_range(self, response: WireResponse, start: int, end: int) -> None:
        """See that the answer holds the bytes [start, end) of this version: as many bytes from elsewhere would look the same."""
        etag = bare_etag(response.headers.get("etag", ""))
        place, _, total = response.headers.get("content-range", "").rpartition("/")
        if response.status != 206 and (start, end) != (0, self.size_bytes):
            raise StorageError(f"{self.key}: the store does not answer ranges (status {response.status})")
        if (self.etag and etag != self.etag) or (total.isdecimal() and int(total) != self.size_bytes):
            raise self._changed()
        if response.status == 206 and place != f"bytes {start}-{end - 1}":
            raise StorageError(f"{self.key}: bytes {start}-{end - 1} were asked for and {place or 'unnamed ones'} came")

    def _observe(self, headers: Mapping[str, str], size_bytes: int) -> None:
        entry = entry_of_headers(headers, marker=self.key.endswith("/"), size_bytes=size_bytes)
        etag = bare_etag(headers.get("etag", ""))
        if self.etag and etag != self.etag:
            raise self._changed()
        if self.etag and self._sized and size_bytes != self.size_bytes:
            raise Corrupt(f"{self.key}: {size_bytes} bytes came instead of {self.size_bytes}", hint="Run again.")
        self.etag = etag
        self.size_bytes = size_bytes
        self.entry = entry
        self._digest = promised_digest(headers, self._traits.md5)

    def _verified_bytes(self, data: bytes, *, last_try: bool) -> bool:
        if self._digest is None:
            return True
        digest = Digest(self._digest[0])
        digest.update(data)
        return self._judge(digest.text, last_try=last_try)

    def _judge(self, found: str, *, last_try: bool) -> bool:
        """Whether the bytes are those promised; False = fetch them once more before saying so."""
        if self._digest is None or found == self._digest[1]:
            if self._digest is not None and self._digest[0] == "md5":
                self._traits.md5.trusted = True
            return True
        if self._digest[0] == "md5" and self._traits.md5.trusted is False:
            return True  # found out meanwhile
        if self._digest[0] == "md5" and self._traits.md5.trusted is None and last_try and found == self._mismatch:
            # Twice the same bytes, and never a match: this store's ETag is something else.
            self._traits.md5.trusted = False
            return True
        self._mismatch = found
        if last_try:
            raise Corrupt(
                f"{self.key}: the bytes do not match their checksum", hint="Run again; check the network path."
            )
        return False

    def _changed(self) -> ChangedWhileRead:
        return ChangedWhileRead(f"{self.key} changed while it was read", hint="It will be looked at again.")


async def fetch_small(client: S3Client, traits: StoreTraits, key: str, read: Read) -> bytes | None:
    """See `Prompt.fetch`: one GET. What it does not settle is for `S3Content`."""
    expect = read.expect
    if client.short is None or read.size_bytes > SMALL_BYTES or expect is None or not expect.etag:
        return None
    headers = [("x-amz-checksum-mode", "ENABLED"), ("if-match", f'"{expect.etag}"')]
    try:
        response = await client.short.send(client.request("GetObject", "GET", key, headers=headers))
    except LakelinkError:
        return None
    etag, body = bare_etag(response.headers.get("etag", "")), response.body
    if response.status != 200 or etag != expect.etag or len(body) != read.size_bytes:
        return None
    promised = promised_digest(response.headers, traits.md5)
    if promised is None:
        return body
    digest = Digest(promised[0])
    digest.update(body)
    if digest.text != promised[1]:
        return None  # it may be no MD5: the long way asks once more before it says so
    if promised[0] == "md5":
        traits.md5.trusted = True
    return body
