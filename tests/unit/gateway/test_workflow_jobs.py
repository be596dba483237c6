"""Workflows: recorded before the client hears, done at least once, tried again, and given up in the end."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from lakelink.config.document import parse_document
from lakelink.config.gateway_workflows import read_workflows
from lakelink.errors import ConfigError, NoSpace, NotFound, Unsupported
from lakelink.gateway.base import Stored, Visitor
from lakelink.gateway.workflows import queue as queue_module
from lakelink.gateway.workflows.carrying import place_of
from lakelink.gateway.workflows.queue import Queue, State
from lakelink.gateway.workflows.service import WorkflowService
from lakelink.gateway.workflows.upload import concerns, fill, upload_of
from lakelink.model.account import Account


def settings(text, tmp_path):
    return parse_document(textwrap.dedent(text), tmp_path / "lakelink.toml")


def stored(root, path="/in/a.csv", user="acme"):
    visitor = Visitor(session="s1", account=Account(name=user), address="192.0.2.7", client="SSH-2.0-X")
    file = root / path.lstrip("/")
    size = file.stat().st_size if file.exists() else 3
    return Stored(visitor=visitor, path=path, location=str(root), relative=path.lstrip("/"), size_bytes=size)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "home"
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.csv").write_text("1,2")
    return root


async def until(queue, **wanted):
    """Jobs are carried out elsewhere: look until they stand as wanted."""
    for _ in range(400):
        counts = queue.counts()
        if all(counts[State(name)] == count for name, count in wanted.items()):
            return queue.newest(None, 10)
        await asyncio.sleep(0.02)
    raise AssertionError(queue.newest(None, 10))


def carry_out(document, tmp_path, uploads, **wanted):
    """Record uploads and let a service carry them out until jobs stand as wanted; returns the jobs."""

    async def run():
        service = WorkflowService(document, tmp_path)
        watching = Queue(tmp_path)
        try:
            for upload in uploads:
                await service.stored(upload)
            service.start()
            return await until(watching, **wanted)
        finally:
            await service.aclose()
            watching.close()

    return asyncio.run(run())


def test_a_program_gets_its_words_without_a_shell_and_an_environment_that_is_documented(tmp_path, root, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "must not be seen")
    out = tmp_path / "out.json"
    code = "import json,os,sys; json.dump([sys.argv[1:], dict(os.environ)], open(sys.argv[1], 'w'))"
    document = settings(
        f"""
        [[gateway.workflows]]
        name = "note"
        run = ["{sys.executable}", "-c", "{code}", "{out}", "{{user}} {{path}} $(id) {{size}}"]
        """,
        tmp_path,
    )
    (job,) = carry_out(document, tmp_path, [stored(root)], done=1)

    words, environment = json.loads(out.read_text())
    assert words == [str(out), "acme /in/a.csv $(id) 3"]
    told = {name: value for name, value in environment.items() if name.startswith("LAKELINK_")}
    assert told == {
        "LAKELINK_WORKFLOW": "note",
        "LAKELINK_JOB": str(job.id),
        "LAKELINK_ATTEMPT": "1",
        "LAKELINK_USER": "acme",
        "LAKELINK_PATH": "/in/a.csv",
        "LAKELINK_LOCATION": str(root),
        "LAKELINK_RELATIVE": "in/a.csv",
        "LAKELINK_URL": f"{root}/in/a.csv",
        "LAKELINK_FILE": str(root / "in/a.csv"),
        "LAKELINK_SIZE": "3",
        "LAKELINK_SESSION": "s1",
        "LAKELINK_ADDRESS": "192.0.2.7",
    }
    assert "AWS_SECRET_ACCESS_KEY" not in environment


def test_a_program_that_fails_is_tried_again_and_given_up_in_the_end(tmp_path, root):
    document = settings(
        """
        [[gateway.workflows]]
        name = "broken"
        attempts = 2
        run = ["/bin/sh", "-c", "echo this is wrong; exit 3"]
        """,
        tmp_path,
    )
    (job,) = carry_out(document, tmp_path, [stored(root)], failed=1)
    assert job.attempts == 2
    assert job.message == "LL405: /bin/sh ended with 3: this is wrong"


def test_a_failed_job_is_retried_from_the_step_that_failed(tmp_path, root):
    flag = tmp_path / "mended"
    document = settings(
        f"""
        [[gateway.workflows]]
        name = "two"
        attempts = 1
        run = ["/bin/sh", "-c", "echo ran >> {tmp_path}/runs"]
        copy = "{tmp_path}/archive/{{name}}"
        """,
        tmp_path,
    )
    (tmp_path / "archive").write_text("a file is in the way")
    carry_out(document, tmp_path, [stored(root)], failed=1)
    (tmp_path / "archive").unlink()
    flag.touch()
    queue = Queue(tmp_path)
    assert queue.retry([], time.time_ns()) == 1
    with pytest.raises(NotFound):
        queue.retry([99], time.time_ns())
    queue.close()

    (job,) = carry_out(document, tmp_path, [], done=1)

    assert (tmp_path / "archive" / "a.csv").read_text() == "1,2"
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert job.step == "copy"


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path, root):
    pids = tmp_path / "pids"
    document = settings(
        f"""
        [[gateway.workflows]]
        name = "slow"
        attempts = 1
        timeout = "1s"
        run = ["/bin/sh", "-c", "sleep 600 & echo $! > {pids}; wait"]
        """,
        tmp_path,
    )
    (job,) = carry_out(document, tmp_path, [stored(root)], failed=1)
    assert "took longer than 1 s" in job.message
    state = Path(f"/proc/{pids.read_text().strip()}/stat")
    assert (
        not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    )  # nobody may have asked for its end yet


def test_a_move_takes_the_file_away_and_another_file_at_the_target_is_not_replaced(tmp_path, root):
    text = f"""
        [[gateway.workflows]]
        name = "away"
        folder = "/in"
        attempts = 1
        move = "{tmp_path}/done/{{user}}/{{name}}"
        """
    document = settings(text, tmp_path)
    carry_out(document, tmp_path, [stored(root)], done=1)
    target = tmp_path / "done" / "acme" / "a.csv"
    assert target.read_text() == "1,2"
    assert not (root / "in" / "a.csv").exists()

    (root / "in" / "a.csv").write_text("newer")
    carry_out(document, tmp_path, [stored(root)], done=1, failed=1)
    assert target.read_text() == "1,2"
    assert (root / "in" / "a.csv").read_text() == "newer"

    # Another file of the same size and time: clients that keep times make such.
    (root / "in" / "a.csv").write_text("2,1")
    os.utime(root / "in" / "a.csv", ns=(target.stat().st_mtime_ns,) * 2)
    carry_out(document, tmp_path, [stored(root)], done=1, failed=2)
    assert (target.read_text(), (root / "in" / "a.csv").read_text()) == ("1,2", "2,1")
    (root / "in" / "a.csv").write_text("newer")

    carry_out(settings(text + "replace = true\n", tmp_path), tmp_path, [stored(root)], done=2, failed=2)
    assert target.read_text() == "newer"


def test_a_move_that_was_done_and_not_written_down_is_done(tmp_path, root):
    document = settings(f'[[gateway.workflows]]\nname = "away"\nmove = "{tmp_path}/done/{{name}}"\n', tmp_path)
    (tmp_path / "done").mkdir()
    (root / "in" / "a.csv").rename(tmp_path / "done" / "a.csv")
    carry_out(document, tmp_path, [stored(root)], done=1)


@contextlib.contextmanager
def hook(statuses):
    """A real HTTP server that answers with these statuses in turn; yields its URL and what it was told."""
    told = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((dict(self.headers), body))
            self.send_response(statuses[min(len(told), len(statuses)) - 1])
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/arrived", told
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_called_again_until_it_answers_well_and_can_tell_who_calls(tmp_path, root):
    import hashlib
    import hmac

    (tmp_path / "secret").write_text("shared\n")
    (tmp_path / "secret").chmod(0o600)
    with hook([503, 200]) as (url, told):
        document = settings(
            f'[[gateway.workflows]]\nname = "tell"\nwebhook = "{url}"\nwebhook_secret_file = "{tmp_path}/secret"\n',
            tmp_path,
        )
        (job,) = carry_out(document, tmp_path, [stored(root)], done=1)
    assert len(told) == 2
    bodies = [json.loads(body) for _, body in told]
    assert [body["attempt"] for body in bodies] == [1, 2]
    assert {key: bodies[1][key] for key in ("event", "user", "path", "size_bytes", "relative", "job")} == {
        "event": "file.stored", "user": "acme", "path": "/in/a.csv", "size_bytes": 3, "relative": "in/a.csv", "job": job.id,
    }  # fmt: skip
    headers, body = told[1]
    assert headers["Lakelink-Signature"] == "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == told[0][0]["Idempotency-Key"]


RECORDS = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.unit.gateway.test_workflow_jobs import settings, stored
from lakelink.gateway.workflows.service import WorkflowService
tmp, root, text, start = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "start"
async def main():
    service = WorkflowService(settings(text, tmp), tmp)
    await service.stored(stored(root))
    if start:
        service.start()
        await asyncio.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_a_job_survives_kill_9_between_storing_and_its_program(tmp_path, root):
    text = f'[[gateway.workflows]]\nname = "note"\nrun = ["/bin/sh", "-c", "echo ran >> {tmp_path}/runs"]\n'
    killed = subprocess.run([sys.executable, "-c", RECORDS, str(tmp_path), str(root), text, "stay"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "runs").exists()

    carry_out(settings(text, tmp_path), tmp_path, [], done=1)

    assert (tmp_path / "runs").read_text() == "ran\n"


def test_a_job_whose_process_is_killed_under_way_is_done_by_the_next(tmp_path, root):
    text = (
        f'[[gateway.workflows]]\nname = "note"\n'
        f'run = ["/bin/sh", "-c", "echo $$ > {tmp_path}/pid; echo ran >> {tmp_path}/runs; test -e {tmp_path}/quick || exec sleep 600"]\n'
    )
    process = subprocess.Popen([sys.executable, "-c", RECORDS, str(tmp_path), str(root), text, "start"])
    deadline = time.monotonic() + 60
    while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # nobody else ends what it had begun
    (tmp_path / "quick").touch()

    carry_out(settings(text, tmp_path), tmp_path, [], done=1)

    assert (tmp_path / "runs").read_text() == "ran\nran\n"


def test_an_upload_is_refused_when_too_much_waits_and_when_the_records_cannot_be_written(tmp_path, root, monkeypatch):
    monkeypatch.setattr(queue_module, "MOST_WAITING", 1)
    document = settings('[[gateway.workflows]]\nname = "a"\nrun = ["/bin/true"]\n', tmp_path)

    async def twice():
        service = WorkflowService(document, tmp_path)
        try:
            await service.stored(stored(root))
            with pytest.raises(NoSpace):
                await service.stored(stored(root))
        finally:
            await service.aclose()

    asyncio.run(twice())
    with sqlite3.connect(tmp_path / "workflows.sqlite") as db:
        assert db.execute("SELECT count(*) FROM job").fetchone() == (1,)
    db.close()


def test_a_workflow_that_is_gone_from_the_settings_fails_and_is_not_forgotten(tmp_path, root):
    queue = Queue(tmp_path)
    queue.record(["old"], upload_of(stored(root), time.time_ns()))
    queue.close()
    document = settings('[[gateway.workflows]]\nname = "new"\nrun = ["/bin/true"]\n', tmp_path)
    (job,) = carry_out(document, tmp_path, [], failed=1)
    assert job.message == "there is no workflow old in the settings any more"


def test_names_that_are_no_utf8_travel_whole(tmp_path, root):
    name = "/in/\udcff.csv"
    (root / "in" / "a.csv").rename(str(root) + name)
    document = settings(f'[[gateway.workflows]]\nname = "away"\nmove = "{tmp_path}/done/{{name}}"\n', tmp_path)
    (job,) = carry_out(document, tmp_path, [stored(root, name)], done=1)
    assert job.upload.path == name
    assert [path.name for path in (tmp_path / "done").iterdir() if path.suffix] == ["\udcff.csv"]


@pytest.mark.parametrize(
    ("path", "user", "is_for_it"),
    [
        ("/in/a.csv", "acme", True),
        ("/in/deep/a.csv", "acme", True),
        ("/inside/a.csv", "acme", False),
        ("/in/a.txt", "acme", False),
        ("/in/a.csv", "other", False),
    ],
)
def test_a_workflow_is_for_its_users_below_its_folder(tmp_path, path, user, is_for_it):
    text = (
        '[[gateway.workflows]]\nname = "a"\nusers = ["ac*"]\nfolder = "/in"\nfiles = ["*.csv"]\nrun = ["/bin/true"]\n'
    )
    (workflow,) = read_workflows(settings(text, tmp_path))
    assert concerns(workflow, stored(tmp_path, path, user)) is is_for_it


def test_a_placeholder_that_is_filled_in_is_not_looked_at_again():
    assert fill("{user}-{name}", {"user": "{name}", "name": "x"}) == "{name}-x"


@pytest.mark.parametrize("template", ["s3://lake/{relative}", "/archive/{user}/{name}"])
def test_a_target_never_leaves_its_location(template):
    known = {"user": "acme", "relative": "../../etc/passwd", "name": ".."}
    with pytest.raises(Unsupported):
        place_of(template, known)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "a"', "does nothing"),
        ('name = "a b"\nrun = ["/bin/true"]', "has to be letters"),
        ('name = "a"\nrun = ["true"]', "absolute path of a program"),
        ('name = "a"\nrun = ["/bin/true", "{who}"]', "{who} is not known"),
        ('name = "a"\ncopy = "{user}"', "begin with a location"),
        ('name = "a"\nfolder = "in"\nrun = ["/bin/true"]', "absolute virtual directory"),
        ('name = "a"\nruns = ["/bin/true"]', "unknown setting"),
        ('name = "a"\ntag = "x"', "a table"),
        ('name = "a"\nwebhook = "http://example.com/"', "has to be an https"),
        ('name = "a"\nwebhook = "https://user:pw@example.com/"', "has a user in it"),
    ],
)
def test_a_workflow_that_makes_no_sense_is_refused_before_anything_starts(tmp_path, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        WorkflowService(settings(f"[[gateway.workflows]]\n{text}\n", tmp_path), tmp_path)
