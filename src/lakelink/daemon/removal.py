"""What goes when a link goes, and what stays."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lakelink.daemon.journals import link_directory
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import display


def forget(state_dir: Path, spec: LinkSpec) -> None:
    """Remove what lakelink keeps about a link that is not in the registry any more. What cannot be removed now is when a daemon starts."""
    with contextlib.suppress(OSError):
        shutil.rmtree(link_directory(state_dir, spec.ident))


def kept(spec: LinkSpec) -> list[str]:
    """What is still there after a link was let go, a sentence each."""
    return [f"the files stay in {display(spec.files)}", f"the objects stay at {spec.lake}"]
