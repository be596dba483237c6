"""The completion report of a task: FSx's CSV of what failed, or a JSON document per line for every path.

CSV: format REPORT_CSV_20191124, scope FAILED_FILES_ONLY (FSx for Lustre, API_CompletionReport): `FilePath,FileStatus,ErrorCode`, no header,
quoted as in RFC 4180. A path that begins with @ + - or = would be a formula to a spreadsheet: FSx's examples put it into quotes of its own,
`"@f"`, before it is quoted. One that begins with a quote is treated alike here, so that every path can be read back. The bytes of a path are
written as they are.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import secrets
from typing import BinaryIO

from lakelink.errors import LakelinkError, StorageError, UsageError
from lakelink.links.codes import report_code
from lakelink.links.placing import place
from lakelink.model.linkspec import Direction
from lakelink.model.path import display, json_fields, to_bytes

FAILED = "failed"
_SPECIAL = ("@", "+", "-", "=", '"')
_QUOTED = frozenset(',"\r\n')


def csv_line(path: str, status: str, code: str) -> str:
    """One line of the CSV, with its line end."""
    shielded = f'"{path}"' if path.startswith(_SPECIAL) else path
    return ",".join(_field(text) for text in (shielded, status, code)) + "\n"


def read_csv(text: str) -> list[tuple[str, str, str]]:
    """(path, status, code) of each line."""
    rows = []
    for row in csv.reader(io.StringIO(text, newline="")):
        path, status, code = row
        rows.append((path[1:-1] if path.startswith('"') else path, status, code))
    return rows


def check_report(path: str) -> None:
    """A report can be written there.

    Raises:
        UsageError: it is not an absolute path in a directory that is there, or there is something already.
    """
    if not path.startswith("/"):
        raise UsageError(f"the report {display(path)} is not an absolute path", hint="Write the whole path.")
    if os.path.lexists(path):
        raise UsageError(
            f"there is something at {display(path)} already", hint="A report replaces nothing. Choose another name."
        )
    if not os.path.isdir(os.path.dirname(path)):  # noqa: PTH112, PTH120  # names are strings with surrogates here
        raise UsageError(f"there is no directory for the report {display(path)}", hint="Make it first.")


class Report:
    """Written as the task goes, beside its place; it appears there whole, by `finish`, or not at all. `.csv` = FSx's CSV, else JSON lines."""

    def __init__(self, path: str, kind: Direction) -> None:
        """Raises:
        StorageError: it cannot be written there.
        """
        self._path = path
        self._kind = kind
        self._is_csv = path.endswith(".csv")
        parent, self._name = os.path.split(path)
        self._staged = f".{secrets.token_hex(8)}.report"
        self._file: BinaryIO | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._dir_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = os.open(self._staged, flags, 0o644, dir_fd=self._dir_fd)
            except OSError:
                os.close(self._dir_fd)
                raise
        except OSError as error:
            raise self._failed(error) from error
        self._file = os.fdopen(fd, "wb", buffering=1 << 16)

    def add(self, path: str, verb: str, error: LakelinkError | None) -> None:
        """One outcome. The CSV holds failures only.

        Raises:
            StorageError: it cannot be written.
        """
        if self._file is None or (self._is_csv and error is None):
            return
        code = report_code(self._kind, path, error) if error else ""
        line = csv_line(path, FAILED, code) if self._is_csv else _json_line(path, verb, code, error)
        try:
            self._file.write(to_bytes(line))
        except OSError as failure:
            raise self._failed(failure) from failure

    def finish(self) -> None:
        """It is at its place, on stable storage. May be repeated.

        Raises:
            StorageError: it cannot be written, or something has come to that place meanwhile, which stays.
        """
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            place(self._dir_fd, self._staged, self._name)
            os.fsync(self._dir_fd)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Nothing of it is left beside its place. May be repeated."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # a full disk shows at the last write, too
                file.close()
            with contextlib.suppress(OSError):  # it has its name by now
                os.unlink(self._staged, dir_fd=self._dir_fd)
            os.close(self._dir_fd)

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the report {display(self._path)} cannot be written: {error.strerror}", hint="The task itself went on."
        )


def _field(text: str) -> str:
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _json_line(path: str, verb: str, code: str, error: LakelinkError | None) -> str:
    document: dict[str, str] = {**json_fields(path), "status": FAILED if error else "succeeded", "action": verb}
    if error:
        document |= {"code": error.code, "fsx_code": code, "message": error.message, "hint": error.hint}
    return json.dumps(document) + "\n"
