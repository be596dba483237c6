"""What happens after an upload, from a partner's own client on: a program, a webhook, tags, a copy and a move, the record, and a gateway that is killed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import boto3
import pytest

from tests.e2e.serving import InProcess, Lake, wait_for
from tests.e2e.test_gateway import gateway

pytestmark = pytest.mark.skipif(shutil.which("sftp") is None, reason="needs the OpenSSH client (apt: openssh-client)")
ARRIVED = """#!/bin/sh
cd {folder}
echo "$LAKELINK_JOB $LAKELINK_ATTEMPT $LAKELINK_USER $LAKELINK_PATH $LAKELINK_SIZE $1" >> runs
if rm fail-once 2>/dev/null; then echo "not yet"; exit 7; fi
while test -e hold; do sleep 0.02; done
echo "$LAKELINK_JOB" >> done
"""
SETTINGS = """
[[gateway.workflows]]
name = "take-in"
folder = "/in"
files = ["*.csv"]
tag = {{ status = "new" }}
run = ["{folder}/arrived", "{{url}}"]
webhook = "http://127.0.0.1:{port}/arrived"
webhook_secret_file = "{folder}/secret"
copy = "{lake}/archive/{{user}}/{{name}}-{{job}}"

[[gateway.workflows]]
name = "put-aside"
files = ["*.tmp"]
move = "{lake}/aside/{{relative}}"
"""


class Hook:
    """A receiver of webhooks that is down for its first two calls."""

    def __init__(self):
        hook = self
        self.calls = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.calls.append((dict(self.headers), body))
                self.send_response(503 if len(hook.calls) <= 2 else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                """Nothing on standard error."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def here(tmp_path, seaweed, s3_prefix):
    """The program with a user whose home is in S3, workflows, and who is called by them."""
    program = InProcess(tmp_path, seaweed, s3_prefix)
    program.hook = Hook()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    (tmp_path / "arrived").write_text(ARRIVED.format(folder=tmp_path))
    (tmp_path / "arrived").chmod(0o755)
    (tmp_path / "secret").write_text("our secret")
    (tmp_path / "secret").chmod(0o600)
    program.settings = SETTINGS.format(folder=tmp_path, port=program.hook.port, lake=program.lake)
    added = program("gateway", "user", "add", "acme", "--home", f"{program.lake}/acme", "--key", "id.pub")
    assert added.code == 0, added.err
    yield program
    program.hook.server.shutdown()
    program.hook.server.server_close()


def sftp(program, port, *commands):
    options = (
        "IdentitiesOnly=yes", "StrictHostKeyChecking=no", f"UserKnownHostsFile={program.folder}/known", "BatchMode=yes",
    )  # fmt: skip
    done = subprocess.run(
        ["sftp", "-q", "-F", "/dev/null", "-i", program.folder / "id", *(f"-o{each}" for each in options),
         "-P", str(port), "-b", "-", "acme@127.0.0.1"],
        input="\n".join(commands).encode(), cwd=program.folder, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def jobs(program):
    listed = program("gateway", "workflows", "list", "--json")
    assert listed.code == 0, listed.err
    return listed.json["jobs"]


def all_done(program, count):
    found = jobs(program)
    return found if len(found) == count and {job["state"] for job in found} == {"done"} else None


def lines(program, name):
    with contextlib.suppress(FileNotFoundError):
        return (program.folder / name).read_text().splitlines()
    return []


def test_an_upload_is_tagged_told_copied_and_moved_and_what_fails_is_tried_again(here):
    content = "1,2,3\n" * 1000
    (here.folder / "order.csv").write_text(content)
    (here.folder / "part.tmp").write_text("half")
    (here.folder / "fail-once").touch()
    with gateway(here, here.settings) as running:
        sftp(here, running.port, "mkdir in", "put order.csv in/order.csv", "put part.tmp", "put order.csv")
        found = wait_for(lambda: all_done(here, 2), "both jobs")
    job = next(job for job in found if job["workflow"] == "take-in")
    assert (job["user"], job["path"]) == ("acme", "/in/order.csv")
    # The program, twice: it failed at first.
    assert lines(here, "runs") == [
        f"{job['job']} {attempt} acme /in/order.csv {len(content)} {here.lake}/acme/in/order.csv" for attempt in (1, 2)
    ]
    assert lines(here, "done") == [str(job["job"])]
    # The webhook, until it answered well, signed, with one key for all attempts.
    assert len(here.hook.calls) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in here.hook.calls}) == 1
    for headers, body in here.hook.calls:
        said = json.loads(body)
        assert (said["event"], said["path"], said["size_bytes"]) == ("file.stored", "/in/order.csv", len(content))
        assert headers["Lakelink-Signature"] == f"sha256={hmac.new(b'our secret', body, hashlib.sha256).hexdigest()}"
    assert [json.loads(body)["attempt"] for _, body in here.hook.calls] == [1, 2, 3]
    # The lake.
    lake = Lake(here)
    assert lake.text(f"archive/acme/order.csv-{job['job']}") == content
    assert lake.names() == {
        "acme/in/order.csv",
        "acme/order.csv",
        f"archive/acme/order.csv-{job['job']}",
        "aside/part.tmp",
    }
    assert tags(here, "acme/in/order.csv") == {"status": "new"}


def tags(program, name):
    env = program.env
    session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    bucket, _, prefix = program.lake.removeprefix("s3://").partition("/")
    client = session.client("s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"])
    found = client.get_object_tagging(Bucket=bucket, Key=f"{prefix}/{name}")["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def family(pid):
    """A process and those that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]


@pytest.mark.parametrize("victim", ["all", "worker"])
def test_a_job_under_way_is_done_again_when_the_gateway_is_killed(here, victim):
    """At least once: the upload was told "done", so its workflow runs to its end, whatever is killed."""
    (here.folder / "order.csv").write_text("1,2,3\n")
    (here.folder / "hold").touch()
    with gateway(here, here.settings) as running:
        sftp(here, running.port, "mkdir in", "put order.csv in/order.csv")
        wait_for(lambda: lines(here, "runs"), "the program to run")
        gateway_pid, worker, *programs = family(running.process.pid)
        for pid in [gateway_pid, worker, *programs] if victim == "all" else [worker, *programs]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (here.folder / "hold").unlink()
        if victim == "all":
            running.process.wait(60)
        else:
            wait_for(lambda: all_done(here, 1), "the next worker to do it")
    if victim == "all":
        assert [job["state"] for job in jobs(here)] == ["due"]
        with gateway(here, here.settings):
            wait_for(lambda: all_done(here, 1), "the next gateway to do it")
    (job,) = jobs(here)
    assert len({line.split()[0] for line in lines(here, "runs")}) == 1
    assert len(lines(here, "runs")) >= 2
    assert lines(here, "done") == [str(job["job"])]
    assert Lake(here).text(f"archive/acme/order.csv-{job['job']}") == "1,2,3\n"
