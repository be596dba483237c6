"""`lakelink sync` as a program: streams, documents, exit codes."""

import json
import os
import subprocess

import pytest

from tests.e2e.program import make_tree

FIELDS = {
    "source", "target", "dry_run", "interrupted", "transferred_files", "transferred_bytes", "updated_metadata", "created_directories", "deleted",
    "unchanged", "hard_links", "verified", "skipped", "failed", "requests", "duration_s",
}  # fmt: skip


def test_a_tree_goes_up_and_comes_back_equal(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "sub/b": "two", "sub/deep/c": "three"})
    (source / "empty").mkdir(mode=0o711)
    (source / "link").symlink_to("sub/b")
    up = on_lake("sync", source, on_lake.lake)
    assert (up.code, up.trouble) == (0, "")
    assert up.out.startswith("copied 4 files (16 B)")
    down = on_lake("sync", on_lake.lake, tmp_path / "back")
    assert down.code == 0
    assert subprocess.run(["diff", "-r", "--no-dereference", source, tmp_path / "back"], check=False).returncode == 0
    assert (tmp_path / "back" / "link").readlink() == (source / "link").readlink()
    assert (tmp_path / "back" / "empty").stat().st_mode == (source / "empty").stat().st_mode
    assert (tmp_path / "back" / "a").stat().st_mtime_ns == (source / "a").stat().st_mtime_ns


def test_json_is_one_document_with_every_promised_field_and_nothing_else_on_stdout(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "b": "two"})
    done = on_lake("sync", source, on_lake.lake, "--json")
    assert done.code == 0
    document = done.json
    assert document.keys() >= FIELDS
    assert (document["transferred_files"], document["transferred_bytes"], document["failed"]) == (2, 6, [])
    assert document["requests"]["PutObject"] >= 2
    again = on_lake("sync", source, on_lake.lake, "--json").json
    assert (again["transferred_files"], again["updated_metadata"], again["created_directories"]) == (0, 0, 0)
    assert again["unchanged"] >= 2
    assert "HeadObject" not in again["requests"]


