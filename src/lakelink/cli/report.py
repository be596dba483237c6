"""`--report FILE`: one JSON line per path, in a file that is complete or not there."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO

from lakelink.errors import StorageError, UsageError
from lakelink.model.path import json_fields
from lakelink.model.task import PathResult


class ReportFile:
    """Collects lines in a file of its own beside FILE, which takes FILE's place at the end.

    Paths can be confidential, so the file is readable by its owner alone (mode 0600). After `commit` FILE holds every line, on stable
    storage; until then, whatever happens, FILE is what it was before.
    """

    def __init__(self, path: Path) -> None:
        """Open the file beside it.

        Raises:
            UsageError: the directory is not there or cannot be written; nothing has been synced yet.
        """
        self._path = path
        self._file: IO[str] | None = None
        try:
            fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from the start
        except OSError as error:
            raise UsageError(
                f"the report {path} cannot be written: {error.strerror}", hint="Name a file in a directory that exists."
            ) from error
        self._name = name
        self._file = os.fdopen(fd, "w", encoding="utf-8", buffering=1 << 16)

    def add(self, result: PathResult) -> None:
        """One line: what happened to one path.

        Raises:
            StorageError: the disk that holds the report is full.
        """
        document: dict[str, object] = {**json_fields(result.path), "action": result.action}
        if result.size_bytes:
            document["size_bytes"] = result.size_bytes
        if result.reason:
            document["reason"] = result.reason
        if result.problem is not None:
            document |= {
                "code": result.problem.code,
                "message": result.problem.message,
                "hint": result.problem.hint,
            }
        try:
            self._open.write(json.dumps(document) + "\n")
        except OSError as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """Put the file in its place.

        Raises:
            StorageError: it cannot be written completely; FILE is what it was before.
        """
        try:
            with self._open as file:
                file.flush()
                os.fsync(file.fileno())
            Path(self._name).replace(self._path)
        except OSError as error:
            self.discard()
            raise self._failed(error) from error
        self._file = None

    def discard(self) -> None:
        """Forget the lines; FILE is what it was before. Idempotent, and nothing after `commit`."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # what is still buffered may not fit; it is thrown away
            self._file.close()
        self._file = None
        Path(self._name).unlink(missing_ok=True)

    @property
    def _open(self) -> IO[str]:
        if self._file is None:
            raise ValueError("the report is closed")
        return self._file

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the report {self._path} cannot be written: {error.strerror}",
            hint="Free some space, or name another file.",
        )
