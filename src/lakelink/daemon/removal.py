"""What goes when a link goes, and what stays."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lakelink.config.document import Document
from lakelink.daemon.journals import journal_path, link_directory
from lakelink.daemon.lazy_tree import give_back, tree_of
from lakelink.errors import LakelinkError
from lakelink.links.hsm.kernel import LazyKernel
from lakelink.links.sight import unmark
from lakelink.locations.base import Delete, Location
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.resolve import OpenOptions, local_path, open_location, parse_location
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.link import Agreed
from lakelink.model.linkspec import LinkSpec
from lakelink.model.path import OWN_DIRECTORY, ROOT, display
from lakelink.state.journal import Journal

BATCH = 256


async def remove_files(spec: LinkSpec, document: Document, state_dir: Path) -> int:
    """Remove the local files of a stopped link that the lake holds just so; returns how many paths went.

    Both sides are asked right before each goes: a file that is not the version that was agreed on stays, and so does one whose object is not.
    What is held, in conflict or in trouble stays, and so do the directories around it. May be repeated.

    Raises:
        RootMissing, NotPermitted, Unreachable: a side cannot be used; what is gone until then is in the lake.
    """
    kernel = LazyKernel() if spec.lazy else None
    files = LocalLocation(tree_of(spec, document), kernel=kernel, options=LocalOptions(trash=False, create_root=False))
    lake = await open_location(parse_location(spec.lake, document), OpenOptions(writable=False, one_file=False))
    try:
        with closing(Journal.open(journal_path(state_dir, spec))) as journal:
            return await _remove(files, lake, journal)
    finally:
        await lake.aclose()
        await files.aclose()


async def _remove(files: Location, lake: Location, journal: Journal) -> int:
    unsure = {ROOT, *(held.path for held in journal.held()), *(each.problem.path for each in journal.problems())}
    unsure |= {clash.path for clash in journal.conflicts()} | {intent.path for intent in journal.intents()}
    unsure |= {path for path, _, _ in journal.dirty()}
    # What is inside a directory comes behind it in this order, so that backwards each directory is empty when its turn comes.
    paths = [path for path in reversed(journal.below(ROOT)) if path not in unsure]
    gone = 0
    for start in range(0, len(paths), BATCH):
        part = paths[start : start + BATCH]
        agreed = journal.base(part)
        gone += await _remove_batch(files, lake, [(path, agreed[path]) for path in part if path in agreed])
    await files.flush()
    return gone


async def _remove_batch(files: Location, lake: Location, batch: Sequence[tuple[str, Agreed]]) -> int:
    there = await lake.stat([path for path, _ in batch])
    deletes = [
        Delete(path, base.files.kind, Expect(base.files.version))
        for (path, base), now in zip(batch, there, strict=True)
        if _is_held_by(base.lake, now)
    ]
    answers = await files.delete(deletes)
    return sum(answer is None for answer in answers)


def _is_held_by(agreed: Entry, now: Entry | LakelinkError | None) -> bool:
    """Whether the lake still has what was agreed on. A directory holds no bytes of its own."""
    if not isinstance(now, Entry) or now.kind is not agreed.kind:
        return agreed.kind is Kind.DIR and now is None
    if agreed.kind is Kind.DIR:
        return True
    return bool(agreed.version and now.version and agreed.version.etag == now.version.etag)


def release(spec: LinkSpec, document: Document) -> list[str]:
    """Take the link's marker out of its directory; what could not be done is a sentence."""
    try:
        unmark(tree_of(spec, document), spec.ident)
    except LakelinkError as error:
        return [f"the marker of the link stays in its directory: {error.message}"]
    return give_back(spec, document) if spec.lazy else []


def forget(state_dir: Path, spec: LinkSpec) -> None:
    """Remove what lakelink keeps about a link that is not in the registry any more. What cannot be removed now goes when a daemon starts."""
    with contextlib.suppress(OSError):
        shutil.rmtree(link_directory(state_dir, spec.ident))


def kept(spec: LinkSpec, document: Document, *, files: bool = True) -> list[str]:
    """What is still there after a link was let go, a sentence each."""
    told = []
    with contextlib.suppress(LakelinkError):
        root = Path(local_path(parse_location(spec.files, document)))
        if files:
            told.append(f"the files stay in {display(spec.files)}")
        if (root / OWN_DIRECTORY / "trash").is_dir():
            told.append(f"what was removed or replaced stays in {display(str(root / OWN_DIRECTORY / 'trash'))}")
    return [*told, f"the objects stay at {spec.lake}"]
