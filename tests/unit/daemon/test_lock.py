"""One daemon per state directory; no daemon starts while a command changes the registry by itself."""

import os
import subprocess
import sys
import threading
import time

import pytest

from lakelink.daemon import lock
from lakelink.daemon.lock import daemon_lock, holder, no_daemon
from lakelink.errors import Busy


def test_a_second_daemon_is_told_which_process_the_first_is(tmp_path):
    with daemon_lock(tmp_path):
        assert holder(tmp_path) == f"process {os.getpid()}"
        with pytest.raises(Busy, match=f"process {os.getpid()}"), daemon_lock(tmp_path):
            pass
    assert holder(tmp_path) == ""
    with daemon_lock(tmp_path):
        pass


def test_commands_know_whether_a_daemon_runs(tmp_path):
    with no_daemon(tmp_path) as first, no_daemon(tmp_path) as second:
        assert first
        assert second
    with daemon_lock(tmp_path), no_daemon(tmp_path) as nobody:
        assert not nobody


def test_a_daemon_waits_for_a_command_that_is_at_work(tmp_path):
    order = []
    working = threading.Event()

    def command():
        with no_daemon(tmp_path) as nobody:
            assert nobody
            working.set()
            time.sleep(0.2)
            order.append("command")

    thread = threading.Thread(target=command)
    thread.start()
    assert working.wait(30)
    with daemon_lock(tmp_path):
        order.append("daemon")
    thread.join()
    assert order == ["command", "daemon"]


def test_a_command_that_never_ends_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "COMMANDS_END_WITHIN_S", 0.05)
    with no_daemon(tmp_path), pytest.raises(Busy, match="a command is changing"), daemon_lock(tmp_path):
        pass


def test_the_lock_of_a_killed_daemon_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from lakelink.daemon.lock import daemon_lock\n"
        "with daemon_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert holder(tmp_path) == f"process {process.pid}"
    process.kill()
    process.wait()
    process.stdout.close()
    with daemon_lock(tmp_path):
        pass


def test_nothing_is_made_where_no_daemon_ever_ran(tmp_path):
    assert holder(tmp_path / "state") == ""
    assert list(tmp_path.iterdir()) == []
