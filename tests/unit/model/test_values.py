import stat

import pytest

from lakelink.model.change import Change, Problem, Skipped, SkipReason
from lakelink.model.entry import Entry, Kind, Row, Version, kind_of_mode, type_bits
from lakelink.model.link import UNKNOWN
from lakelink.model.task import Action, PlannedStep, SyncResult


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (stat.S_IFREG | 0o644, Kind.FILE),
        (stat.S_IFDIR | 0o755, Kind.DIR),
        (stat.S_IFLNK | 0o777, Kind.SYMLINK),
        (stat.S_IFIFO, Kind.OTHER),
        (stat.S_IFCHR, Kind.OTHER),
        (stat.S_IFSOCK, Kind.OTHER),
    ],
)
def test_the_type_bits_name_the_kind(mode, kind):
    assert kind_of_mode(mode) is kind


def test_type_bits_and_kinds_are_inverse_where_there_are_bits():
    assert {kind: kind_of_mode(type_bits(kind)) for kind in (Kind.FILE, Kind.DIR, Kind.SYMLINK)} == {
        k: k for k in (Kind.FILE, Kind.DIR, Kind.SYMLINK)
    }
    assert type_bits(Kind.OTHER) == type_bits(Kind.PROBLEM) == 0


def test_a_row_gives_the_version_it_saw():
    assert Row("a", Kind.FILE, 3, 7, 0o644, 0, 0, 7, 12).version == Version(3, 7, ino=12)
    assert Row("a", Kind.FILE, 3, -1, -1, -1, -1, 7, "etag").version == Version(3, 7, etag="etag")


def test_values_are_frozen():
    with pytest.raises(AttributeError):
        Entry(kind=Kind.FILE).size_bytes = 1  # type: ignore[misc]
    assert Change("a", None, Entry(kind=Kind.DIR)).old is None


def test_a_result_says_its_exit_code():
    assert SyncResult(source="a", target="b").exit_code == 0
    assert SyncResult(source="a", target="b", failed=[Problem("p", "LL301", "no")]).exit_code == 1
    assert SyncResult(source="a", target="b", interrupted=True, failed=[Problem("p", "LL301", "no")]).exit_code == 130


def test_the_json_document_carries_paths_that_are_not_utf8_and_the_plan_only_when_asked():
    result = SyncResult(
        source="a",
        target="b",
        failed=[Problem("x\udcff", "LL301", "no", "hint")],
        skipped=[Skipped("fifo", SkipReason.SPECIAL)],
        plan=[PlannedStep("n", Action.CREATE, 3, "new")],
        requests={"PutObject": 1},
        duration_s=1.23456,
    )
    document = result.as_json()
    assert document["failed"] == [
        {"path": "x%FF", "path_base64": "eP8=", "code": "LL301", "message": "no", "hint": "hint"}
    ]
    assert document["skipped"] == [{"path": "fifo", "reason": "special"}]
    assert document["duration_s"] == 1.235
    assert "plan" not in document
    result.dry_run = True
    assert result.as_json()["plan"] == [{"path": "n", "action": "create", "size_bytes": 3, "reason": "new"}]


def test_an_unknown_side_says_so():
    assert repr(UNKNOWN) == "UNKNOWN"
