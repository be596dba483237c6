"""A task of a link: its states, and the fields of one that was only just asked for."""

import dataclasses

import pytest

from lakelink.model.linkspec import Direction
from lakelink.model.linktask import LinkTask, TaskState


def test_the_states_have_the_names_of_fsx_and_three_of_them_are_final():
    final = {state.value for state in TaskState if state.is_final}
    assert final == {"SUCCEEDED", "FAILED", "CANCELED"}
    assert {state.value for state in TaskState} - final == {"PENDING", "EXECUTING", "CANCELING"}


def test_a_new_task_waits_for_everything_and_has_counted_nothing():
    task = LinkTask(id="task-0123456789abcdef0", kind=Direction.IMPORT)
    assert task.state is TaskState.PENDING
    assert task.paths == ()
    assert (task.total, task.succeeded, task.failed) == (0, 0, 0)
    assert (task.created_ns, task.started_ns, task.ended_ns) == (0, 0, 0)


def test_a_task_is_a_value_that_changes_only_by_replacement():
    task = LinkTask(id="task-0123456789abcdef0", kind=Direction.EXPORT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.total = 1  # type: ignore[misc]
    assert dataclasses.replace(task, state=TaskState.CANCELED).state.is_final
