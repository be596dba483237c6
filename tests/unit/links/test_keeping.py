"""What becomes of the losing side of a conflict, where the last attempt ended halfway."""

import asyncio

import pytest

from lakelink.core.conflict_name import conflict_name
from lakelink.engine.digest import new_hash
from lakelink.errors import LakelinkError
from lakelink.links.dirty import Dirty, Mark
from lakelink.links.effects import Effects, Step
from lakelink.links.keeping import Keeper
from lakelink.links.observe import Look
from lakelink.locations.base import Write
from lakelink.locations.content import BytesContent
from lakelink.locations.local.location import LocalLocation
from lakelink.locations.local.options import LocalOptions
from lakelink.locations.memory import MemoryLocation, MemoryStore
from lakelink.model.entry import Expect, Kind
from lakelink.model.link import ConflictRule
from lakelink.model.plan import Verb
from lakelink.ports.clock import SystemClock
from lakelink.state.journal import Journal

THEIRS = b"what the lake has"


def keep(root, state, verb, rule, between=lambda: None):
    """One conflict at `f`, as it was seen before `between`; the answer, and what the lake has then."""

    async def work():
        files = LocalLocation(str(root), options=LocalOptions(trash=True, create_root=False))
        lake = MemoryLocation(MemoryStore())
        journal = Journal.open(state / "journal.sqlite")
        await lake.write([Write("f", Kind.FILE, BytesContent(THEIRS), None, Expect(None))])
        keeper = Keeper(files, lake, journal, Dirty(), SystemClock(), Effects(files, lake), "here", exports=True)
        (mine,), (theirs,) = await files.stat(["f"]), await lake.stat(["f"])
        between()
        answer = await keeper.run(Step(Look(Mark("f", 0.0), None), verb, mine, theirs), rule)
        stored = {path: node.data for path, node in lake.store.nodes.items() if path}
        await files.aclose()
        journal.close()
        return answer, stored

    return asyncio.run(work())


@pytest.mark.parametrize("left", [b"", b"x" * len(THEIRS), THEIRS, None])
def test_the_lakes_version_is_in_the_trash_whole_before_it_is_replaced(tmp_path, left):
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_bytes(b"mine")
    running = new_hash("xxh3")
    running.update(THEIRS)
    if left is not None:  # a power failure can take the bytes of a file that was not flushed, and leave its name
        (root / conflict_name("f", "lake", running.digest().hex(), 32)).write_bytes(left)

    _answer, stored = keep(root, tmp_path, Verb.TAKE_FILES, ConflictRule.FILES)
    assert stored == {"f": b"mine"}
    trash = [path.read_bytes() for path in (root / ".lakelink" / "trash").rglob("*") if path.is_file()]
    assert THEIRS in trash
    assert [path.name for path in root.iterdir() if path.name != ".lakelink"] == ["f"]


@pytest.mark.parametrize("verb", [Verb.KEEP_BOTH, Verb.TAKE_FILES, Verb.TAKE_LAKE])
def test_a_file_that_moves_while_its_conflict_is_settled_is_trouble_of_that_path(tmp_path, verb):
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_bytes(b"mine")
    answer, stored = keep(root, tmp_path, verb, ConflictRule.KEEP_BOTH, lambda: (root / "f").write_bytes(b"mine, more"))
    assert isinstance(answer, LakelinkError)
    assert stored == {"f": THEIRS}
    assert (root / "f").read_bytes() == b"mine, more"
