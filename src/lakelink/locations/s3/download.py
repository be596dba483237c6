"""Reading one object: small ones in one GET, large ones in ranges at once, every range bound to the same ETag.

Length, ETag and checksum are checked before the last byte is handed out or the call returns.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from lakelink.errors import ChangedWhileRead, Corrupt, StorageError, Unreachable
from lakelink.locations.content import Content
from lakelink.locations.s3.checksums import Digest, promised_digest
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.metadata import bare_etag, entry_of_headers
from lakelink.locations.s3.options import SMALL_BYTES
from lakelink.locations.s3.translate import translate
from lakelink.locations.s3.upload import StoreTraits
from lakelink.model.entry import Entry, Kind, Version
from lakelink.ports.wire import WireRequest, WireResponse

RANGE_BYTES = SMALL_BYTES
CHUNK_RANGE_BYTES = SMALL_BYTES // 2
RESUMES = 8  # of one range; each goes on where the last one stopped
RESUME_PAUSE_S = 0.25


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
            response = await self._checked(self._get())
            self._observe(response.headers, len(response.body))
            if self._verified_bytes(response.body, last_try=last_try):
                if self.entry is not None and self.entry.kind is Kind.SYMLINK:
                    self.entry = replace(self.entry, target=response.body.decode("utf-8", "surrogateescape"))
                return response.body
        raise Corrupt(f"{self.key}: the bytes do not match their checksum", hint="Run again; check the network path.")

    async def preload(self) -> None:
        """Fetch a small object now and keep its bytes for the one who asks."""
        self._data = await self.load()

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
        if self._judge(digest, last_try=not doubtful):
            return
        again = Digest(digest.algorithm)
        for offset in range(0, self.size_bytes, CHUNK_RANGE_BYTES):
            again.update(await self._range(offset, min(offset + CHUNK_RANGE_BYTES, self.size_bytes)))
        self._judge(digest if again.text == digest.text else again, last_try=True)
        if again.text != digest.text:
            raise Corrupt(
                f"{self.key}: the bytes came otherwise a second time", hint="Run again; check the network path."
            )

    async def pour(self, fd: int) -> int:
        if self._data is not None or self.size_bytes <= SMALL_BYTES:
            data = await self.load()
            _write_all(fd, data, 0)
            os.ftruncate(fd, len(data))
            return len(data)
        await self._locate()
        os.ftruncate(fd, self.size_bytes)
        for last_try in (False, True):
            await self._pour_ranges(fd)
            if self._digest is None:
                return self.size_bytes
            digest = Digest(self._digest[0])
            await asyncio.to_thread(digest.update_file, fd, self.size_bytes)
            if self._judge(digest, last_try=last_try):
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
        response = await self._checked(self.client.request("HeadObject", "HEAD", self.key, headers=headers))
        size = int(response.headers.get("content-length") or 0)
        self._observe(response.headers, size)

    async def _pour_ranges(self, fd: int) -> None:
        offsets = iter(range(0, self.size_bytes, RANGE_BYTES))

        async def lane() -> None:
            for offset in offsets:
                await self._pour_range(fd, offset, min(offset + RANGE_BYTES, self.size_bytes))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.client.options.parts_at_once, -(-self.size_bytes // RANGE_BYTES))):
                    group.create_task(lane())
        except ExceptionGroup as errors:
            raise first_of(errors) from None

    async def _pour_range(self, fd: int, start: int, end: int) -> None:
        """One range into the file; a broken answer is taken up where it stopped."""
        position = start

        overflow = False

        def sink(chunk: bytes) -> None:
            nonlocal position, overflow
            if position + len(chunk) > end:
                overflow = True
                raise OSError("more bytes than asked for")
            _write_all(fd, chunk, position)
            position += len(chunk)

        for attempt in range(RESUMES):
            begin = position
            request = self._get(begin, end)
            request.sink = sink
            try:
                response = await self._checked(request)
            except OSError as error:
                if not overflow:
                    raise
                raise StorageError(
                    f"{self.key}: the store does not answer ranges: more bytes came than asked for"
                ) from error
            except Unreachable:
                if attempt + 1 == RESUMES:
                    raise
                await asyncio.sleep(RESUME_PAUSE_S * 2**attempt)
            else:
                self._check_range(response, begin, end)
                if position != end:
                    raise Corrupt(f"{self.key}: the range ended at {position} instead of {end}")
                return

    async def _range(self, start: int, end: int) -> bytes:
        response = await self._checked(self._get(start, end))
        self._check_range(response, start, end)
        if len(response.body) != end - start:
            raise Corrupt(f"{self.key}: {len(response.body)} bytes came instead of {end - start}")
        return response.body

    def _get(self, start: int = 0, end: int | None = None) -> WireRequest:
        headers = self._condition()
        if end is not None:
            headers.append(("range", f"bytes={start}-{end - 1}"))
        else:
            headers.append(("x-amz-checksum-mode", "ENABLED"))
        return self.client.request("GetObject", "GET", self.key, headers=headers)

    def _condition(self) -> list[tuple[str, str]]:
        return [("if-match", f'"{self.etag}"')] if self.etag else []

    async def _checked(self, request: WireRequest) -> WireResponse:
        response = await self.client.send(request)
        if response.status == 412:
            raise self._changed()
        if response.status >= 300:
            raise translate(request, response, self.client.bucket, self.key)
        return response

    def _check_range(self, response: WireResponse, start: int, end: int) -> None:
        """The answer holds the bytes [start, end) of this version: as many bytes from elsewhere would look the same."""
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
        return self._judge(digest, last_try=last_try)

    def _judge(self, digest: Digest, *, last_try: bool) -> bool:
        """Whether the bytes are those promised; False = fetch them once more before saying so."""
        if self._digest is None or digest.text == self._digest[1]:
            if self._digest is not None and self._digest[0] == "md5":
                self._traits.md5.trusted = True
            return True
        if self._digest[0] == "md5" and self._traits.md5.trusted is False:
            return True  # found out meanwhile
        if self._digest[0] == "md5" and self._traits.md5.trusted is None and last_try and digest.text == self._mismatch:
            # Twice the same bytes, and never a match: this store's ETag is something else.
            self._traits.md5.trusted = False
            return True
        self._mismatch = digest.text
        if last_try:
            raise Corrupt(
                f"{self.key}: the bytes do not match their checksum", hint="Run again; check the network path."
            )
        return False

    def _changed(self) -> ChangedWhileRead:
        return ChangedWhileRead(f"{self.key} changed while it was read", hint="It will be looked at again.")


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of a group: one cause is enough to act on.

    To be raised from `except ExceptionGroup`, never from `except*`: Python before 3.11.4, which Debian 12 has, puts what is raised there into
    a group again.
    """
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]
