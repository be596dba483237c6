"""The daemon as its user meets it: links taken up, changed while they run, stopped, killed, started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.program import Program, make_tree
from tests.e2e.serving import InProcess, Lake, same_text, serving, wait_for


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def at_rest(status):
    return not status["import"]["pending"] and not status["export"]["pending"]


@pytest.fixture
def on_lake(tmp_path, seaweed, s3_prefix):
    return InProcess(tmp_path, seaweed, s3_prefix)


@pytest.fixture
def lake(on_lake):
    return Lake(on_lake)


@pytest.fixture
def linked(on_lake, tmp_path):
    """A directory with a file, and a link to the lake that was made while no daemon ran."""
    root = make_tree(tmp_path / "files", {"here": "from here\n"})
    ran = on_lake("link", "add", "logs", root, on_lake.lake, "--list-interval", "1s")
    assert ran.code == 0, ran.err
    assert "No daemon runs" in ran.err
    return root


def test_changes_travel_both_ways_and_an_interrupted_link_catches_up(on_lake, linked, lake):
    lake.put("there", "from there\n")
    with serving(on_lake) as daemon:
        status = daemon.available("logs")
        assert status["guarantee"]
        wait_for(lambda: same_text(linked / "there", "from there\n"), "the object to arrive")
        wait_for(lambda: lake.text("here") == "from here\n", "the file to arrive")

        (linked / "here").write_text("changed here\n", encoding="utf-8")
        lake.put("there", "changed there\n")
        wait_for(lambda: lake.text("here") == "changed here\n", "the changed file")
        wait_for(lambda: same_text(linked / "there", "changed there\n"), "the changed object")
        # Killed before it is written down that they are equal, a later delete would be one of a version that was never agreed on.
        wait_for(lambda: at_rest(daemon.status("logs")), "rest")

        daemon.send(signal.SIGKILL)
        assert daemon.process.wait(60) == -signal.SIGKILL
    (linked / "here").unlink()
    (linked / "meanwhile").write_text("made while nobody looked\n", encoding="utf-8")
    lake.remove("there")
    with serving(on_lake) as daemon:
        wait_for(lambda: lake.names() == {"meanwhile"}, "the lake to catch up")
        wait_for(lambda: not (linked / "there").exists(), "the directory to catch up")
        assert daemon.stop() == 0
        assert [event["event"] for event in daemon.events()][-1] == "daemon.stopped"


def test_a_running_daemon_takes_commands_over_at_once(on_lake, tmp_path, lake):
    with serving(on_lake) as daemon:
        assert on_lake("status", "--json").json["links"] == []
        root = make_tree(tmp_path / "files", {"a": "a"})
        ran = on_lake("link", "add", "logs", "files", on_lake.lake, "--json")  # relative, from where the command runs
        assert ran.code == 0, ran.err
        assert ran.json["files"] == str(root)
        # That two racers won on a busy store may be told, and is no matter of this test.
        assert [note for note in ran.json["notes"] if not note.startswith("Two writers")] == []
        daemon.available("logs")
        wait_for(lambda: lake.names() == {"a"}, "the first export")
        wait_for(lambda: at_rest(daemon.status("logs")), "rest")  # until then the first export itself counts as queued

        assert on_lake("link", "pause", "logs").code == 0
        (root / "b").write_text("b", encoding="utf-8")
        wait_for(lambda: daemon.status("logs")["export"]["pending"] == 1, "the change to be noticed")
        assert lake.names() == {"a"}
        refused = on_lake("link", "remove", "logs")
        assert refused.code == 3
        assert "1 changes queued" in refused.err
        assert on_lake("link", "resume", "logs").code == 0
        wait_for(lambda: lake.names() == {"a", "b"}, "the change to travel")

        assert on_lake("link", "update", "logs", "--exclude", "*.tmp").code == 0
        (root / "c.tmp").write_text("c", encoding="utf-8")
        (root / "d").write_text("d", encoding="utf-8")
        assert on_lake("link", "reconcile", "logs", "-q").code == 0
        assert lake.names() == {"a", "b", "d"}
        assert on_lake("link", "show", "logs", "--json").json["filters"] == ["*.tmp"]
        wait_for(
            lambda: at_rest(daemon.status("logs")), "rest"
        )  # what is heard of a path after it was carried counts as queued, too

        removed = on_lake("link", "remove", "logs")
        assert removed.code == 0, removed.err
        assert names(root) == ["a", "b", "c.tmp", "d"]
        assert on_lake("link", "list", "--json").json == {"links": []}
        assert on_lake("link", "add", "again", root, on_lake.lake, "-q").code == 0
        daemon.available("again")
        assert daemon.stop(signal.SIGINT) == 0


def test_removing_local_files_takes_only_what_the_lake_holds(on_lake, tmp_path, lake):
    root = make_tree(tmp_path / "files", {"a": "a", "deep/er/b": "b", "held.tmp": "not in the lake"})
    (root / "deep" / "link").symlink_to("er/b")
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "logs", root, on_lake.lake, "--exclude", "*.tmp", "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: {"a", "deep/er/b"} <= lake.names(), "the export")
        wait_for(lambda: daemon.status("logs")["export"]["pending"] == 0, "rest")
        removed = on_lake("link", "remove", "logs", "--delete-files", "--json")
        assert removed.code == 0, removed.err
        assert removed.json["deleted"] == 5
        assert names(root) == ["held.tmp"]
        assert {"a", "deep/er/b"} <= lake.names()


def test_removing_local_files_keeps_what_somebody_took_out_of_the_lake(on_lake, tmp_path, lake):
    root = make_tree(tmp_path / "files", {"a": "the only copy\n", "b": "b", "c": "c"})
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "logs", root, on_lake.lake, "--import", "none", "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: lake.names() == {"a", "b", "c"} and at_rest(daemon.status("logs")), "the export")
        lake.remove("a")
        lake.put("c", "another's")
        removed = on_lake("link", "remove", "logs", "--delete-files", "--json")
        assert removed.code == 0, removed.err
        assert removed.json["deleted"] == 1
    assert names(root) == ["a", "c"]
    assert (root / "a").read_text(encoding="utf-8") == "the only copy\n"


def test_settings_are_read_again_and_wrong_ones_change_nothing(on_lake, tmp_path):
    make_tree(tmp_path / "a", {"x": "x"})
    make_tree(tmp_path / "b", {"y": "y"})
    settings = tmp_path / "lakelink.toml"
    one = f'[links.a]\nfiles = "{tmp_path}/a"\nlake = "{on_lake.lake}/a"\n'
    two = f'[links.b]\nfiles = "{tmp_path}/b"\nlake = "{on_lake.lake}/b"\n'
    settings.write_text(one, encoding="utf-8")
    with serving(on_lake) as daemon:
        daemon.available("a")
        settings.write_text(one + two, encoding="utf-8")
        daemon.send(signal.SIGHUP)
        wait_for(lambda: len(daemon.report().links) == 2, "the new link")
        daemon.available("b")

        settings.write_text(one + two.replace(f"{tmp_path}/b", f"{tmp_path}/a/inside"), encoding="utf-8")
        daemon.send(signal.SIGHUP)
        wait_for(lambda: daemon.report().daemon.settings_error, "the refusal")
        assert "keeps" in daemon.log
        assert [link.state for link in daemon.report().links] == ["AVAILABLE", "AVAILABLE"]

        settings.write_text(two, encoding="utf-8")
        daemon.send(signal.SIGHUP)
        wait_for(lambda: daemon.status("a")["paused"], "the link without its section to rest")
        assert daemon.report().daemon.settings_error == ""
        declared = on_lake("link", "remove", "b")
        assert declared.code == 3
        assert "settings file" in declared.err
        assert daemon.stop() == 0


def test_wrong_settings_at_the_start_are_told_and_nothing_runs(program, tmp_path):
    (tmp_path / "lakelink.toml").write_text('[serve]\nmetrics = "nowhere"\n', encoding="utf-8")
    ran = program("serve")
    assert ran.code == 2
    assert "lakelink.toml:2" in ran.err
    (tmp_path / "lakelink.toml").write_text('[serve]\nmetrix = "1"\n', encoding="utf-8")
    assert "metrics" in program("serve").err


def test_one_daemon_per_state_directory(program):
    with serving(program) as daemon:
        second = program("serve")
        assert second.code == 3
        assert f"process {daemon.process.pid}" in second.err
        assert program("status").code == 0
        assert daemon.stop() == 0
    assert program("status").code == 4
    assert "lakelink serve" in program("status").err


def test_a_link_in_trouble_says_why_and_its_neighbour_goes_on(on_lake, tmp_path, lake):
    make_tree(tmp_path / "good", {"x": "x"})
    bad = make_tree(tmp_path / "bad", {"y": "y"})
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "good", tmp_path / "good", f"{on_lake.lake}/good", "-q").code == 0
        assert on_lake("link", "add", "bad", bad, f"{on_lake.lake}/bad", "-q").code == 0
        daemon.available("bad")
        bad.rename(tmp_path / "elsewhere")
        assert on_lake("link", "reconcile", "bad").code != 0
        status = wait_for(lambda: (s := daemon.status("bad"))["state"] == "MISCONFIGURED" and s, "the link to halt")
        assert status["reason"]
        assert status["hint"]
        assert on_lake("status").code == 1
        assert on_lake("status", "good").code == 0
        (tmp_path / "elsewhere").rename(bad)
        assert on_lake("link", "resume", "bad").code in {0, 1}
        daemon.available("bad")
        assert {"good/x", "bad/y"} == lake.names()


def test_metrics_are_served_where_they_are_asked_for(on_lake, linked):
    with serving(on_lake, "--metrics", "0") as daemon:
        daemon.available("logs")
        wait_for(lambda: daemon.status("logs")["export"]["files"], "an export")
        url = daemon.report().daemon.metrics
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            page = answer.read().decode()
        assert 'lakelink_link_state{link="logs",state="AVAILABLE"} 1' in page
        assert 'lakelink_age_of_oldest_queued_seconds{link="logs",direction="export"}' in page
        assert 'lakelink_latency_seconds_count{link="logs",direction="export"} 1' in page


def test_status_is_watched_line_by_line(on_lake, linked):
    with serving(on_lake) as daemon:
        daemon.available("logs")
        watching = on_lake.start("status", "--watch", "--json", "--interval", "0.1")
        lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
        assert [line["links"][0]["name"] for line in lines] == ["logs"] * 3
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
        watching.stdout.close()
        watching.stderr.close()


def test_the_service_manager_is_told(program, tmp_path):
    with (
        tempfile.TemporaryDirectory(prefix="ll-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{folder}/notify")
        manager.settimeout(60)
        said = []

        def hear(word):
            while not any(word in message for message in said):
                said.append(manager.recv(4096).decode())
            return next(message for message in said if word in message)

        with serving(program, NOTIFY_SOCKET=f"{folder}/notify", WATCHDOG_USEC="300000") as daemon:
            assert "STATUS=0 links" in hear("READY=1")
            hear("WATCHDOG=1")
            said.clear()
            daemon.send(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hear("RELOADING=1")
            hear("READY=1")
            assert daemon.stop() == 0
            hear("STOPPING=1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_runs_it_as_well(seaweed, s3_prefix):
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    if subprocess.run([*NOBODY, sys.executable, "-c", "import lakelink"], check=False, capture_output=True).returncode:
        pytest.skip("the user nobody may not read this Python or this package")
    with tempfile.TemporaryDirectory(prefix="ll-") as folder:
        Path(folder).chmod(0o755)
        program = AsNobody(Path(folder), seaweed, s3_prefix)
        lake = Lake(program)
        subprocess.run(
            ["chown", "-R", "65534:65534", make_tree(Path(folder) / "own", {"files/a": "a"}), folder], check=True
        )
        with serving(program) as daemon:
            assert program("link", "add", "logs", Path(folder) / "own" / "files", program.lake, "-q").code == 0
            daemon.available("logs")
            wait_for(lambda: lake.names() == {"a"}, "the export")
            assert any("fanotify needs root" in sentence for sentence in daemon.status("logs")["feeds"])
            assert daemon.stop() == 0


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


class AsNobody(Program):
    def command(self, *arguments):
        return [*NOBODY, *super().command(*arguments)]


def test_tasks_are_carried_out_reported_and_listed(on_lake, tmp_path, lake):
    root = make_tree(tmp_path / "files", {"a": "a", "sub/b": "b"})
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "logs", root, on_lake.lake, "--list-interval", "1h", "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: at_rest(daemon.status("logs")), "rest")
        lake.put("sub/new", "from the lake\n")
        lake.put("other", "not asked for\n")
        ran = on_lake("link", "import", "logs", "sub", "--report", "done.jsonl", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["state"] == "SUCCEEDED"
        assert ran.json["succeeded"] == 1
        assert (root / "sub" / "new").read_bytes() == b"from the lake\n"
        assert not (root / "other").exists()
        assert "sub/new" in (tmp_path / "done.jsonl").read_text(encoding="utf-8")
        assert on_lake("link", "import", "logs", "--report", "done.jsonl").code == 2  # it replaces nothing

        started = on_lake("link", "export", "logs", "--background", "--json").json
        wait_for(
            lambda: on_lake("link", "tasks", "logs", "--json").json["tasks"][0]["state"] == "SUCCEEDED", "the task"
        )
        listed = on_lake("link", "tasks", "logs", "--json").json["tasks"]
        assert [task["kind"] for task in listed] == ["export", "import"]
        assert on_lake("link", "cancel", "logs", started["id"]).code == 3  # it has ended
        assert on_lake("link", "cancel", "logs", "task-0").code == 1
        wait_for(lambda: "TaskSucceeded" in on_lake("link", "log", "logs").out, "the log to be written")
    assert len(on_lake("link", "tasks", "logs", "--json").json["tasks"]) == 2  # known without a daemon as well


def test_what_the_lake_removed_comes_back_out_of_the_trash(on_lake, tmp_path, lake):
    root = make_tree(tmp_path / "files", {"a": "precious\n", "b": "b"})
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "logs", root, on_lake.lake, "--list-interval", "1s", "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: at_rest(daemon.status("logs")) and lake.names() == {"a", "b"}, "rest")
        lake.remove("a")
        wait_for(lambda: not (root / "a").exists(), "the delete")
        (item,) = on_lake("link", "trash", "list", "logs", "--json").json["items"]
        assert (item["path"], item["size_bytes"]) == ("a", 9)
        restored = on_lake("link", "trash", "restore", "logs", "a", "--json")
        assert restored.code == 0, restored.err
        assert (root / "a").read_text(encoding="utf-8") == "precious\n"
        wait_for(lambda: lake.text("a") == "precious\n", "what came back to travel")
        lake.remove("b")
        wait_for(lambda: not (root / "b").exists(), "the delete")
        assert on_lake("link", "trash", "empty", "logs", "--older-than", "1d", "--json").json["files"] == 0
        assert on_lake("link", "trash", "empty", "logs", "--all", "--json").json["files"] == 1


def test_a_conflict_is_listed_and_resolved(on_lake, tmp_path, lake):
    root = make_tree(tmp_path / "files", {"a": "mine\n"})
    lake.put("a", "theirs\n")
    with serving(on_lake) as daemon:
        assert on_lake("link", "add", "logs", root, on_lake.lake, "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: at_rest(daemon.status("logs")) and len(names(root)) == 3, "rest")  # .lakelink too
        listed = on_lake("link", "conflicts", "logs", "--json")
        assert listed.code == 1
        (conflict,) = listed.json["conflicts"]
        assert conflict["path"] == "a"
        assert (root / "a").read_text(encoding="utf-8") == "theirs\n"
        assert (root / conflict["copy"]).read_text(encoding="utf-8") == "mine\n"
        assert daemon.status("logs")["conflicts"] == 1
        assert f"lakelink link resolve logs {conflict['id']}" in conflict["advice"]
        assert any(item["reason"] for item in on_lake("link", "trash", "list", "logs", "--json").json["items"])
        resolved = on_lake("link", "resolve", "logs", str(conflict["id"]), "--keep", "files")
        assert resolved.code == 0, resolved.err
        wait_for(lambda: lake.text("a") == "mine\n" and at_rest(daemon.status("logs")), "what was kept to travel")
        assert (ran := on_lake("link", "conflicts", "logs")).code == 0, ran.err
        wait_for(lambda: lake.names() == {"a"} and at_rest(daemon.status("logs")), "the copy to go")
        assert (
            on_lake("link", "check", "logs", "--repair").code == 0
        )  # times that were taken from an answer are made exact
        checked = on_lake("link", "check", "logs", "--repair", "--json")
        assert checked.code == 0, checked.err
        assert checked.json["agreed"] == 1


def test_a_store_pushes_to_the_webhook_of_the_daemon(on_lake, lake, tmp_path):
    root = make_tree(tmp_path / "files", {"here": "here"})
    settings = tmp_path / "lakelink.toml"
    settings.write_text('[serve]\nwebhook = "0"\nwebhook_token_env = "TOKEN"\n', encoding="utf-8")
    with serving(on_lake, TOKEN="a token") as daemon:
        url = daemon.report().daemon.webhook
        assert on_lake("link", "add", "logs", root, on_lake.lake, "--list-interval", "1h", "-q").code == 0
        daemon.available("logs")
        wait_for(lambda: lake.names() == {"here"}, "the export")
        lake.put("pushed", "from the lake\n")
        bucket, _, prefix = on_lake.lake.removeprefix("s3://").partition("/")
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": f"{prefix}/pushed", "size": 14}},
        }
        body = json.dumps({"Records": [record]}).encode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            push(url, body, "wrong")
        with refused.value:
            assert refused.value.code == 401
        push(url, body, "a token")
        wait_for(lambda: same_text(root / "pushed", "from the lake\n"), "the object, long before a listing")


def push(url, body, token):
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200
