"""Whether a directory can be lazy: tried on the spot with a probe file, a reader and its bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lakelink.cli.checks.finding import Finding, note, ok

CHECK = "lazy"


def lazy(state_dir: Path, locations: Sequence[str]) -> Iterator[Finding]:
    """A finding for each local directory among `locations`; without any, for the file system of the state directory. Nothing stays there."""
    directories = [text for text in locations if _is_local(text)]
    for directory in directories or [str(state_dir)]:
        yield _try(os.path.realpath(directory))


def _is_local(text: str) -> bool:
    return "://" not in text and os.path.isdir(text)  # noqa: PTH112  # as it was typed


def _try(directory: str) -> Finding:
    from lakelink.links.hsm.base import Tier
    from lakelink.links.hsm.guard import ALTERNATIVE
    from lakelink.links.hsm.probe import probe

    found = probe(directory)
    match found.tier:
        case Tier.PRE_CONTENT:
            return ok(CHECK, f"files in {directory} can be loaded when they are opened (pre-content events)")
        case Tier.OPEN:
            return note(
                CHECK,
                f"files in {directory} can be loaded when they are opened, by open events alone: {found.why}",
                "truncate(2) of a stub by its path is not seen at once. Pre-content events need Linux 6.14 and ext4, xfs or btrfs.",
            )
        case Tier.NONE:
            return note(CHECK, f"directories like {directory} cannot be lazy: {found.why}", ALTERNATIVE)
