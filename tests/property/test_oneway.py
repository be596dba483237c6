"""Any source over any target: afterwards they are equal, and nothing is left to do."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lakelink.locations.memory import MemoryStore
from lakelink.model.entry import Kind
from lakelink.model.task import SyncOptions
from tests.unit.oneway.memory_pair import ALL, posix, sync, tree

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.tuples(
    st.sampled_from([Kind.FILE, Kind.SYMLINK]),
    st.binary(max_size=3),
    st.integers(1, 3),
    st.sampled_from([0o644, 0o600]),
)
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8).filter(
    lambda t: isinstance(t, dict)
)


def plant(store: MemoryStore, shape, path: str = "") -> None:
    for name, item in shape.items():
        here = f"{path}/{name}" if path else name
        if isinstance(item, dict):
            store.put(here, kind=Kind.DIR, posix=posix())
            plant(store, item, here)
        else:
            kind, data, mtime, mode = item
            store.put(here, data or (b"t" if kind is Kind.SYMLINK else b""), kind=kind, posix=posix(mtime, mode))


def stores(*shapes):
    made = []
    for shape in shapes:
        store = MemoryStore()
        store.create_root()
        plant(store, shape)
        made.append(store)
    return made


@settings(max_examples=60)
@given(TREES, TREES)
def test_with_delete_the_target_becomes_the_source_and_a_second_run_does_nothing(mine, theirs):
    source, target = stores(mine, theirs)
    options = SyncOptions(delete=True, allow_empty_source=True, max_delete=ALL, checksum=True)
    first = sync(source, target, options)
    assert not first.failed
    assert tree(target) == tree(source)
    second = sync(source, target, options)
    assert (second.transferred_files, second.updated_metadata, second.deleted, second.failed) == (0, 0, 0, [])


@settings(max_examples=60)
@given(TREES, TREES)
def test_without_delete_nothing_of_the_target_goes_but_what_the_source_has_in_its_place(mine, theirs):
    source, target = stores(mine, theirs)
    before = tree(target)
    result = sync(source, target, SyncOptions(checksum=True))
    after, wanted = tree(target), tree(source)
    refused = {problem.path for problem in result.failed}
    assert all(problem.code == "LL407" for problem in result.failed)
    for path, item in before.items():
        if path not in wanted and not any(
            path.startswith(p + "/") and wanted[p][0] is not Kind.DIR for p in wanted if p not in refused
        ):
            assert after[path] == item
    for path, item in wanted.items():
        if path not in refused:
            assert after[path] == item


@settings(max_examples=60)
@given(TREES, TREES)
def test_a_dry_run_changes_nothing_and_says_what_the_run_then_does(mine, theirs):
    source, target = stores(mine, theirs)
    before = tree(target)
    options = SyncOptions(delete=True, allow_empty_source=True, max_delete=ALL, dry_run=True)
    planned = sync(source, target, options)
    assert tree(target) == before
    done = sync(source, target, SyncOptions(delete=True, allow_empty_source=True, max_delete=ALL))
    assert planned.transferred_files == done.transferred_files
    assert planned.transferred_bytes == done.transferred_bytes
    assert planned.deleted == done.deleted
