import json

import pytest

from lakelink.cli.report import ReportFile
from lakelink.errors import StorageError, UsageError
from lakelink.model.change import Problem
from lakelink.model.task import PathResult


def test_the_report_is_there_only_when_it_is_complete_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "run.jsonl"
    report = ReportFile(path)
    report.add(PathResult("a", "create", 3))
    assert not path.exists()
    report.commit()
    assert json.loads(path.read_text(encoding="utf-8")) == {"path": "a", "action": "create", "size_bytes": 3}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_failed_carries_code_and_hint_and_the_exact_bytes_of_its_name(tmp_path):
    report = ReportFile(tmp_path / "r")
    report.add(PathResult("caf\udce9", "failed", problem=Problem("caf\udce9", "LL406", "not UTF-8", "Rename it.")))
    report.commit()
    assert json.loads((tmp_path / "r").read_text(encoding="utf-8")) == {
        "path": "caf%E9",
        "path_base64": "Y2Fm6Q==",
        "action": "failed",
        "code": "LL406",
        "message": "not UTF-8",
        "hint": "Rename it.",
    }


def test_a_discarded_report_leaves_the_old_one_as_it_was(tmp_path):
    path = tmp_path / "r"
    path.write_text("old", encoding="utf-8")
    report = ReportFile(path)
    report.add(PathResult("a", "create"))
    report.discard()
    report.discard()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_discarding_after_the_commit_changes_nothing(tmp_path):
    report = ReportFile(tmp_path / "r")
    report.commit()
    report.discard()
    assert (tmp_path / "r").exists()


def test_a_report_in_a_directory_that_is_not_there_is_refused_before_anything_moves(tmp_path):
    with pytest.raises(UsageError):
        ReportFile(tmp_path / "nowhere" / "r")


def test_a_full_disk_is_told_and_leaves_the_old_report(tmp_path):
    import os

    path = tmp_path / "r"
    path.write_text("old", encoding="utf-8")
    report = ReportFile(path)
    # /dev/full answers every write with ENOSPC.
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, report._open.fileno())
    os.close(full)
    report.add(PathResult("a", "create"))
    with pytest.raises(StorageError, match="No space left"):
        report.commit()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
