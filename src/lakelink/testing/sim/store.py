"""An S3 server in memory: one bucket, one profile. Each request is carried out in one step, unless the profile says that the server is racy there."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from lakelink.locations.s3.checksums import checksum_of
from lakelink.locations.s3.options import Checksum
from lakelink.locations.s3.xml import records
from lakelink.ports.wire import WireRequest, WireResponse
from lakelink.testing.sim.answers import Refused, answer, http_date, iso_date, object_headers, refusal, text
from lakelink.testing.sim.objects import Objects, StoredObject
from lakelink.testing.sim.profile import Profile
from lakelink.testing.sim.uploads import Uploads

BUCKET = "lake"
_KEPT = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires")
_IMPLICIT_ETAG = "d41d8cd98f00b204e9800998ecf8427e-0"
_CHECKSUMS = {"x-amz-checksum-crc64nvme": Checksum.CRC64NVME, "x-amz-checksum-crc32c": Checksum.CRC32C}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)").fullmatch
Commit = Callable[[], WireResponse]


class Asked(NamedTuple):
    """A request, taken apart."""

    request: WireRequest
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    writer: str


class SimStore:
    """The server. `lag_s` says how old the next listing is."""

    def __init__(self, profile: Profile, time_s: Callable[[], float], epoch_ns: int, *, page_keys: int = 1000) -> None:
        self.profile = profile
        self.objects = Objects(profile.order, time_s)
        self.lag_s: Callable[[], float] = lambda: 0.0
        self._time_s = time_s
        self._epoch_ns = epoch_ns
        self._page_keys = page_keys
        self._uploads = Uploads()
        self.requests = 0

    def now_ns(self) -> int:
        return self._epoch_ns + int(self._time_s() * 1e9)

    def handle(self, request: WireRequest, body: bytes, writer: str) -> WireResponse | Commit:
        """The answer; or, where the server is racy, what it will do a moment later without looking again."""
        self.requests += 1
        asked = self._taken_apart(request, body, writer)
        verb: Callable[[Asked], WireResponse | Commit] = getattr(self, f"_{request.operation}", self._unknown)
        try:
            self._require_name(asked.key)
            result = verb(asked)
        except Refused as refused:
            result = refusal(request, refused.status, refused.code)
        if isinstance(result, WireResponse):
            result.headers.setdefault("date", http_date(self.now_ns()))
        return result

    def _taken_apart(self, request: WireRequest, body: bytes, writer: str) -> Asked:
        path = unquote(request.path, errors="surrogateescape").removeprefix("/")
        key = path if request.host.startswith(f"{BUCKET}.") else path.partition("/")[2]
        if self.profile.folds_slashes and key:
            key = re.sub("/+", "/", key.replace("\\", "/"))
        query = dict(parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape"))
        return Asked(request, key, query, {name.lower(): value for name, value in request.headers}, body, writer)

    def _require_name(self, key: str) -> None:
        raw = key.encode("utf-8", "surrogateescape")
        if len(raw) > 1024 or (self.profile.folds_slashes and any(len(part) > 255 for part in raw.split(b"/"))):
            raise Refused(400, "KeyTooLongError")

    def _unknown(self, asked: Asked) -> WireResponse:
        return refusal(asked.request, 501, "NotImplemented")

    # Conditions
    def _present(self, key: str) -> StoredObject | None:
        """What conditions and HEAD see at a key: for some stores also a prefix that has keys below it."""
        found = self.objects.now.get(key)
        if found is None and self.profile.implicit_markers and key.endswith("/") and self.objects.has_below(key):
            return StoredObject(b"", _IMPLICIT_ETAG, self.now_ns(), {"content-type": "application/octet-stream"})
        return found

    def _check(self, asked: Asked) -> bool:
        """Whether the request named what it replaces.

        Raises:
            Refused: what it named is not there.
        """
        if_match, if_none_match = asked.headers.get("if-match", ""), asked.headers.get("if-none-match", "")
        if not self.profile.conditions or not (if_match or if_none_match):
            return False
        found = self._present(asked.key)
        if found is not None and asked.key not in self.objects.now:
            found = replace(found, etag="")  # no condition knows the ETag that HEAD gives to a prefix
        self._compare(found, if_match, if_none_match)
        return True

    def _compare(self, found: StoredObject | None, if_match: str, if_none_match: str) -> None:
        if if_none_match and found is not None and if_none_match in {"*", found.etag, f'"{found.etag}"'}:
            raise Refused(412, "PreconditionFailed")
        if if_match and found is None:
            absent = self.profile.absent_status
            raise Refused(absent, "NoSuchKey" if absent == 404 else "PreconditionFailed")
        if if_match and found is not None and if_match not in {"*", found.etag, f'"{found.etag}"'}:
            raise Refused(412, "PreconditionFailed")

    def _require_intact(self, asked: Asked) -> tuple[str, str] | None:
        """The checksum that came with the body, compared with it.

        Raises:
            Refused: other bytes arrived.
        """
        md5 = asked.headers.get("content-md5")
        if md5 and base64.b64decode(md5) != hashlib.md5(asked.body, usedforsecurity=False).digest():
            raise Refused(400, "BadDigest")
        for header, algorithm in _CHECKSUMS.items():
            if (value := asked.headers.get(header)) is not None:
                if value != checksum_of(algorithm, asked.body):
                    raise Refused(400, "BadDigest")
                return header, value
        return None

    # Writing
    def _object(self, asked: Asked, body: bytes, etag: str, kept: dict[str, str]) -> StoredObject:
        self.objects.serial += 1
        version_id = f"v{self.objects.serial}" if self.profile.versioned else ""
        return StoredObject(
            body, etag, self.now_ns(), kept, version_id=version_id, writer=asked.writer, serial=self.objects.serial
        )

    def kept_headers(self, asked: Asked) -> dict[str, str]:
        """What of a request's headers stays with the object."""
        meta = self.profile.marker_metadata or not asked.key.endswith("/")
        return {
            name: value
            for name, value in asked.headers.items()
            if name in _KEPT or (meta and name.startswith("x-amz-meta-"))
        }

    def _stored(self, asked: Asked, made: StoredObject, *, conditional: bool) -> dict[str, str]:
        operation = asked.request.operation
        self.objects.put(asked.key, made, operation, writer=asked.writer, conditional=conditional)
        headers = {"etag": f'"{made.etag}"'}
        return headers | ({"x-amz-version-id": made.version_id} if made.version_id else {})

    def _PutObject(self, asked: Asked) -> WireResponse:  # noqa: N802  # as S3 names it, for all that follow
        checksum = self._require_intact(asked)
        conditional = self._check(asked)
        etag = hashlib.md5(asked.body, usedforsecurity=False).hexdigest()
        made = self._object(asked, asked.body, etag, self.kept_headers(asked))
        return answer(headers=self._stored(asked, replace(made, checksum=checksum), conditional=conditional))

    def _CopyObject(self, asked: Asked) -> WireResponse:  # noqa: N802
        source = self._copy_source(asked)
        conditional = self._check(asked)
        kept = self.kept_headers(asked)
        if asked.headers.get("x-amz-metadata-directive") != "REPLACE":
            kept = source.headers
        made = replace(self._object(asked, source.body, source.etag, kept), checksum=source.checksum)
        headers = self._stored(asked, made, conditional=conditional)
        return self._copied(made, headers)

    def _copied(self, made: StoredObject, headers: dict[str, str]) -> WireResponse:
        document = f"<CopyObjectResult><ETag>&quot;{made.etag}&quot;</ETag><LastModified>{iso_date(made.modified_ns)}</LastModified></CopyObjectResult>"
        return answer(document.encode(), headers={k: v for k, v in headers.items() if k != "etag"})

    def _copy_source(self, asked: Asked) -> StoredObject:
        bucket_and_key = unquote(asked.headers["x-amz-copy-source"], errors="surrogateescape").removeprefix("/")
        source = self.objects.now.get(bucket_and_key.partition("/")[2])
        if source is None:
            raise Refused(404, "NoSuchKey")
        if self.profile.conditions:
            self._compare(source, asked.headers.get("x-amz-copy-source-if-match", ""), "")
        return source

    def _DeleteObject(self, asked: Asked) -> WireResponse:  # noqa: N802
        conditional = self._check(asked)
        self.objects.put(asked.key, None, "DeleteObject", writer=asked.writer, conditional=conditional)
        return answer(status=204)

    def _DeleteObjects(self, asked: Asked) -> WireResponse:  # noqa: N802
        said = []
        for _, fields in records(asked.body, {"Object"}):
            key, etag = fields["Key"], fields.get("ETag", "")
            try:
                if etag and self.profile.conditions:
                    self._compare(self.objects.now.get(key), etag, "")
            except Refused as refused:
                said.append(f"<Error><Key>{text(key)}</Key><Code>{refused.code}</Code></Error>")
                continue
            conditional = bool(etag) and self.profile.conditions
            self.objects.put(key, None, "DeleteObjects", writer=asked.writer, conditional=conditional)
            said.append(f"<Deleted><Key>{text(key)}</Key></Deleted>")
        return answer(f"<DeleteResult>{''.join(said)}</DeleteResult>".encode())

    # Reading
    def _HeadObject(self, asked: Asked) -> WireResponse:  # noqa: N802
        found = self._read(asked)
        headers = object_headers(found, checksum=asked.headers.get("x-amz-checksum-mode") == "ENABLED")
        return answer(headers=headers | {"content-length": str(len(found.body))})

    def _GetObject(self, asked: Asked) -> WireResponse:  # noqa: N802
        found = self._read(asked)
        size = len(found.body)
        wanted = _RANGE(asked.headers.get("range", ""))
        if wanted is None:
            headers = object_headers(found, checksum=asked.headers.get("x-amz-checksum-mode") == "ENABLED")
            return answer(found.body, headers=headers | {"content-length": str(size)})
        start, end = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
        if start >= size:
            raise Refused(416, "InvalidRange")
        body = found.body[start : end + 1]
        headers = object_headers(found, checksum=False)
        headers |= {"content-length": str(len(body)), "content-range": f"bytes {start}-{end}/{size}"}
        return answer(body, status=206, headers=headers)

    def _read(self, asked: Asked) -> StoredObject:
        found = self._present(asked.key) if asked.request.method == "HEAD" else self.objects.now.get(asked.key)
        if found is None:
            raise Refused(404, "NoSuchKey")
        if_match = asked.headers.get("if-match", "")
        if if_match not in {"", "*", found.etag, f'"{found.etag}"'}:
            raise Refused(412, "PreconditionFailed")
        return found

    def _ListObjectsV2(self, asked: Asked) -> WireResponse:  # noqa: N802
        query = asked.query
        encoded = query.get("encoding-type") == "url"
        limit = min(int(query.get("max-keys", "1000")), self._page_keys)
        after = bytes.fromhex(query.get("continuation-token", "")).decode("utf-8", "surrogateescape")
        rows: list[str] = []
        last = token = ""
        for key, found in self.objects.listed(query.get("prefix", ""), after, self._time_s() - self.lag_s()):
            if len(rows) == limit:
                token = last.encode("utf-8", "surrogateescape").hex()
                break
            last = key
            shown = quote(key.encode("utf-8", "surrogateescape"), safe="/~") if encoded else text(key)
            rows.append(
                f"<Contents><Key>{shown}</Key><LastModified>{iso_date(found.modified_ns)}</LastModified>"
                f"<ETag>&quot;{found.etag}&quot;</ETag><Size>{len(found.body)}</Size></Contents>"
            )
        more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        kind = "<EncodingType>url</EncodingType>" if encoded else ""
        cut = "true" if token else "false"
        document = f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{kind}{more}{''.join(rows)}</ListBucketResult>"
        return answer(document.encode())

    # Multipart
    def _CreateMultipartUpload(self, asked: Asked) -> WireResponse:  # noqa: N802
        upload_id = self._uploads.begin(asked.key, self.kept_headers(asked), self.now_ns())
        return answer(f"<R><UploadId>{upload_id}</UploadId></R>".encode())

    def _UploadPart(self, asked: Asked) -> WireResponse:  # noqa: N802
        self._require_intact(asked)
        etag = self._uploads.part(asked.query["uploadId"], int(asked.query["partNumber"]), asked.body)
        return answer(headers={"etag": f'"{etag}"'})

    def _UploadPartCopy(self, asked: Asked) -> WireResponse:  # noqa: N802
        source = self._copy_source(asked)
        wanted = _RANGE(asked.headers.get("x-amz-copy-source-range", "bytes=0-"))
        start, end = (int(wanted[1]), int(wanted[2] or len(source.body)) + 1) if wanted else (0, len(source.body))
        etag = self._uploads.part(asked.query["uploadId"], int(asked.query["partNumber"]), source.body[start:end])
        return answer(f"<R><ETag>&quot;{etag}&quot;</ETag></R>".encode())

    def _CompleteMultipartUpload(self, asked: Asked) -> WireResponse | Commit:  # noqa: N802
        upload_id = asked.query["uploadId"]
        body, etag, kept = self._uploads.joined(upload_id, asked.body)
        whole = asked._replace(body=body)
        checksum = self._require_intact(whole)
        conditional = self._check(asked)

        def commit() -> WireResponse:
            self._uploads.end(upload_id)
            made = replace(self._object(asked, body, etag, kept), checksum=checksum)
            headers = self._stored(asked, made, conditional=conditional)
            return answer(f"<R><ETag>&quot;{etag}&quot;</ETag></R>".encode(), headers=headers)

        return commit if self.profile.racy_complete else commit()

    def _AbortMultipartUpload(self, asked: Asked) -> WireResponse:  # noqa: N802
        self._uploads.end(asked.query["uploadId"])
        return answer(status=204)

    def _ListMultipartUploads(self, asked: Asked) -> WireResponse:  # noqa: N802
        rows = "".join(
            f"<Upload><Key>{text(key)}</Key><UploadId>{upload_id}</UploadId><Initiated>{iso_date(begun_ns)}</Initiated></Upload>"
            for upload_id, key, begun_ns in self._uploads.open(asked.query.get("prefix", ""))
        )
        return answer(f"<R><IsTruncated>false</IsTruncated>{rows}</R>".encode())
