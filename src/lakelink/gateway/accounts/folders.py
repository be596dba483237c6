"""Virtual folders as people write them: `/outgoing=/srv/outgoing:read-only`."""

from __future__ import annotations

from lakelink.errors import UsageError
from lakelink.model.account import Folder, Permission
from lakelink.model.units import exact_bytes, parse_bytes

HOW = "PATH=LOCATION, with :read-only, :write-only or :quota=10GiB behind it: /outgoing=/srv/outgoing:read-only"


def parse_folder(text: str) -> Folder:
    """The folder of a text.

    Raises:
        UsageError: it is none.
    """
    path, equals, rest = text.partition("=")
    if not equals or not path.startswith("/") or not rest:
        raise UsageError(f"{text!r} is no folder", hint=HOW)
    permission, quota = Permission.READ_WRITE, 0
    words = {each.value: each for each in Permission}
    while True:
        head, colon, word = rest.rpartition(":")
        if colon and head and word in words:
            permission = words[word]
        elif colon and head and word.startswith("quota="):
            quota = _quota(word.removeprefix("quota="))
        else:
            break
        rest = head
    return Folder(
        path=path if path == "/" else path.rstrip("/"), location=rest, permission=permission, quota_bytes=quota
    )


def folder_text(folder: Folder) -> str:
    """The folder as `parse_folder` reads it."""
    text = f"{folder.path}={folder.location}"
    if folder.permission is not Permission.READ_WRITE:
        text += f":{folder.permission.value}"
    return text + (f":quota={exact_bytes(folder.quota_bytes)}" if folder.quota_bytes else "")


def _quota(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(str(error), hint=HOW) from error
