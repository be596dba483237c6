"""The audit log: whole lines, private, through rotation and full disks."""

import json
import stat
import threading

import pytest

from lakelink.errors import StorageError
from lakelink.gateway.base import AuditRecord
from lakelink.gateway.server import audit
from lakelink.gateway.server.audit import AuditLog


def record(path="", **changes):
    return AuditRecord(time_ns=1_795_843_790_123_456_789, session="s1", user="ann", address="192.0.2.1", operation="write", path=path, **changes)  # fmt: skip


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_is_a_line_and_the_file_is_private(tmp_path):
    log = AuditLog(tmp_path / "audit.log")
    log(record("/a", size_bytes=5, detail={"method": "key", "user": "never over a field of its own"}))
    log(record("/b\udcff", code="LL302"))
    log.close()
    first, second = lines(tmp_path / "audit.log")
    assert first == {
        "time": "2026-11-28T05:29:50.123457Z",
        "operation": "write",
        "user": "ann",
        "address": "192.0.2.1",
        "session": "s1",
        "path": "/a",
        "size_bytes": 5,
        "result": "done",
        "method": "key",
    }
    assert (second["path"], second["code"], second["result"]) == ("/b\\udcff", "LL302", "failed")
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_lines_of_several_writers_stay_whole(tmp_path):
    logs = [AuditLog(tmp_path / "audit.log") for _ in range(3)]

    def write(log):
        for number in range(300):
            log(record(f"/{number}" + "x" * 500))

    threads = [threading.Thread(target=write, args=[log]) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    assert len(lines(tmp_path / "audit.log")) == 900


def test_who_rotates_by_renaming_or_removing_loses_nothing(tmp_path):
    path = tmp_path / "audit.log"
    for rotate in (lambda: path.rename(tmp_path / "audit.log.1"), path.unlink):
        log = AuditLog(path)
        log(record("/before"))
        log._queue.put(b"")  # an empty line: whoever waits for it knows that what stood before it is written
        while not log._queue.empty():
            pass
        while not path.read_text():
            pass
        rotate()
        log(record("/after"))
        log.close()
        assert [line["path"] for line in lines(path)] == ["/after"]
    assert [line["path"] for line in lines(tmp_path / "audit.log.1")] == ["/before"]


def test_what_the_disk_does_not_take_is_counted_and_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "WAITING", 5)
    held = threading.Event()
    log = AuditLog(tmp_path / "audit.log")
    monkeypatch.setattr(log, "_append", lambda _: held.wait(20))
    for _ in range(100):
        log(record())
    assert log.dropped >= 100 - 5 - audit.BATCH or log.dropped > 0
    held.set()
    log.close()


def test_a_full_disk_is_counted():
    log = AuditLog.__new__(AuditLog)
    log.dropped = 0
    log._path, log._fd = audit.Path("/dev/full"), audit._open(audit.Path("/dev/full"))
    log._append([b"a\n", b"b\n"])
    assert log.dropped == 2


def test_a_log_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    with pytest.raises(StorageError):
        AuditLog(tmp_path / "nowhere" / "audit.log")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        AuditLog(tmp_path / "link")
