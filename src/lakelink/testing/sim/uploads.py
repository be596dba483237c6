"""Multipart uploads that are under way at the simulated store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from lakelink.locations.s3.xml import records
from lakelink.testing.sim.answers import Refused


@dataclass(slots=True)
class _Upload:
    key: str
    kept: dict[str, str]
    begun_ns: int
    parts: dict[int, bytes] = field(default_factory=dict)


class Uploads:
    """By id. An id is never used again."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}
        self._last = 0

    def begin(self, key: str, kept: dict[str, str], now_ns: int) -> str:
        self._last += 1
        self._uploads[f"u{self._last}"] = _Upload(key, kept, now_ns)
        return f"u{self._last}"

    def part(self, upload_id: str, number: int, body: bytes) -> str:
        """Its ETag."""
        self._of(upload_id).parts[number] = body
        return hashlib.md5(body, usedforsecurity=False).hexdigest()

    def joined(self, upload_id: str, document: bytes) -> tuple[bytes, str, dict[str, str]]:
        """The whole body of the parts that the document names, its ETag, and the headers given at the beginning."""
        upload = self._of(upload_id)
        named = [fields for _, fields in records(document, {"Part"})]
        pieces: list[bytes] = []
        digests = b""
        for fields in named:
            piece = upload.parts.get(int(fields["PartNumber"]))
            digest = hashlib.md5(piece or b"", usedforsecurity=False)
            if piece is None or fields["ETag"].strip('"') != digest.hexdigest():
                raise Refused(400, "InvalidPart")
            pieces.append(piece)
            digests += digest.digest()
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(pieces)}"
        return b"".join(pieces), etag, upload.kept

    def end(self, upload_id: str) -> None:
        self._uploads.pop(upload_id, None)

    def open(self, prefix: str) -> Iterator[tuple[str, str, int]]:
        """(id, key, begun) of each that is under way."""
        for upload_id, upload in self._uploads.items():
            if upload.key.startswith(prefix):
                yield upload_id, upload.key, upload.begun_ns

    def _of(self, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise Refused(404, "NoSuchUpload")
        return upload
