"""One multipart upload: Create, parts, one conditional Complete that makes the object visible, or Abort."""

from __future__ import annotations

import asyncio
import hashlib

from lakelink.errors import ChangedWhileRead, LakelinkError, StorageError, Unreachable
from lakelink.locations.base import Write
from lakelink.locations.s3.checksums import checksum_header, combine
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.conditions import Sent, check_before, condition_headers, head, settle
from lakelink.locations.s3.keys import encode_query
from lakelink.locations.s3.metadata import bare_etag, entry_of_headers
from lakelink.locations.s3.options import Checksum
from lakelink.locations.s3.translate import refusal, translate
from lakelink.locations.s3.upload import (
    SETTLE_ATTEMPTS,
    SETTLE_PAUSE_S,
    StoreTraits,
    fallback_needed,
    refused_write,
    sent_entry,
)
from lakelink.locations.s3.xml import element
from lakelink.model.entry import Entry
from lakelink.ports.crt_endpoint import is_aws
from lakelink.ports.wire import Body, WireResponse

ABORT_TIMEOUT_S = 5.0


class Upload:
    """One multipart upload, from Create to Complete or Abort."""

    def __init__(self, client: S3Client, store: StoreTraits, key: str, write: Write) -> None:
        self.client = client
        self.store = store
        self.key = key
        self.write = write
        self.algorithm = store.checksum
        self.size_bytes = 0
        self._id = ""
        self._parts: dict[int, tuple[str, str, int]] = {}  # number -> (ETag, checksum, size)

    async def create(self, headers: list[tuple[str, str]]) -> None:
        """Begin. The metadata is fixed from here on."""
        while True:
            extra = []
            self.algorithm = self.store.checksum
            if self.algorithm is not Checksum.NONE:
                extra = [("x-amz-checksum-algorithm", self.algorithm.name), ("x-amz-checksum-type", "FULL_OBJECT")]
            request = self.client.request(
                "CreateMultipartUpload", "POST", self.key, query="uploads=", headers=[*headers, *extra]
            )
            response = await self.client.send(request)
            if response.status < 300:
                break
            if not fallback_needed(self.store, response, self.algorithm):
                raise translate(request, response, self.client.bucket, self.key)
        self._id = element(response.body, "UploadId")
        if not self._id:
            raise StorageError(f"{self.key}: the answer to CreateMultipartUpload has no upload id")

    async def part(self, number: int, body: bytes | Body, size_bytes: int, checksum: str) -> None:
        """Send one part; may be repeated."""
        headers = [(checksum_header(self.algorithm), checksum)]
        query = f"partNumber={number}&uploadId={encode_query(self._id)}"
        request = self.client.request("UploadPart", "PUT", self.key, query=query, headers=headers)
        request.body, request.body_bytes = body, size_bytes
        response = await self.client.call(request, self.key)
        self.done(number, response.headers.get("etag", ""), checksum, size_bytes)

    async def part_copy(self, number: int, origin: list[tuple[str, str]], start: int, end: int) -> None:
        """Copy one part from another object of the store."""
        headers = [*origin, ("x-amz-copy-source-range", f"bytes={start}-{end - 1}")]
        query = f"partNumber={number}&uploadId={encode_query(self._id)}"
        request = self.client.request("UploadPartCopy", "PUT", self.key, query=query, headers=headers)
        response = await self.client.call(request, self.key)
        etag = element(response.body, "ETag")
        if not etag:
            raise Unreachable(f"{self.key}: UploadPartCopy failed late", hint="Try again later.")
        self.done(number, etag, "", end - start)

    def done(self, number: int, etag: str, checksum: str, size_bytes: int) -> None:
        self._parts[number] = (bare_etag(etag), "" if self.algorithm is Checksum.NONE else checksum, size_bytes)
        self.size_bytes += size_bytes

    async def complete(self) -> Entry:
        """Make the object visible, if what is there is still what `write.expect` names; a lost answer is settled by looking.

        Raises:
            PreconditionFailed: it is not.
        """
        if self.store.asked is not None and self.store.conditions.write is None:
            await asyncio.shield(self.store.asked)
        uncertain: Unreachable | None = None
        for attempt in range(SETTLE_ATTEMPTS):
            # The condition of Complete is not probed, and some stores check it before they wait (SeaweedFS) or not at all.
            if not is_aws(self.client.endpoint.host):
                await check_before(self.client, self.key, self.write.expect)
            response = None
            try:
                response = await self._send_complete()
            except Unreachable as error:
                uncertain = error
            # S3 may answer 200 and then fail: only an ETag says that the object is there (Amazon S3 API reference, CompleteMultipartUpload).
            if response is not None and response.status < 300 and element(response.body, "ETag"):
                return await self._entry(response)
            if response is not None and response.status == 501 and self.store.conditions.complete is not False:
                self.store.conditions.complete = False
                continue
            lost = response is None or response.status < 300 or response.status in {500, 502, 504}
            # An upload that is gone was completed by a request whose answer was lost, or ended by somebody else.
            gone = response is not None and response.status == 404 and refusal(response).code == "NoSuchUpload"
            if not lost and not gone and not (uncertain and response is not None and response.status == 412):
                raise self._refused(response)
            settled = await settle(self.client, self.key, self.write.expect, self._sent())
            if settled is not None:
                return settled
            if gone:
                raise ChangedWhileRead(f"the upload of {self.key} was ended by somebody else", hint="It is sent again.")
            uncertain = uncertain or Unreachable(f"CompleteMultipartUpload {self.key}: no clear answer")
            await asyncio.sleep(min(SETTLE_PAUSE_S * 2**attempt, 4.0))
        raise uncertain or Unreachable(f"CompleteMultipartUpload {self.key}: refused again and again")

    async def _send_complete(self) -> WireResponse:
        name = f"Checksum{self.algorithm.name}"
        parts = "".join(
            f'<Part><ETag>"{etag}"</ETag><PartNumber>{number}</PartNumber>'
            + (f"<{name}>{checksum}</{name}>" if checksum else "")
            + "</Part>"
            for number, (etag, checksum, _) in sorted(self._parts.items())
        )
        conditions = self.store.conditions
        refused = conditions.write is False or conditions.complete is False
        headers = [] if refused else condition_headers(self.write.expect)
        full = self.full_checksum()
        if full:
            headers += [(checksum_header(self.algorithm), full), ("x-amz-checksum-type", "FULL_OBJECT")]
        query = f"uploadId={encode_query(self._id)}"
        request = self.client.request("CompleteMultipartUpload", "POST", self.key, query=query, headers=headers)
        xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
        request.body = f'<CompleteMultipartUpload xmlns="{xmlns}">{parts}</CompleteMultipartUpload>'.encode()
        return await self.client.send(request)

    def full_checksum(self) -> str:
        """The checksum of the whole object, combined from its parts; "" where a part has none."""
        parts = [self._parts[number] for number in sorted(self._parts)]
        if self.algorithm is Checksum.NONE or not all(checksum for _, checksum, _ in parts):
            return ""
        return combine(self.algorithm, [(checksum, size) for _, checksum, size in parts])

    def _sent(self) -> Sent:
        # The ETag of a multipart object: the MD5 of its parts' MD5s, and their number.
        etags = [self._parts[number][0] for number in sorted(self._parts)]
        try:
            joined = b"".join(bytes.fromhex(etag) for etag in etags)
            expected = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"
        except ValueError:
            expected = ""
        full = self.full_checksum()
        checksum = (checksum_header(self.algorithm), full) if full else None
        return Sent(self.write.kind, self.size_bytes, self.write.posix, frozenset({expected}), checksum)

    def _refused(self, response: WireResponse | None) -> Exception:
        request = self.client.request("CompleteMultipartUpload", "POST", self.key)
        return refused_write(self.client, request, response, self.key)

    async def _entry(self, response: WireResponse) -> Entry:
        """What is there now. Last-Modified can be the time at which the upload was begun, as AWS has it: only a look tells."""
        etag = bare_etag(element(response.body, "ETag"))
        try:
            found = await head(self.client, self.key)
        except LakelinkError:
            found = None  # it is stored all the same
        if found is not None and bare_etag(found.headers.get("etag", "")) == etag:
            return entry_of_headers(found.headers, marker=False)
        headers = dict(response.headers) | {"etag": etag}
        return sent_entry(self.write.kind, self.size_bytes, self.write, WireResponse(response.status, headers))

    async def abort(self) -> None:
        """Throw the parts away; whatever goes wrong here is left to `abort_abandoned`."""
        if not self._id:
            return
        request = self.client.request(
            "AbortMultipartUpload", "DELETE", self.key, query=f"uploadId={encode_query(self._id)}"
        )
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await self.client.send(request)
        except (LakelinkError, TimeoutError):
            return
