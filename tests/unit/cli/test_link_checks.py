"""What `lakelink doctor` says about the daemon and its links."""

import asyncio
import contextlib
import threading

import pytest

from lakelink.api.answers import Daemon, StatusReport
from lakelink.cli.checks import links as checks
from lakelink.cli.checks.finding import Status
from lakelink.daemon.server import ApiServer
from lakelink.links.registry import Registry
from lakelink.model.linkspec import LinkState, LinkStatus


def link(name, **changes):
    values = {"ident": name, "files": "/srv", "lake": "s3://b", "state": LinkState.AVAILABLE} | changes
    return LinkStatus(name=name, paused=False, declared=False, **values)


@contextlib.contextmanager
def answering(folder, report):
    ready, end = threading.Event(), threading.Event()

    async def answer(asked):
        return report

    async def main():
        api = ApiServer(folder, answer)
        await api.start()
        ready.set()
        await asyncio.to_thread(end.wait)
        await api.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        end.set()
        thread.join(30)


def found(folder):
    return {finding.check: finding for finding in checks.links(folder)}


def test_without_a_daemon_it_matters_whether_there_are_links(tmp_path):
    assert found(tmp_path / "nothing")["daemon"].status is Status.OK
    assert not (tmp_path / "nothing").exists()
    Registry(tmp_path).close()
    resting = found(tmp_path)["daemon"]
    assert resting.status is Status.NOTE
    assert "lakelink serve" in resting.todo


def test_a_daemon_and_each_of_its_links(tmp_path):
    daemon = Daemon(
        pid=7, version="1", uid=0, started_ns=0, state_dir="/s", settings="/x", settings_error="line 3 is wrong",
        open_files=10, max_open_files=1000,
    )  # fmt: skip
    report = StatusReport(
        daemon,
        [
            link("good"),
            link("bad", state=LinkState.MISCONFIGURED, reason="the root is gone", hint="Mount it."),
            link("torn", conflicts=2),
        ],
    )
    with answering(tmp_path, report):
        findings = found(tmp_path)
    assert findings["daemon"].status is Status.OK
    assert findings["settings"].status is Status.FAIL
    assert findings["link good"].status is Status.OK
    assert (findings["link bad"].status, findings["link bad"].todo) == (Status.FAIL, "Mount it.")
    assert findings["link torn"].status is Status.NOTE


@pytest.mark.parametrize(
    ("watches", "instances", "status"),
    [("8192", "128", Status.NOTE), ("1000000", "1000", Status.OK), ("", "", Status.NOTE)],
)
def test_limits_of_inotify(tmp_path, monkeypatch, watches, instances, status):
    (tmp_path / "max_user_watches").write_text(watches, encoding="ascii")
    (tmp_path / "max_user_instances").write_text(instances, encoding="ascii")
    monkeypatch.setattr(checks, "INOTIFY", tmp_path)
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    assert found(tmp_path / "state")["inotify"].status is status
