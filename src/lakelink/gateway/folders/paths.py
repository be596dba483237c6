"""Virtual paths: absolute, normal, and never above `/`."""

from __future__ import annotations

from lakelink.errors import Declined
from lakelink.model.path import MAX_PATH_BYTES

ROOT = "/"


def virtual_path(raw: bytes, start: str = ROOT) -> str:
    """The path that a client means. What it says is relative to `start`, where its session began, and `..` ends at `/`: no name leads out.

    Raises:
        Declined: it holds a NUL byte, or is longer than any path.
    """
    if b"\0" in raw:
        raise Declined("The name holds a NUL byte")
    if len(raw) > MAX_PATH_BYTES:
        raise Declined("The name is too long")
    return joined(start, raw.decode("utf-8", "surrogateescape"))


def joined(base: str, path: str) -> str:
    """`path` as seen from the directory `base`, normal."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{base}/{path}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return ROOT + "/".join(parts)


def parent_of(path: str) -> str:
    """The directory that holds it; of `/` itself."""
    return path.rpartition("/")[0] or ROOT


def name_of(path: str) -> str:
    """The last component, "" of `/`."""
    return path.rpartition("/")[2]


def below(directory: str, path: str) -> str | None:
    """`path` relative to `directory` ("" = itself), or None where it is not below it."""
    if path == directory:
        return ""
    prefix = directory if directory == ROOT else directory + "/"
    return path[len(prefix) :] if path.startswith(prefix) else None
