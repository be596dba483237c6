"""Paths inside a location: relative, `/`-separated, never normalised, "" is the root.

A path is a `str` in the file system's own bytes, decoded as UTF-8 with surrogateescape (PEP 383): `os.fsencode(path)` gives back
exactly the bytes of the name. Whether the other side can hold a path is that side's question (`key_problem`, `file_problem`).
"""

from __future__ import annotations

import base64
from urllib.parse import quote

ROOT = ""
OWN_DIRECTORY = ".lakelink"  # lakelink's own, at the top of a root; never synced
MAX_KEY_BYTES = 1024  # S3: "Object keys ... up to 1,024 bytes" (Amazon S3 User Guide, Naming objects)
MAX_COMPONENT_BYTES = 255  # NAME_MAX of ext4, xfs, btrfs and tmpfs
MAX_PATH_BYTES = 4095  # PATH_MAX without its terminating NUL


def join(parent: str, name: str) -> str:
    """`name` below `parent`; the root adds no slash."""
    return f"{parent}/{name}" if parent else name


def split(path: str) -> tuple[str, str]:
    """(parent, last component)."""
    parent, _, name = path.rpartition("/")
    return parent, name


def is_own(path: str) -> bool:
    """Whether the path is lakelink's own (`.lakelink` at the top, or below it)."""
    return path == OWN_DIRECTORY or path.startswith(OWN_DIRECTORY + "/")


def to_bytes(path: str) -> bytes:
    """The bytes of the name as the kernel has them."""
    return path.encode("utf-8", "surrogateescape")


def is_utf8(path: str) -> bool:
    """Whether the bytes of the name are valid UTF-8."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def key_problem(path: str, prefix_bytes: int = 0) -> str | None:
    """Why a file of this path cannot be an object key below a prefix of that many bytes, or None."""
    if not is_utf8(path):
        return "the name is not valid UTF-8, and S3 keys are"
    if prefix_bytes + len(path.encode("utf-8")) > MAX_KEY_BYTES:
        return f"the key would be longer than {MAX_KEY_BYTES} bytes"
    return None


def file_problem(path: str) -> str | None:
    """Why an object of this key (relative, no trailing slash) cannot be a file, or None."""
    if "\0" in path:
        return "the key holds a NUL byte"
    if len(to_bytes(path)) > MAX_PATH_BYTES:
        return f"the path would be longer than {MAX_PATH_BYTES} bytes"
    for component in path.split("/"):
        if not component:
            return "the key has an empty component (two slashes in a row, or one in front)"
        if component in {".", ".."}:
            return f"the key has a component {component!r}"
        if len(component) > MAX_COMPONENT_BYTES // 4 and len(to_bytes(component)) > MAX_COMPONENT_BYTES:
            return f"a component of the key is longer than {MAX_COMPONENT_BYTES} bytes"
    return None


def display(path: str) -> str:
    """The path for people: one line, percent-escaped where it is not UTF-8 or not printable."""
    if is_utf8(path) and path.isprintable():
        return path
    return "".join(
        quote(ch.encode("utf-8", "surrogateescape")) if (not ch.isprintable() or ch == "%") else ch for ch in path
    )


def json_fields(path: str) -> dict[str, str]:
    """`path`; where it is not UTF-8, percent-escaped with `path_base64` beside it, which holds the exact bytes."""
    if is_utf8(path):
        return {"path": path}
    return {"path": display(path), "path_base64": base64.b64encode(to_bytes(path)).decode("ascii")}