def test_a_dry_run_prints_the_plan_and_changes_nothing(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    on_lake("sync", source, on_lake.lake, "--quiet")
    (source / "a").write_text("longer", encoding="utf-8")
    (source / "new").write_text("new", encoding="utf-8")
    text = on_lake("sync", source, on_lake.lake, "--dry-run")
    assert text.code == 0
    assert any(line.startswith("update ") and "  a" in line for line in text.out.splitlines())
    assert any(line.startswith("create ") and "  new" in line for line in text.out.splitlines())
    document = on_lake("sync", source, on_lake.lake, "-n", "--json").json
    assert document["dry_run"] is True
    assert {(step["path"], step["action"]) for step in document["plan"]} >= {("a", "update"), ("new", "create")}
    assert on_lake("cat", f"{on_lake.lake}/a").out == "one"


def test_quiet_says_nothing_when_all_is_well(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = on_lake("sync", source, on_lake.lake, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_failed_paths_are_told_on_stderr_in_the_document_and_in_the_report(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"fine": "x"})
    bad = os.fsencode(source) + b"/caf\xe9"
    os.close(os.open(bad, os.O_CREAT | os.O_WRONLY))
    done = on_lake("sync", source, on_lake.lake, "--json", "--report", tmp_path / "report")
    assert done.code == 1
    (failure,) = done.json["failed"]
    assert (failure["path"], failure["path_base64"], failure["code"]) == ("caf%E9", "Y2Fm6Q==", "LL406")
    assert "failed: caf%E9: " in done.err
    assert "[LL406]" in done.err
    lines = [json.loads(line) for line in (tmp_path / "report").read_text(encoding="utf-8").splitlines()]
    by_path = {line["path"]: line for line in lines}
    assert by_path["caf%E9"]["action"] == "failed"
    assert by_path["fine"] == {"path": "fine", "action": "create", "size_bytes": 1, "reason": by_path["fine"]["reason"]}
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600


def test_an_empty_source_is_refused_with_exit_code_3(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    on_lake("sync", source, on_lake.lake, "--quiet")
    empty = make_tree(tmp_path / "empty", {})
    done = on_lake("sync", empty, on_lake.lake, "--delete")
    assert (done.code, done.out) == (3, "")
    assert done.trouble.startswith("error[LL200]: the source is empty")
    assert on_lake("cat", f"{on_lake.lake}/a").out == "one"
    assert on_lake("sync", empty, on_lake.lake, "--delete", "--allow-empty-source", "--json").json["deleted"] == 1


def test_a_source_that_is_not_there_is_exit_code_4(on_lake, tmp_path):
    done = on_lake("sync", tmp_path / "nowhere", on_lake.lake, "--delete")
    assert (done.code, done.out) == (4, "")
    assert "error[LL303]" in done.err


def test_a_bucket_that_is_not_there_is_exit_code_4(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = on_lake("sync", source, "s3://there-is-no-such-bucket/x")
    assert (done.code, done.out) == (4, "")


def test_wrong_credentials_are_exit_code_4_and_not_shown(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = on_lake("sync", source, on_lake.lake, "--debug", AWS_SECRET_ACCESS_KEY="not-the-right-secret")
    assert (done.code, done.out) == (4, "")
    assert "not-the-right-secret" not in done.err


def test_a_store_that_does_not_answer_is_exit_code_4(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = on_lake("sync", source, on_lake.lake, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    assert (done.code, done.out) == (4, "")
    assert "error[LL300]" in done.err


def test_filters_apply_in_the_order_of_the_command_line(program, tmp_path):
    source = make_tree(tmp_path / "source", {"a.tmp": "1", "keep.tmp": "2", "sub/b.tmp": "3", "sub/c": "4"})
    done = program("sync", source, tmp_path / "target", "--exclude", "*.tmp", "--include", "keep.tmp")
    assert done.code == 0
    found = sorted(str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*") if p.is_file())
    assert found == ["keep.tmp", "sub/c"]


def test_the_manifest_is_what_sha256sum_checks(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one", "sub/b c": "two"})
    done = on_lake("sync", source, on_lake.lake, "--manifest", tmp_path / "manifest", "--quiet")
    assert done.code == 0
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", tmp_path / "manifest"], cwd=source, check=True)


@pytest.mark.parametrize(
    "text", ["[lokations.x]\nurl = 's3://b'\n", "[locations.x]\nurl = 's3://b'\nendpiont = 'http://x'\n"]
)
def test_an_unknown_setting_is_a_usage_error_that_names_the_nearest(program, tmp_path, text):
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = program("sync", source, "x:y", "--config", "settings.toml")
    assert (done.code, done.out) == (2, "")
    assert done.trouble.startswith("error[LL101]: settings.toml:")
    assert "Did you mean" in done.err


def test_local_to_local_needs_no_store(program, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = program("sync", source, tmp_path / "target")
    assert (done.code, done.trouble) == (0, "")
    assert (tmp_path / "target" / "a").read_text(encoding="utf-8") == "one"
    assert list((tmp_path / "target").iterdir()) == [tmp_path / "target" / "a"]


def test_source_and_target_that_overlap_are_refused(program, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = program("sync", source, source / "below")
    assert (done.code, done.out) == (2, "")
    assert not (source / "below").exists()


def test_the_log_goes_to_stderr_as_json_when_asked_for(on_lake, tmp_path):
    source = make_tree(tmp_path / "source", {"a": "one"})
    done = on_lake("sync", source, on_lake.lake, "--quiet", LAKELINK_LOG="info,json")
    events = [json.loads(line) for line in done.trouble.splitlines()]
    assert [event["event"] for event in events] == ["run.started", "run.finished"]
    assert events[1]["files"] == 1
    assert on_lake.env["AWS_SECRET_ACCESS_KEY"] not in done.err
