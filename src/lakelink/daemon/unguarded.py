"""Views that nothing guards any more are taken away: what a service manager has done right after a daemon ended, however it ended."""

from __future__ import annotations

import time
from pathlib import Path

from lakelink.config.document import Document
from lakelink.links.hsm import backing, view
from lakelink.links.hsm.holding import find_holder
from lakelink.links.registry import Registry
from lakelink.locations.resolve import local_path, parse_location

HEIR_WITHIN_S = 1.0  # a worker that lives starts a holder within a fifth of that
_POLL_S = 0.1


def withdraw(registry: Registry, document: Document, _state_dir: Path) -> list[str]:
    """Take away each view of a lazy link that has no holder; the views that went. No daemon runs.

    Nobody reaches files by the path of such a view afterwards; who is inside stays there. Where a holder or a worker lives, readers wait, and the view stays.

    Raises:
        StorageError: a view cannot be taken away.
    """
    gone = []
    for spec in registry.list():
        if spec.lazy is None:
            continue
        root = local_path(parse_location(spec.files, document))
        tree = backing.tree_of(root)
        if view.is_mounted(root, tree) and not _is_guarded(backing.backing_of(root)):
            view.withdraw(root, tree, detach=True)
            gone.append(root)
    return gone


def _is_guarded(state: str) -> bool:
    until_s = time.monotonic() + HEIR_WITHIN_S
    while True:
        held = find_holder(state)
        if held is not None:
            held.close()
            return True
        if time.monotonic() > until_s:
            return False
        time.sleep(_POLL_S)
