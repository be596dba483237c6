"""Random trees on a real directory and a real store, with other writers in the middle of the runs: after a quiet run both sides are equal, and
nothing has gone that the run was not told to remove.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakelink.config.document import Document
from lakelink.locations.base import Location, Write
from lakelink.locations.content import BytesContent
from lakelink.locations.resolve import OpenOptions, open_location, parse_location
from lakelink.model.entry import Entry, Expect, Kind
from lakelink.model.path import is_utf8
from lakelink.model.task import MaxDelete, SyncOptions, SyncResult, Verify
from lakelink.oneway.run import sync

pytestmark = pytest.mark.slow
ODD = ["ä b", "a\u0301", "-x", "100%", "q?&=+#", "line\nbreak", ".hidden", "a-b", "x" * 200, "caf\udce9"]
NAMES = st.one_of(st.sampled_from(["a", "b", "d"]), st.sampled_from(ODD))
LEAVES = st.tuples(
    st.sampled_from([Kind.FILE, Kind.FILE, Kind.SYMLINK]),
    st.binary(max_size=3),
    st.integers(1, 3),
    st.sampled_from([0o644, 0o600, 0o755]),
)
TREES = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6), max_size=4
)
PATHS = ["a", "b", "a/b", "d", "d/a", "new"]
EDITS = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["write", "append", "swap", "remove", "dir", "link", "chmod"])),
    max_size=5,
)
OPTIONS = SyncOptions(delete=True, allow_empty_source=True, max_delete=MaxDelete(percent=100))
_numbers = itertools.count()


@pytest.fixture(scope="module")
def lake(seaweed, tmp_path_factory) -> Iterator[str]:
    """The URL of the bucket; the environment leads there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELINK_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("AWS_ENDPOINT_URL_S3", seaweed.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
        patch.setenv("AWS_REGION", "us-east-1")
        yield f"s3://{seaweed.bucket}"


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELINK_STATE_DIR", str(tmp_path_factory.mktemp("states")))
        yield


def plant(root: Path, shape) -> None:
    root.mkdir(exist_ok=True)
    for name, item in shape.items():
        here = root / name
        if isinstance(item, dict):
            plant(here, item)
            continue
        kind, data, mtime, mode = item
        if kind is Kind.SYMLINK:
            here.symlink_to(data.hex() or "t")
        else:
            here.write_bytes(data)
            here.chmod(mode)
        os.utime(here, ns=(mtime, mtime), follow_symlinks=False)


def edit(root: Path, path: str, how: str) -> bytes:
    """What somebody else does; the bytes that are there afterwards, if it made a file."""
    here = root / path
    data = b"edit %d" % next(_numbers)
    with contextlib.suppress(OSError):
        match how:
            case "write":
                here.write_bytes(data)
                return data
            case "append":
                with here.open("ab") as file:
                    file.write(data)
            case "swap":
                other = root / f".swap{next(_numbers)}"
                other.write_bytes(data)
                try:
                    other.rename(here)
                except OSError:
                    other.unlink()
                    raise
                return data
            case "chmod":
                here.chmod(0o700)
            case _:
                shutil.rmtree(here) if here.is_dir() and not here.is_symlink() else here.unlink(missing_ok=True)
                if how == "dir":
                    (here / "inner").mkdir(parents=True)
                elif how == "link":
                    here.symlink_to("elsewhere")
    return b""


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that is kept, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name, st = str(path.relative_to(root)), path.lstat()
        if stat.S_ISLNK(st.st_mode):
            found[name] = ("link", str(path.readlink()), st.st_mtime_ns)
        elif stat.S_ISDIR(st.st_mode):
            found[name] = ("dir", stat.S_IMODE(st.st_mode), st.st_mtime_ns)
        else:
            found[name] = ("file", path.read_bytes(), stat.S_IMODE(st.st_mode), st.st_mtime_ns)
    return found


class Meddler:
    """Does the next of its deeds whenever the run has reported a path."""

    def __init__(self, *deeds) -> None:
        self.deeds = list(deeds)

    def __call__(self, _line) -> None:
        if self.deeds:
            self.deeds.pop(0)()

    def rest(self) -> None:
        while self.deeds:
            self.deeds.pop(0)()


def run(source: Path | str, target: Path | str, options: SyncOptions = OPTIONS, report=None) -> SyncResult:
    return asyncio.run(sync(str(source), str(target), options, report=report))


def quiet(source: Path | str, target: Path | str, options: SyncOptions = OPTIONS) -> None:
    """One quiet run mends everything, and a second one finds nothing to do."""
    for result in (run(source, target, options), run(source, target, options)):
        assert {p.code for p in result.failed} <= {"LL406"}, result.failed
    assert (result.transferred_files, result.updated_metadata, result.deleted, result.created_directories) == (0,) * 4


async def _foreign_put(url: str, path: str, data: bytes) -> None:
    location: Location = await open_location(parse_location(url, Document()), OpenOptions())
    try:
        (there,) = await location.stat([path])
        if there is None or (isinstance(there, Entry) and there.kind is Kind.FILE):
            expect = Expect(there.version if there else None)
            await location.write([Write(path, Kind.FILE, BytesContent(data), None, expect)])
    finally:
        await location.aclose()


SETTINGS = settings(max_examples=8)


@SETTINGS
@given(TREES, EDITS, EDITS)
def test_a_directory_and_a_store_are_equal_after_a_quiet_run_whatever_happened_before(lake, first, during, between):
    folder = Path(tempfile.mkdtemp())
    try:
        source, back, prefix = folder / "source", folder / "back", f"{lake}/real{next(_numbers)}"
        plant(source, first)
        meddler = Meddler(*(lambda e=e: edit(source, *e) for e in during))
        run(source, prefix, report=meddler)
        meddler.rest()
        for change in between:
            edit(source, *change)
        asyncio.run(_foreign_put(prefix, "z/foreign", b"foreign"))
        asyncio.run(_foreign_put(prefix, "b", b"foreign"))
        before = tree(source)
        quiet(source, prefix)
        back.mkdir()
        (back / "d").write_bytes(b"in the way")
        meddler = Meddler(*(lambda e=e: edit(back, *e) for e in during))
        run(prefix, back, report=meddler)
        meddler.rest()
        quiet(prefix, back)
        assert tree(source) == before
        assert tree(back) == {path: what for path, what in before.items() if is_utf8(path)}
        assert back.stat().st_mtime_ns == source.stat().st_mtime_ns
    finally:
        shutil.rmtree(folder)


@SETTINGS
@given(TREES, TREES, EDITS, EDITS)
def test_two_directories_are_equal_after_a_quiet_run_whatever_happened_before(
    states, mine, theirs, at_source, at_target
):
    folder = Path(tempfile.mkdtemp())
    try:
        source, target = folder / "source", folder / "target"
        plant(source, mine)
        plant(target, theirs)
        deeds = [lambda e=e: edit(source, *e) for e in at_source] + [lambda e=e: edit(target, *e) for e in at_target]
        meddler = Meddler(*deeds)
        run(source, target, report=meddler)
        meddler.rest()
        before = tree(source)
        quiet(source, target)
        assert tree(source) == before
        assert tree(target) == before
        assert not run(source, target, SyncOptions(verify=Verify.ALL)).failed
    finally:
        shutil.rmtree(folder)


@SETTINGS
@given(TREES, TREES, EDITS)
def test_without_delete_what_only_the_target_has_survives_every_edit_in_between(states, mine, theirs, at_target):
    folder = Path(tempfile.mkdtemp())
    try:
        source, target = folder / "source", folder / "target"
        plant(source, mine)
        plant(target, theirs)
        written: dict[str, bytes] = {}

        def deed(path: str, how: str) -> None:
            data = edit(target, path, how)
            if data:
                written[path] = data

        own = [(path, how) for path, how in at_target if how in {"write", "swap"}]
        meddler = Meddler(*(lambda e=e: deed(*e) for e in own))
        only_there = {p: w for p, w in tree(target).items() if w[0] == "file"}
        run(source, target, SyncOptions(), report=meddler)
        meddler.rest()
        for path, data in ({p: w[1] for p, w in only_there.items()} | written).items():
            # What the source has at the path or in its way rules; everything else is none of its business.
            in_the_way = any(os.path.lexists(source / p) and not (source / p).is_dir() for p in Path(path).parents)
            if not os.path.lexists(source / path) and not in_the_way:
                assert (target / path).read_bytes() == data
    finally:
        shutil.rmtree(folder)


def test_names_that_the_store_folds_into_one_never_replace_each_other(lake, tmp_path):
    source, prefix = tmp_path / "source", f"{lake}/real{next(_numbers)}"
    plant(source, {"a": {"b": (Kind.FILE, b"the one", 1, 0o644)}, "a\\b": (Kind.FILE, b"the other", 1, 0o644)})
    run(source, prefix)
    for _ in range(2):
        assert [p.code for p in run(source, prefix).failed] == ["LL400"]
        run(prefix, tmp_path / "back")
        assert (tmp_path / "back/a/b").read_bytes() == b"the one"
