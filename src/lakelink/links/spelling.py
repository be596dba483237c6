"""File systems that take two spellings for one name: a rename in the lake that changes case only would delete what it has just brought."""

from __future__ import annotations

import contextlib
import os

from lakelink.errors import Refused
from lakelink.model.link import Event
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import OWN_DIRECTORY, display, join


def check_spelling(spec: LinkSpec, root: str) -> str:
    """What the user should know of names below `root`; "" where they are kept apart. Blocking; leaves nothing behind.

    Raises:
        Refused: names that differ in case only are one file there, and what goes here would go in the lake: the object `a` that somebody renamed
            from `A` is found to be here already as the file `A`, and goes with it.
    """
    if not folds_case(root):
        return ""
    if Event.DELETED in spec.rule.exports:
        raise Refused(
            f"names that differ in case only are one file in {display(root)}, and deletions there would travel to the lake",
            hint="Link a directory whose file system keeps case apart, or carry no deletions: --export new,changed.",
        )
    return f"Names that differ in case only are one file in {display(root)}: of objects whose keys do, one is here."


def folds_case(root: str) -> bool:
    """Whether the directory of ours answers to another spelling. It is made for the moment where there is none; False where it cannot be."""
    own, other = join(root, OWN_DIRECTORY), join(root, OWN_DIRECTORY.upper())
    made = False
    try:
        os.mkdir(own, 0o700)  # noqa: PTH102  # names are strings with surrogates here
        made = True
    except FileExistsError:
        pass
    except OSError:
        return False  # others say what is the matter with the root
    try:
        return os.path.samestat(os.lstat(own), os.lstat(other))
    except OSError:
        return False
    finally:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(own)  # noqa: PTH106
