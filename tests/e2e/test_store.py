"""`lakelink store`, `lakelink doctor` and `lakelink demo` as programs."""

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.program import PATIENCE_S, Program


def test_a_served_store_answers_survives_a_restart_and_ends_with_its_program(seaweed, program, tmp_path):
    del seaweed  # skips where the server is not installed
    folder = (
        tmp_path
        / "a path with a comma, too long for the address of a Unix socket, which has at most 107 bytes"
        / "server"
    )

    def serve() -> tuple[object, dict[str, str]]:
        process = program.start("store", "serve", folder, "--json", "--bucket", "mine")
        lines = []
        while not lines or lines[-1] != b"}\n":
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        return process, json.loads(b"".join(lines))

    def stop(process: object) -> None:
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, error) == (0, b"")

    process, said = serve()
    settings, keys = folder / "env.sh", (folder / "s3.json").read_bytes()
    assert settings.stat().st_mode & 0o777 == 0o600
    program.env |= dict(
        line.removeprefix("export ").split("=", 1) for line in settings.read_text(encoding="utf-8").splitlines()
    )
    assert program("put", "-", "s3://mine/kept", "-q", stdin=b"still here").code == 0
    second = program("store", "serve", folder)
    assert (second.code, second.out) == (3, "")
    assert "a server runs in" in second.err
    assert f"={program.env['AWS_SECRET_ACCESS_KEY']}".encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    stop(process)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(said["endpoint"], timeout=PATIENCE_S)  # noqa: S310
    process, said = serve()
    assert (folder / "s3.json").read_bytes() == keys
    assert program("cat", "s3://mine/kept", AWS_ENDPOINT_URL_S3=said["endpoint"]).out == "still here"
    stop(process)


def test_the_doctor_finds_the_store_and_where_its_settings_came_from(on_lake):
    done = on_lake("doctor", f"{on_lake.lake}/anything", "--json")
    checks = {check["check"]: check for check in done.json["checks"]}
    assert done.code == 0
    assert done.json["healthy"] is True
    assert "from AWS_ENDPOINT_URL_S3" in checks["endpoint"]["found"]
    assert "AWS_ACCESS_KEY_ID" in checks["credentials"]["found"]
    assert checks["store"]["status"] == "ok"
    assert checks["clock"]["status"] == "ok"
    assert checks[f"{on_lake.lake}/anything"]["status"] == "ok"
    assert on_lake.env["AWS_SECRET_ACCESS_KEY"] not in done.out


def test_the_doctor_ends_with_1_and_says_what_to_do_when_the_store_does_not_answer(on_lake):
    done = on_lake("doctor", AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    assert done.code == 1
    assert "FAIL  store" in done.out
    assert "→ Check the endpoint" in done.out


def test_the_doctor_tells_a_mistake_in_the_settings(program, tmp_path):
    (tmp_path / "lakelink.toml").write_text("[locations.x]\nurl = 's3://b'\nregoin = 'x'\n", encoding="utf-8")
    done = program("doctor")
    assert done.code == 1
    assert "FAIL  settings     lakelink.toml:3: unknown setting locations.x.regoin" in done.out
    assert "Did you mean region?" in done.out


def test_the_doctor_tells_a_state_directory_that_cannot_be_written(program, tmp_path):
    (tmp_path / "file").touch()
    done = program("doctor", LAKELINK_STATE_DIR=str(tmp_path / "file" / "state"))
    assert done.code == 1
    assert "FAIL  state" in done.out
    assert "LAKELINK_STATE_DIR" in done.out


def test_the_doctor_tells_a_named_location_that_is_not_there(program, tmp_path):
    (tmp_path / "lakelink.toml").write_text("[locations.gone]\nurl = '/nowhere/at-all'\n", encoding="utf-8")
    done = program("doctor")
    assert done.code == 1
    assert "FAIL  gone" in done.out


def test_a_directory_is_validated_and_nothing_is_left_behind(program, tmp_path):
    (tmp_path / "place").mkdir()
    done = program("store", "validate", "place", "--quick", "--only", "comes back as it was given", "--json")
    assert done.code == 0, done.out
    assert done.json["passed"] is True
    assert len(done.json["promises"]) > 20
    assert {promise["outcome"] for promise in done.json["promises"]} == {"kept"}
    assert list((tmp_path / "place").iterdir()) == []


def test_a_store_is_raced_below_a_prefix_of_its_own_and_left_as_it_was(on_lake):
    on_lake("put", "-", f"{on_lake.lake}/mine", "-q", stdin=b"x")
    done = on_lake("store", "validate", on_lake.lake, "--quick", "--only", "of many creators", "--json")
    assert done.code == 0, done.out
    assert [promise["outcome"] for promise in done.json["promises"]] == ["kept"]
    conditions = {race["condition"]: race for race in done.json["capabilities"]["conditions"]}
    creating = conditions["PUT If-None-Match"]
    assert creating["support"] == "atomic"
    assert creating["rounds_won_once"] + creating["unclear"] == creating["rounds"] == 3
    files = [
        entry["path"] for entry in on_lake("ls", on_lake.lake, "--json").json["entries"] if entry["kind"] == "file"
    ]
    assert files == ["mine"]


def test_a_promise_that_nobody_made_is_a_usage_error(program, tmp_path):
    assert program("store", "validate", tmp_path, "--only", "eternal youth").code == 2


def test_the_demonstration_proves_its_point_and_cleans_up(seaweed, tmp_path):
    del seaweed
    program = Program(tmp_path)
    (tmp_path / "tmp").mkdir()
    done = program("demo", TMPDIR=str(tmp_path / "tmp"))
    assert done.code == 0, done.err
    assert done.out.count("Proved: equal") == 2
    assert "demo: all trees are equal, before and after the edits" in done.out
    assert done.out.count(" after ") >= 7  # each change of the live link arrived
    assert "both versions are kept" in done.out
    assert "What to try next" in done.out
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "state").exists()


def test_the_demonstration_does_not_fill_a_directory_that_is_there_already(program, tmp_path):
    done = program("demo", "--keep", tmp_path)
    assert done.code == 3
    assert "is there already" in done.err
