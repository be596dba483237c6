import io
import json
import logging
import os

import pytest

from lakelink.obs import log
from lakelink.obs.log import Event


@pytest.fixture
def stream():
    logger = logging.getLogger(log.ROOT)
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield io.StringIO()
    logger.handlers[:], logger.level, logger.propagate = before


def test_an_event_is_one_line_of_text_with_its_fields(stream):
    log.configure(logging.INFO, stream, as_json=False)
    log.emit(logging.INFO, Event.RUN_FINISHED, {"files": 3, "seconds": 0.4125, "message": "two words", "path": "a=b"})
    line = stream.getvalue()
    assert line.endswith('Z INFO run.finished files=3 seconds=0.412 message="two words" path="a=b"\n')


def test_an_event_is_one_json_document_with_its_fields(stream):
    log.configure(logging.DEBUG, stream, as_json=True)
    log.emit(logging.WARNING, Event.RUN_INTERRUPTED, {"seconds": 12.5, "message": "a\nb", "code": None})
    document = json.loads(stream.getvalue())
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "WARNING",
        "event": "run.interrupted",
        "seconds": 12.5,
        "message": "a\nb",
        "code": None,
    }
    assert stream.getvalue().count("\n") == 1


def test_a_field_that_is_not_on_the_list_is_refused(stream):
    log.configure(logging.INFO, stream, as_json=False)
    with pytest.raises(ValueError, match="secret_key"):
        log.emit(logging.INFO, Event.RUN_STARTED, {"secret_key": "s3cr3t"})
    assert stream.getvalue() == ""


def test_a_url_loses_its_user_password_and_query(stream):
    log.configure(logging.INFO, stream, as_json=False)
    log.emit(logging.INFO, Event.RUN_STARTED, {"endpoint": "https://user:s3cr3t@host:9000/x?X-Amz-Signature=s3cr3t"})
    assert "s3cr3t" not in stream.getvalue()
    assert "endpoint=https://host:9000/x" in stream.getvalue()


def test_no_field_is_a_place_for_a_secret():
    for name in log.FIELDS:
        assert not any(word in name for word in ("secret", "password", "token", "credential", "key"))


def test_events_below_the_level_are_not_written(stream):
    log.configure(logging.WARNING, stream, as_json=False)
    log.emit(logging.INFO, Event.RUN_STARTED, {"files": 1})
    assert stream.getvalue() == ""


def test_configuring_again_does_not_write_twice(stream):
    log.configure(logging.INFO, stream, as_json=False)
    log.configure(logging.INFO, stream, as_json=False)
    log.emit(logging.INFO, Event.RUN_STARTED, {})
    assert stream.getvalue().count("run.started") == 1


def test_for_journald_a_line_begins_with_its_priority_and_has_no_stamp(stream):
    log.configure(logging.INFO, stream, as_json=False, journal=True)
    log.emit(logging.WARNING, log.Event.LINK_CHANGED, {"link": "logs", "message": "two\nlines"})
    assert stream.getvalue() == '<4>link.changed link=logs message="two\\nlines"\n'


def test_a_journal_is_known_by_its_inode(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert log.is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not log.is_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not log.is_journal(stream, {})
    assert not log.is_journal(io.StringIO(), {})
