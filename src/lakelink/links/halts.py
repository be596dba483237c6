"""What makes a link halt: trouble of a whole location, told apart from trouble that passes and trouble of one path."""

from __future__ import annotations

from typing import Literal

from lakelink.errors import Halt, LakeForbidden, LakeGone, LakelinkError, NotPermitted, RootGone, RootMissing
from lakelink.model.path import display


def halt_of(error: LakelinkError, side: Literal["files", "lake"], where: str) -> Halt | None:
    """The halt that an error means which a location *raised* (not the value of one path); None = it passes by itself, or concerns no location.

    `where`: the directory or the URL, for people.
    """
    if isinstance(error, Halt):
        return error
    if side == "files":
        if isinstance(error, RootMissing | NotPermitted):
            return RootGone(f"{display(where)}: {error.message}", hint=error.hint or "Is its file system mounted?")
        return None
    if isinstance(error, RootMissing):
        hint = "Is the bucket spelled right, and in this account? Nothing is deleted meanwhile."
        return LakeGone(f"{display(where)} is not there: {error.message}", hint=error.hint or hint)
    if isinstance(error, NotPermitted):
        hint = "Check the policy of the bucket and the credentials; `lakelink doctor` shows which are used."
        return LakeForbidden(f"{display(where)} may not be used: {error.message}", hint=error.hint or hint)
    return None
