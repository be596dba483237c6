"""POSIX metadata on objects, in the schema that FSx for Lustre, DataSync and Storage Gateway read and write.

Source: FSx for Lustre User Guide, "POSIX metadata support for data repositories". The writer is strict; the reader takes what those
services and their users are known to write. What is not ours is foreign and survives a rewrite.
"""

from __future__ import annotations

import base64
import functools
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lakelink.model.entry import Entry, Kind, Posix, Version, kind_of_mode, type_bits

META = "x-amz-meta-"
USER_AGENT = "lakelink"
OWN_METADATA = frozenset(
    META + name for name in ("file-permissions", "file-owner", "file-group", "file-atime", "file-mtime", "user-agent")
)
_KEPT_HEADERS = frozenset(
    {
        "content-type",
        "content-encoding",
        "content-language",
        "content-disposition",
        "cache-control",
        "expires",
        "x-amz-website-redirect-location",
    }
)
# A copy onto itself would lose these as well, but a new version of the content takes what the location's options say.
PLACEMENT_HEADERS = (
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
)
_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch
_SHA256 = re.compile(
    r"[A-Za-z0-9+/]{43}="
).fullmatch  # of the whole content: a composite one ends in its number of parts
_TIME = re.compile(r"\s*(-?\d{1,20})\s*(ns|ms|)\s*").fullmatch
_DEFAULT_MODE = {Kind.DIR: 0o755, Kind.SYMLINK: 0o777}
_MILLISECOND_NS = 1_000_000
_MAX_ID_DIGITS = 10
SECOND_NS = 1_000_000_000


def posix_headers(kind: Kind, posix: Posix | None) -> list[tuple[str, str]]:
    """The metadata of a new object, exactly as FSx writes it. Without `posix` nothing, but for a symlink what makes it one."""
    if posix is None:
        link = kind is Kind.SYMLINK
        return [("x-amz-meta-file-permissions", "0120777"), ("x-amz-meta-user-agent", USER_AGENT)] if link else []
    return [
        ("x-amz-meta-file-permissions", f"{type_bits(kind) | posix.mode:07o}"),
        ("x-amz-meta-file-owner", str(posix.uid)),
        ("x-amz-meta-file-group", str(posix.gid)),
        ("x-amz-meta-file-atime", f"{posix.atime_ns}ns"),
        ("x-amz-meta-file-mtime", f"{posix.mtime_ns}ns"),
        ("x-amz-meta-user-agent", USER_AGENT),
    ]


def foreign_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """What a rewrite must keep: foreign user metadata and the content headers."""
    return {
        name: value
        for name, value in headers.items()
        if name in _KEPT_HEADERS or (name.startswith(META) and name not in OWN_METADATA)
    }


def attribute_headers(attributes: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """`Write.attributes` as request headers; names that S3 has no place for are left out."""
    if not attributes:
        return []
    return list(foreign_attributes({name.lower(): value for name, value in attributes.items()}).items())


def read_posix(headers: Mapping[str, str], marker: bool) -> tuple[Kind, Posix | None]:
    """The kind and the POSIX metadata that the headers of an object tell; None where they hold none.

    Missing fields of partial metadata: mode 0644 (directories 0755), root:root, times of Last-Modified. A mode without type bits is a file's.
    """
    mode = _mode(headers.get("x-amz-meta-file-permissions"))
    mtime_ns = parse_time_ns(headers.get("x-amz-meta-file-mtime"))
    kind = Kind.DIR if marker else Kind.FILE
    if mode is not None and stat.S_IFMT(mode) and not marker:
        kind = Kind.SYMLINK if kind_of_mode(mode) is Kind.SYMLINK else Kind.FILE
    if mtime_ns is None and (mode is None or kind is Kind.SYMLINK):
        return kind, None
    if mtime_ns is None:
        mtime_ns = parse_http_date_ns(headers.get("last-modified", ""))
    atime_ns = parse_time_ns(headers.get("x-amz-meta-file-atime"))
    permissions = _DEFAULT_MODE.get(kind, 0o644) if mode is None else stat.S_IMODE(mode)
    return kind, Posix(
        mode=permissions,
        uid=_number(headers.get("x-amz-meta-file-owner")),
        gid=_number(headers.get("x-amz-meta-file-group")),
        mtime_ns=mtime_ns,
        atime_ns=mtime_ns if atime_ns is None else atime_ns,
    )


def entry_of_headers(headers: Mapping[str, str], *, marker: bool, size_bytes: int | None = None) -> Entry:
    """What HEAD or GET says about an object. `size_bytes` where Content-Length is that of a range."""
    kind, posix = read_posix(headers, marker)
    size = int(headers.get("content-length") or 0) if size_bytes is None else size_bytes
    version = Version(
        size,
        parse_http_date_ns(headers.get("last-modified", "")),
        etag=bare_etag(headers.get("etag", "")),
        version_id=version_id_of(headers),
    )
    return Entry(
        kind=kind,
        size_bytes=0 if kind is Kind.DIR else size,
        posix=posix,
        version=version,
        digest=_digest(headers) if kind is Kind.FILE else b"",
        attributes=foreign_attributes(headers),
    )


def _digest(headers: Mapping[str, str]) -> bytes:
    """A digest of the whole content that the store already has, as `Entry.digest` names it."""
    stored = headers.get("x-amz-checksum-sha256", "")
    if _SHA256(stored):
        return b"sha256:" + base64.b64decode(stored)
    etag = bare_etag(headers.get("etag", ""))
    # An ETag is the MD5 only of a single-part object that is not encrypted with a key of the customer or of KMS.
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256" or (
        "x-amz-server-side-encryption-customer-algorithm" in headers
    )
    return b"md5:" + bytes.fromhex(etag) if not encrypted and _MD5(etag) else b""


def version_id_of(headers: Mapping[str, str]) -> str:
    """The version id, "" on a bucket without versions (where stores say "null")."""
    version_id = headers.get("x-amz-version-id", "")
    return "" if version_id == "null" else version_id


def bare_etag(etag: str) -> str:
    """The ETag without its quotes."""
    return etag.strip().strip('"')


def parse_time_ns(text: str | None) -> int | None:
    """A time of the schema: with the suffix `ns` nanoseconds, with `ms` or none milliseconds since the epoch; None where it is neither."""
    match = _TIME(text) if text else None
    if match is None:
        return None
    number = int(match[1])
    return number if match[2] == "ns" else number * _MILLISECOND_NS


@functools.lru_cache(maxsize=1024)
def parse_http_date_ns(text: str) -> int:
    """An HTTP date in nanoseconds; 0 where there is none. Remembered: the answers of one second carry the same."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * SECOND_NS
    except (ValueError, TypeError):
        return 0


def parse_iso_ns(text: str) -> int:
    """A LastModified of a listing, in whole seconds as HEAD has it, so that both name the same version."""
    return int(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()) * SECOND_NS


def _mode(text: str | None) -> int | None:
    try:
        mode = int(text, 8) if text else None
    except ValueError:
        return None
    return mode if mode is not None and 0 <= mode <= 0o177777 else None


def _number(text: str | None) -> int:
    if not text or len(text) > _MAX_ID_DIGITS or not text.isascii() or not text.isdecimal():
        return 0
    return int(text) if int(text) < 1 << 32 else 0
