"""The requests of a probe: single, conditional, below one prefix of its own, and forgotten without a trace."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from lakelink.errors import LakelinkError
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.keys import encode_key, encode_query
from lakelink.locations.s3.metadata import bare_etag
from lakelink.locations.s3.xml import element, records
from lakelink.ports.wire import WireRequest, WireResponse

Headers = Sequence[tuple[str, str]]


def only_new() -> Headers:
    """The condition that nothing is there."""
    return [("if-none-match", "*")]


def only(etag: str) -> Headers:
    """The condition that the object has this ETag."""
    return [("if-match", f'"{etag}"')]


class ProbeRequests:
    """Requests about keys below `prefix`; remembers what it made."""

    def __init__(self, client: S3Client, prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self.server = ""  # what the store calls itself
        self._made: set[str] = set()
        self._uploads: set[tuple[str, str]] = set()

    def _request(self, operation: str, method: str, name: str, query: str, headers: Headers) -> WireRequest:
        return self.client.request(operation, method, self.prefix + name, query=query, headers=list(headers))

    async def put(self, name: str, body: bytes, headers: Headers = ()) -> WireResponse:
        self._made.add(name)
        request = self._request("PutObject", "PUT", name, "", headers)
        request.body, request.body_bytes = body, len(body)
        return await self.client.send(request)

    async def make(self, name: str, body: bytes, headers: Headers = ()) -> str:
        """Store without a condition on other writers; the ETag."""
        self._made.add(name)
        request = self._request("PutObject", "PUT", name, "", headers)
        request.body, request.body_bytes = body, len(body)
        response = await self.client.call(request, name)
        self.server = response.headers.get("server", "")
        return bare_etag(response.headers.get("etag", ""))

    async def get(self, name: str) -> bytes | None:
        """The bytes; None where nothing is there."""
        response = await self.client.send(self._request("GetObject", "GET", name, "", ()))
        return response.body if response.status == 200 else None

    async def head(self, name: str) -> WireResponse:
        return await self.client.send(self._request("HeadObject", "HEAD", name, "", ()))

    async def delete(self, name: str, headers: Headers = ()) -> WireResponse:
        return await self.client.send(self._request("DeleteObject", "DELETE", name, "", headers))

    async def copy(self, origin: str, name: str, headers: Headers = ()) -> WireResponse:
        self._made.add(name)
        source = "/" + self.client.bucket + "/" + encode_key(self.prefix + origin)
        return await self.client.send(
            self._request("CopyObject", "PUT", name, "", [("x-amz-copy-source", source), *headers])
        )

    async def upload(self, name: str, body: bytes) -> tuple[str, str]:
        """A multipart upload with its one part, ready to be completed: (upload id, body of the Complete request)."""
        request = self._request("CreateMultipartUpload", "POST", name, "uploads=", ())
        upload_id = element((await self.client.call(request, name)).body, "UploadId")
        self._uploads.add((name, upload_id))
        query = f"partNumber=1&uploadId={encode_query(upload_id)}"
        request = self._request("UploadPart", "PUT", name, query, ())
        request.body, request.body_bytes = body, len(body)
        etag = (await self.client.call(request, name)).headers.get("etag", "")
        part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        return upload_id, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"

    async def complete(self, name: str, upload: tuple[str, str], headers: Headers = ()) -> WireResponse:
        self._made.add(name)
        upload_id, document = upload
        query = f"uploadId={encode_query(upload_id)}"
        request = self._request("CompleteMultipartUpload", "POST", name, query, headers)
        request.body = document.encode()
        request.body_bytes = len(request.body)
        response = await self.client.send(request)
        if response.status == 200 and b"<Error>" in response.body:  # decided after the answer had begun
            return WireResponse(409, response.headers, response.body)
        return response

    async def names(self) -> list[str]:
        """What is listed below the prefix, in the order of the listing; one page is enough for a probe."""
        query = f"list-type=2&prefix={encode_query(self.prefix)}"
        response = await self.client.call(self.client.request("ListObjectsV2", "GET", "", query=query), self.prefix)
        keys = [fields.get("Key", "") for name, fields in records(response.body, {"Contents"})]
        return [key.removeprefix(self.prefix) for key in keys]

    async def clean(self) -> None:
        """Nothing of the probe is left. An upload that was completed or aborted already is gone: that is no error."""
        for name, upload_id in self._uploads:
            query = f"uploadId={encode_query(upload_id)}"
            with contextlib.suppress(LakelinkError):
                await self.client.send(self._request("AbortMultipartUpload", "DELETE", name, query, ()))
        left = set(await self.names()) | self._made
        for name in sorted(left, key=lambda n: n.count("/"), reverse=True):
            await self.delete(name)
