"""A file that arrived, as a job carries it, and the words that stand for it in commands and targets."""

from __future__ import annotations

import base64
import datetime as dt
import posixpath
import re
from collections.abc import Mapping

from msgspec import Struct

from lakelink.config.gateway_workflows import Workflow
from lakelink.gateway.base import Stored
from lakelink.gateway.takeover.words import in_list

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


class Upload(Struct, frozen=True, kw_only=True):
    """`path` and `relative` in base64: names need not be UTF-8."""

    user: str
    session: str
    address: str
    client: str
    path_base64: str
    location: str
    relative_base64: str
    size_bytes: int
    stored_ns: int

    @property
    def path(self) -> str:
        return _text(self.path_base64)

    @property
    def relative(self) -> str:
        return _text(self.relative_base64)


def upload_of(stored: Stored, stored_ns: int) -> Upload:
    """What is kept of a file that was stored."""
    visitor = stored.visitor
    return Upload(
        user=visitor.account.name,
        session=visitor.session,
        address=visitor.address,
        client=visitor.client[:256].encode("utf-8", "replace").decode(),
        path_base64=_packed(stored.path),
        location=stored.location,
        relative_base64=_packed(stored.relative),
        size_bytes=stored.size_bytes,
        stored_ns=stored_ns,
    )


def concerns(workflow: Workflow, stored: Stored) -> bool:
    """Whether the workflow is for this upload: its user, below its folder, of such a name."""
    folder = workflow.folder.rstrip("/") + "/"
    name = posixpath.basename(stored.path)
    below = stored.path.startswith(folder)
    return below and in_list(workflow.users, stored.visitor.account.name) and in_list(workflow.files, name)


def words(upload: Upload, job: int, file: str) -> Mapping[str, str]:
    """What placeholders stand for. `file`: its path on this machine, "" where it is not on one."""
    relative = upload.relative
    return {
        "user": upload.user,
        "path": upload.path,
        "name": posixpath.basename(upload.path),
        "relative": relative,
        "url": f"{upload.location.rstrip('/')}/{relative}",
        "file": file,
        "size": str(upload.size_bytes),
        "job": str(job),
        "date": dt.datetime.fromtimestamp(upload.stored_ns // 10**9, dt.UTC).strftime("%Y-%m-%d"),
    }


def fill(text: str, known: Mapping[str, str]) -> str:
    """The text with its placeholders filled in; what is filled in is not looked at again."""
    return _PLACEHOLDER.sub(lambda match: known[match[1]], text)


def _packed(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _text(packed: str) -> str:
    return base64.b64decode(packed).decode("utf-8", "surrogateescape")
