"""Checksums of bodies: sent with uploads where the store takes them, compared on downloads where the store gives them. All computed natively.

Source: Amazon S3 User Guide, "Checking object integrity": CRC64NVME and CRC32C, big-endian, base64; full-object checksums carry no
`-N` suffix. A single-part ETag is the MD5 of the content unless the store encrypts with its own key service.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping

from lakelink.locations.s3.options import Checksum
from lakelink.ports.crt_io import encode_checksum

_BLOCK_BYTES = 1 << 20
COMBINABLE = frozenset({"crc64nvme", "crc32c"})
"""Of a whole, they follow from those of its pieces."""
_SIZES = {Checksum.CRC64NVME: 8, Checksum.CRC32C: 4}


def checksum_header(algorithm: Checksum) -> str:
    """The header that carries it. A store that takes no other checksum gets an MD5, so that wrong bytes are refused, never stored (RFC 1864)."""
    return "content-md5" if algorithm is Checksum.NONE else f"x-amz-checksum-{algorithm.value}"


class Summer:
    """A running checksum."""

    def __init__(self, algorithm: Checksum) -> None:
        from awscrt import checksums

        self.algorithm = algorithm
        self._update = checksums.crc32c if algorithm is Checksum.CRC32C else checksums.crc64nvme
        self._value = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if algorithm is Checksum.NONE else None

    def update(self, data: bytes | memoryview) -> None:
        if self._md5 is not None:
            self._md5.update(data)
        else:
            self._value = self._update(data, self._value)

    @property
    def text(self) -> str:
        """As the header carries it."""
        if self._md5 is not None:
            return base64.b64encode(self._md5.digest()).decode("ascii")
        return encode_checksum(self._value, _SIZES[self.algorithm])


def checksum_of(algorithm: Checksum, data: bytes) -> str:
    """The checksum of a whole body, as the header carries it."""
    summer = Summer(algorithm)
    summer.update(data)
    return summer.text


def checksum_of_file(algorithm: Checksum, fd: int, offset: int, size_bytes: int) -> str:
    """The checksum of a piece of a file (blocking)."""
    summer = Summer(algorithm)
    end = offset + size_bytes
    while offset < end:
        data = os.pread(fd, min(_BLOCK_BYTES, end - offset), offset)
        if not data:
            break
        summer.update(data)
        offset += len(data)
    return summer.text


def combine(algorithm: Checksum, parts: list[tuple[str, int]]) -> str:
    """The checksum of the whole from (checksum, size) of its pieces, without the bytes."""
    from awscrt import checksums

    join = checksums.combine_crc32c if algorithm is Checksum.CRC32C else checksums.combine_crc64nvme
    whole = 0
    for text, size_bytes in parts:
        whole = join(whole, int.from_bytes(base64.b64decode(text), "big"), size_bytes)
    return encode_checksum(whole, _SIZES[algorithm])


class Md5Trust:
    """Whether this store's 32-digit ETags are the MD5 of the content: known only after one was seen to match, or not to.

    A store may encrypt or compress and still answer with 32 digits. So a first mismatch is not called corruption until the same
    bytes arrive twice; after a first match every mismatch is.
    """

    def __init__(self) -> None:
        self.trusted: bool | None = None


def promised_digest(headers: Mapping[str, str], trust: Md5Trust) -> tuple[str, str] | None:
    """(algorithm, value) that the whole content must have, the best that the answer offers; None where it offers nothing."""
    for name in ("crc64nvme", "crc32c", "sha256"):
        value = headers.get(f"x-amz-checksum-{name}", "")
        # A composite checksum is one of checksums: it says nothing that could be compared with the content.
        if value and "-" not in value and headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
            return name, value
    etag = headers.get("etag", "").strip('"')
    own_key = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    customer_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    if trust.trusted is not False and len(etag) == 32 and not own_key and not customer_key:
        return "md5", etag
    return None


class Digest:
    """Computes what `promised_digest` promised, over bytes or a file."""

    def __init__(self, algorithm: str) -> None:
        self._summer: Summer | None = None
        self._hash = None
        if algorithm == "md5":
            self._hash = hashlib.md5(usedforsecurity=False)
        elif algorithm == "sha256":
            self._hash = hashlib.sha256()
        else:
            self._summer = Summer(Checksum(algorithm))
        self.algorithm = algorithm

    def update(self, data: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(data)
        elif self._summer is not None:
            self._summer.update(data)

    def update_file(self, fd: int, offset: int, end: int) -> None:
        """A piece of a file (blocking)."""
        while offset < end and (data := os.pread(fd, min(_BLOCK_BYTES, end - offset), offset)):
            self.update(data)
            offset += len(data)

    @property
    def text(self) -> str:
        if self._summer is not None:
            return self._summer.text
        if self._hash is None:
            return ""
        if self.algorithm == "md5":
            return self._hash.hexdigest()
        return encode_checksum(int.from_bytes(self._hash.digest(), "big"), 32)
