"""What the doctor finds about access, without a network."""

import http.server
import threading
import time
from email.utils import formatdate

import pytest

from lakelink.cli.checks import access as looked
from lakelink.cli.checks.finding import Status


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server():
    """A real server that answers 403 with the Date header given."""

    class Handler(http.server.BaseHTTPRequestHandler):
        date = ""

        def do_HEAD(self):
            self.send_response_only(403)
            self.send_header("Date", self.date)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield http_server, Handler
        http_server.shutdown()
        thread.join()


def found(needed=True):
    return {finding.check: finding for finding in looked.access(needed=needed)}


def test_credentials_of_the_environment_are_found_and_the_secret_is_not_told(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAABCDEFGHIJKLMNOP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    findings = found()
    assert findings["credentials"].found == "AKIA…OP, from the environment (AWS_ACCESS_KEY_ID)"
    assert not any("s3cr3t" in f.found + f.todo for f in findings.values())


@pytest.mark.parametrize(("file", "header"), [("credentials", "[work]"), ("config", "[profile work]")])
def test_a_profile_is_found_in_either_file_and_named(monkeypatch, tmp_path, file, header):
    (tmp_path / ".aws").mkdir()
    path = tmp_path / ".aws" / file
    path.write_text(f"{header}\naws_access_key_id = A\naws_secret_access_key = s3cr3t\nregion = eu-west-3\n", "utf-8")
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    findings = found()
    assert findings["credentials"].found == f"profile work (from AWS_PROFILE), aws_access_key_id in {path}"
    assert findings["region"].found == f"eu-west-3, from profile work in {path}"


def test_missing_credentials_fail_only_where_they_are_needed(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert found(needed=True)["credentials"].status is Status.FAIL
    assert found(needed=False)["credentials"].status is Status.NOTE


def test_the_more_special_endpoint_wins_and_is_named(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")
    findings = found()
    assert findings["endpoint"].found == "http://127.0.0.1:2, from AWS_ENDPOINT_URL_S3"
    assert findings["store"].status is Status.FAIL


def test_an_endpoint_that_is_no_url_is_told(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "minio:9000")
    assert "begins with http://" in found()["store"].found


@pytest.mark.parametrize(
    ("offset_s", "status", "words"),
    [(0, Status.OK, "agrees"), (-10, Status.OK, "ahead"), (-120, Status.NOTE, "ahead"), (3600, Status.FAIL, "behind")],
)
def test_the_clock_is_compared_with_the_stores(monkeypatch, server, offset_s, status, words):
    http_server, handler = server
    handler.date = formatdate(time.time() + offset_s, usegmt=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{http_server.server_port}")
    findings = found()
    assert "answers (status 403)" in findings["store"].found
    assert findings["clock"].status is status
    assert words in findings["clock"].found


def test_a_date_that_is_none_is_no_reason_to_fail(monkeypatch, server):
    http_server, handler = server
    handler.date = "tomorrow"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{http_server.server_port}")
    assert found()["clock"].status is Status.NOTE
