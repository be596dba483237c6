"""Preconditions of changes, and what to believe when the answer to a conditional change was lost.

Every overwrite and delete names the version it replaces: `If-None-Match: *` or `If-Match: ETag`, checked and carried out by the store in
one step. An answer that was lost is settled by looking: what is there is either what we sent (done), or still what was to be replaced
(send again), or something else (PreconditionFailed). The ETag of a plain PUT is a content hash, so a foreign change of metadata alone
passes `If-Match`: the bytes are those named.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakelink.errors import NotFound, PreconditionFailed
from lakelink.locations.s3.client import S3Client
from lakelink.locations.s3.metadata import bare_etag, entry_of_headers
from lakelink.model.entry import Entry, Expect, Kind, Posix
from lakelink.ports.wire import WireResponse


@dataclass(slots=True)
class Conditions:
    """What this store honours, as `learning` found out; None = not known yet. False: each change is preceded by a look instead."""

    write: bool | None = None
    complete: bool | None = None  # CompleteMultipartUpload; False as soon as one was refused as unknown
    copy: bool | None = None
    delete: bool | None = None
    batch_delete: bool | None = None


def condition_headers(expect: Expect) -> list[tuple[str, str]]:
    """The condition as request headers. An implicit directory (no ETag) has no object: nothing must be there."""
    if expect.version is None or not expect.version.etag:
        return [("if-none-match", "*")]
    return [("if-match", f'"{expect.version.etag}"')]


async def head(client: S3Client, key: str, *, checksum: bool = False) -> WireResponse | None:
    """What HEAD says about the key; None where nothing is there."""
    headers = [("x-amz-checksum-mode", "ENABLED")] if checksum else []
    request = client.request("HeadObject", "HEAD", key, headers=headers)
    try:
        return await client.call(request, key)
    except NotFound:
        return None


async def check_before(client: S3Client, key: str, expect: Expect) -> None:
    """For a store without conditions: what is there is what is expected, a moment before the change.

    Raises:
        PreconditionFailed: it is not.
    """
    found = await head(client, key)
    etag = bare_etag(found.headers.get("etag", "")) if found else ""
    wanted = expect.version.etag if expect.version else ""
    if etag != wanted:
        raise PreconditionFailed(f"{key} is no longer what was to be replaced", hint="Look again, then decide again.")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a change was to leave at a key: enough to recognise it again."""

    kind: Kind
    size_bytes: int
    posix: Posix | None
    etags: frozenset[str]  # that the store may give to this content
    checksum: tuple[str, str] | None  # header and value

    def is_there(self, found: WireResponse) -> bool:
        """Whether HEAD answers with what was sent: the same content and the same metadata."""
        entry = entry_of_headers(found.headers, marker=self.kind is Kind.DIR)
        if entry.posix != self.posix or int(found.headers.get("content-length") or -1) != self.size_bytes:
            return False
        if self.checksum and found.headers.get(self.checksum[0]) == self.checksum[1]:
            return True
        return bare_etag(found.headers.get("etag", "")) in self.etags


async def settle(client: S3Client, key: str, expect: Expect, sent: Sent) -> Entry | None:
    """After a lost answer: the entry if our change took effect, None if what was to be replaced is still there.

    Raises:
        PreconditionFailed: neither; somebody else was there. Unreachable: not even that can be asked.
    """
    found = await head(client, key, checksum=True)
    if found is not None and sent.is_there(found):
        return entry_of_headers(found.headers, marker=sent.kind is Kind.DIR)
    etag = bare_etag(found.headers.get("etag", "")) if found else ""
    if etag == (expect.version.etag if expect.version else ""):
        return None
    raise PreconditionFailed(f"{key} was changed by somebody else meanwhile", hint="Look again, then decide again.")
