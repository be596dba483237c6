"""A database is closed when no thread is in the middle of a change: the library does not survive the other order."""

import threading

import pytest

from lakelink.errors import StorageError
from lakelink.gateway.workflows.queue import Queue


def test_a_queue_waits_for_the_thread_that_uses_it_and_refuses_the_next(tmp_path):
    queue = Queue(tmp_path)
    inside, leave = threading.Event(), threading.Event()

    def change():
        with queue._changing():
            inside.set()
            leave.wait(60)

    user = threading.Thread(target=change)
    user.start()
    assert inside.wait(60)
    closer = threading.Thread(target=queue.close)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    leave.set()
    for thread in (user, closer):
        thread.join(60)
        assert not thread.is_alive()
    with pytest.raises(StorageError):
        queue.counts()
