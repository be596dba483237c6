"""The brakes."""

import pytest

from lakelink.core.safety import below, check_deletes, check_source, overlap
from lakelink.errors import Refused
from lakelink.model.task import MaxDelete


@pytest.mark.parametrize(
    ("deletes", "paths", "limit", "refused"),
    [
        (10, 10, MaxDelete(), False),
        (11, 20, MaxDelete(), True),
        (11, 22, MaxDelete(), False),
        (5, 10, MaxDelete(count=4), True),
        (4, 10, MaxDelete(count=4), False),
        (0, 10, MaxDelete(count=0), False),
        (3, 10, MaxDelete(percent=20), True),
        (2, 10, MaxDelete(percent=20), False),
        (10, 10, MaxDelete(percent=100), False),
        (3, 10, MaxDelete(count=5, percent=20), True),
    ],
)
def test_more_deletions_than_the_brake_allows_are_refused(deletes, paths, limit, refused):
    if refused:
        with pytest.raises(Refused) as caught:
            check_deletes(deletes=deletes, target_paths=paths, limit=limit)
        assert "--max-delete" in caught.value.hint
    else:
        check_deletes(deletes=deletes, target_paths=paths, limit=limit)


def test_an_empty_source_never_empties_a_target_unless_told():
    with pytest.raises(Refused):
        check_source(source_paths=0, target_paths=3, delete=True, allow_empty=False)
    check_source(source_paths=0, target_paths=3, delete=True, allow_empty=True)
    check_source(source_paths=0, target_paths=3, delete=False, allow_empty=False)
    check_source(source_paths=0, target_paths=0, delete=True, allow_empty=False)
    check_source(source_paths=1, target_paths=3, delete=True, allow_empty=False)


@pytest.mark.parametrize(
    ("path", "unknown", "is_below"),
    [
        ("a/b/c", {"a/b"}, True),
        ("a/b", {"a/b"}, True),
        ("a/bc", {"a/b"}, False),
        ("a", {"a/b"}, False),
        ("x/y/z", {""}, True),
        ("x", set(), False),
        ("x/y", {"z"}, False),
    ],
)
def test_nothing_is_concluded_below_what_is_unknown(path, unknown, is_below):
    assert below(path, unknown) is is_below


def test_a_run_never_reads_what_it_writes():
    assert overlap("file:///a", "file:///a")
    assert "inside the source" in (overlap("file:///a", "file:///a/b") or "")
    assert "inside the target" in (overlap("file:///a/b", "file:///a") or "")
    assert overlap("file:///a", "file:///ab") is None
    assert overlap("file:///", "file:///ab") is not None
