"""Paths inside a link, as they are typed."""

from __future__ import annotations

from lakelink.errors import UsageError


def inside(path: str) -> str:
    """The path relative to the link's directory, without ornaments: `./a/`, `a` and `a/` are one. "" is all of it.

    Raises:
        UsageError: it is absolute, or leads out.
    """
    if path.startswith("/"):
        raise UsageError(f"{path} is absolute", hint="Write it relative to the link's directory.")
    components = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in components:
        raise UsageError(f"{path} leads out of the link", hint="Write it without .. components.")
    return "/".join(components)
