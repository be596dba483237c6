"""One association at work: a directory and a prefix, and what each side has told the other so far.

It behaves as the documentation says FSx for Lustre does, faults included: whichever side is handled first wins where both
changed, and nothing is kept of the other. Data is copied at once where the service would load it at the first read; a reader
cannot tell the difference, except that the bytes are still there when their object has gone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from lakelink.testing.aws import objects

S3: TypeAlias = Any  # a boto3 client
LakeSign: TypeAlias = tuple[str, float]  # ETag and Last-Modified: a copy onto itself moves only the second
FileSign: TypeAlias = tuple[
    int, int, int, str
]  # mode with type bits, owner, group, digest or target; times are no reason to export


@dataclass(frozen=True, slots=True)
class Failure:
    """One path that could not be brought over, with the code that the service writes into its reports and logs."""

    path: str
    code: str


@dataclass(slots=True)
class Mirror:
    """A directory and a prefix.

    `heard` and `noticed` are what the automatic policies have dealt with, carried out or not; `imported` and `exported` are what
    really arrived, which is what tasks compare with.
    """

    s3: S3
    bucket: str
    prefix: str
    directory: Path
    heard: dict[str, LakeSign] = field(default_factory=dict)
    noticed: dict[str, FileSign] = field(default_factory=dict)
    imported: dict[str, LakeSign] = field(default_factory=dict)
    exported: dict[str, FileSign] = field(default_factory=dict)
    log: list[Failure] = field(default_factory=list)

    def lake(self) -> dict[str, LakeSign]:
        """Every object below the prefix, by its key without it."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        found = {}
        for item in (item for page in pages for item in page.get("Contents", [])):
            relative = item["Key"][len(self.prefix) :]
            if relative:
                found[relative] = (item["ETag"], item["LastModified"].timestamp())
        return found

    def files(self) -> dict[str, FileSign]:
        """Everything in the directory that can be an object; directories end in `/`."""
        found: dict[str, FileSign] = {}
        for parent, folders, names in os.walk(self.directory):
            for name in [*folders, *names]:
                path = Path(parent, name)
                sign = _sign(path)
                if sign is not None:
                    relative = path.relative_to(self.directory).as_posix()
                    found[f"{relative}/" if stat.S_ISDIR(sign[0]) else relative] = sign
        return found

    def begin(self) -> None:
        """What both sides hold already is no event: an association starts with what happens next."""
        self.heard, self.noticed = self.lake(), self.files()

    # Lake to files

    def auto_import(self, events: Collection[str]) -> int:
        """Deal with what happened in the bucket since the last time; how many paths were touched."""
        now, before = self.lake(), self.heard
        self.heard = dict(now)
        touched = 0
        for relative in sorted(now):
            if relative not in before:
                touched += "NEW" in events and self._bring_in(relative, now[relative])
            elif before[relative] != now[relative]:
                there = os.path.lexists(self._path(relative))
                touched += "CHANGED" in events and there and self._bring_in(relative, now[relative])
        for relative in sorted(before.keys() - now.keys(), reverse=True):
            touched += "DELETED" in events and self._take_out(relative)
        return touched

    def import_all(self, wanted: Callable[[str], bool]) -> Iterator[Failure | None]:
        """An import task: what is new or changed, never a delete. Yields per path: None, or why not."""
        for relative, sign in sorted(self.lake().items()):
            if wanted(relative) and self.imported.get(relative) != sign:
                failures = len(self.log)
                self._bring_in(relative, sign)
                yield self.log[-1] if len(self.log) > failures else None

    def _bring_in(self, relative: str, sign: LakeSign) -> bool:
        """One object as a file, whole: it appears under its name only when it is complete."""
        if not objects.importable(relative):
            return self._failed(relative, "S3ImportObjectPathNotPosixCompliant")
        fetched = self._fetch(relative)
        if fetched is None:
            return self._failed(relative, "S3ImportObjectDeleted")
        metadata, body, modified_ns = fetched
        attributes = objects.attributes_of(metadata)
        path = self._path(relative)
        before = path.lstat() if os.path.lexists(path) else None
        folder = relative.endswith("/")
        if before is not None and stat.S_ISDIR(before.st_mode) != folder:
            return self._failed(relative, "S3ImportObjectTypeMismatch")
        if not self._parents(path):
            return self._failed(relative, "S3ImportObjectTypeMismatch")
        if folder:
            path.mkdir(exist_ok=True)
        else:
            staged = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.importing")
            if stat.S_ISLNK(attributes.kind):
                staged.symlink_to(body.decode("utf-8"))
            else:
                staged.write_bytes(body)
            staged.replace(path)
        objects.apply(path, attributes, keep=before, modified_ns=modified_ns)
        # The signs are those of what was read and written here: whatever happened since then is news for the next round.
        self.heard[relative] = self.imported[relative] = sign
        self.noticed[relative] = self.exported[relative] = _signed(path.lstat(), b"" if folder else body)
        return True

    def _fetch(self, relative: str) -> tuple[dict[str, str], bytes, int] | None:
        """Metadata, body and time of an object; None if it has gone since it was listed."""
        from botocore.exceptions import ClientError

        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=self.prefix + relative)
        except ClientError as problem:
            if problem.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return answer["Metadata"], answer["Body"].read(), int(answer["LastModified"].timestamp() * 1e9)

    def _parents(self, path: Path) -> bool:
        """The directories above a file; they come with the import, so they are no event. False if a file is in the way."""
        missing = [parent for parent in path.parents if parent.is_relative_to(self.directory) and not parent.is_dir()]
        if any(os.path.lexists(parent) for parent in missing):
            return False
        for parent in reversed(missing):
            parent.mkdir()
            relative = f"{parent.relative_to(self.directory).as_posix()}/"
            if sign := _sign(parent):
                self.noticed[relative] = sign
        return True

    def _take_out(self, relative: str) -> bool:
        """A deleted object: its file goes, locked or changed or not; a directory only when it is empty."""
        path = self._path(relative)
        folder = path.is_dir() and not path.is_symlink()
        if not os.path.lexists(path) or folder != relative.endswith("/"):
            return False
        if not folder:
            path.unlink()
        elif any(path.iterdir()):
            return False
        else:
            path.rmdir()
        for known in (self.noticed, self.exported):
            known.pop(relative, None)
        self.imported.pop(relative, None)
        return True

    # Files to lake

    def auto_export(self, events: Collection[str]) -> int:
        """Deal with what happened in the directory since the last time; how many paths were touched."""
        now, before = self.files(), self.noticed
        self.noticed = dict(now)
        touched = 0
        for relative in sorted(now):
            if relative not in before:
                touched += "NEW" in events and self._send_out(relative)
            elif before[relative] != now[relative]:
                touched += "CHANGED" in events and self._send_out(relative)
        for relative in sorted(before.keys() - now.keys(), reverse=True):
            if "DELETED" in events:
                self.s3.delete_object(Bucket=self.bucket, Key=self.prefix + relative)
                self.heard.pop(relative, None)
                self.imported.pop(relative, None)
                self.exported.pop(relative, None)
                touched += 1
        return touched

    def export_all(self, wanted: Callable[[str], bool]) -> Iterator[Failure | None]:
        """An export task: data and metadata changed since they were last exported. Yields per path: None, or why not."""
        for relative, sign in sorted(self.files().items()):
            if wanted(relative) and self.exported.get(relative) != sign:
                yield None if self._send_out(relative) else self.log[-1]

    def _send_out(self, relative: str) -> bool:
        """One file, directory or link as an object."""
        path, key = self._path(relative), self.prefix + relative
        try:
            length = len(key.encode("utf-8"))
        except UnicodeEncodeError:
            return self._failed(relative, "S3ExportInternalError")
        if length > objects.MAX_KEY_BYTES:
            return self._failed(relative, "S3ExportPathSizeTooLong")
        try:
            status = path.lstat()
            body = b"" if relative.endswith("/") else _content(path)
        except FileNotFoundError:
            return self._failed(relative, "S3ExportInternalError")
        sign = _signed(status, body)
        put = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=objects.metadata_of(status))
        head = self.s3.head_object(Bucket=self.bucket, Key=key)
        if head["ETag"] == put["ETag"]:
            self.heard[relative] = self.imported[relative] = (head["ETag"], head["LastModified"].timestamp())
        # The sign is that of what was sent: a file that was written meanwhile is news for the next round.
        self.noticed[relative] = self.exported[relative] = sign
        return True

    def eligible(self, relative: str, older_than_ns: int) -> bool:
        """Whether the data of a file may be released: exported, unchanged since, and not used since that moment."""
        path = self._path(relative)
        status = path.lstat()
        used = max(status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
        return stat.S_ISREG(status.st_mode) and self.exported.get(relative) == _sign(path) and used <= older_than_ns

    def _path(self, relative: str) -> Path:
        return self.directory / relative.removesuffix("/")

    def _failed(self, relative: str, code: str) -> bool:
        self.log.append(Failure(relative, code))
        return False


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def _sign(path: Path) -> FileSign | None:
    """What makes a file another one; None for what cannot be an object (devices, sockets) or has just gone."""
    try:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind not in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            return None
        return _signed(status, b"" if kind == stat.S_IFDIR else _content(path))
    except OSError:
        return None


def _signed(status: os.stat_result, content: bytes) -> FileSign:
    return status.st_mode, status.st_uid, status.st_gid, hashlib.sha256(content).hexdigest()
