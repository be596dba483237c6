"""`lakelink link events`: set up by command, heard by the daemon, checked, and taken away."""

from types import SimpleNamespace

import pytest

from tests.e2e.program import make_tree
from tests.e2e.serving import InProcess, same_text, serving, wait_for


@pytest.fixture
def program(tmp_path, lake):
    store = SimpleNamespace(endpoint=lake.endpoint, bucket=lake.bucket, access_key="test", secret_key="test")
    made = InProcess(tmp_path, store, "in")
    made.env["AWS_ENDPOINT_URL_SQS"] = lake.endpoint
    return made


def test_a_queue_is_made_heard_checked_and_removed(program, lake, tmp_path):
    root = make_tree(tmp_path / "files", {"here": "here"})
    with serving(program) as daemon:
        assert program("link", "add", "logs", root, program.lake, "--list-interval", "1h", "-q").code == 0
        daemon.available("logs")
        assert program("link", "events", "logs", "--check").code == 3  # there is no queue

        made = program("link", "events", "logs", "--queue", "create", "--json")
        assert made.code == 0, made.err
        queue = made.json["queue"]
        assert queue.startswith("arn:aws:sqs:")
        wait_for(lambda: any(queue in sentence for sentence in daemon.status("logs")["feeds"]), "the queue to be read")
        daemon.available("logs")
        lake.put("in/pushed", b"from the lake\n")
        wait_for(lambda: same_text(root / "pushed", "from the lake\n"), "the object, long before a listing")

        checked = program("link", "events", "logs", "--check", "--json")
        assert checked.code == 0, checked.out
        assert checked.json["healthy"]
        assert program("link", "events", "logs", "--remove").code == 0
        assert lake.notifications() == {}
        wait_for(
            lambda: any("nothing pushes" in sentence for sentence in daemon.status("logs")["feeds"]), "listing alone"
        )


def test_one_thing_at_a_time_is_asked_for(program, tmp_path):
    for wrong in ([], ["--check", "--remove"], ["--queue", "create", "--check"]):
        ran = program("link", "events", "logs", *wrong)
        assert ran.code == 2
        assert "one of --queue, --check and --remove" in ran.err
