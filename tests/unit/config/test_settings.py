import copy
import logging
import pickle

import pytest

from lakelink.config.document import parse_document
from lakelink.config.secret import Secret
from lakelink.config.settings import Section
from lakelink.errors import ConfigError

TEXT = """[task]
name = "nightly"
retries = 3
mode = "fast"
part = "64MiB"
raw_part = 1000
rate = "1MB/s"
wait = "1h30m"
on = true
tags = ["a", "b"]
"""


def section(tmp_path, text=TEXT, environ=None):
    document = parse_document(text, tmp_path / "f.toml")
    return Section(document, ("task",), document.section("task"), environ or {})


def test_values_have_their_type_and_know_where_they_came_from(tmp_path):
    task = section(tmp_path)
    assert task.text("name").value == "nightly"
    assert task.text("name").origin == f"{tmp_path}/f.toml:2 task.name"
    assert task.integer("retries", 0).value == 3
    assert task.choice("mode", ["slow", "fast"], "slow").value == "fast"
    assert task.size_bytes("part", 0).value == 64 << 20
    assert task.size_bytes("raw_part", 0).value == 1000
    assert task.rate_bytes_per_s("rate").value == 1_000_000
    assert task.duration_s("wait", 0).value == 5400
    assert task.flag("on").value is True
    assert task.texts("tags").value == ("a", "b")
    task.finish()


def test_what_is_not_written_is_the_default_and_says_so(tmp_path):
    task = section(tmp_path, "[task]\n")
    assert (task.integer("retries", 5).value, task.integer("retries", 5).origin) == (5, "default")
    assert task.rate_bytes_per_s("rate").is_default
    assert task.flag("on").value is False


def test_a_variable_wins_over_the_file_and_is_named_as_the_origin(tmp_path):
    task = section(tmp_path, environ={"TASK_NAME": "now", "TASK_ON": "no", "TASK_RETRIES": "9"})
    assert (task.text("name", variable="TASK_NAME").value, task.text("name", variable="TASK_NAME").origin) == (
        "now",
        "$TASK_NAME",
    )
    assert task.flag("on", True, variable="TASK_ON").value is False
    assert task.integer("retries", 0, variable="TASK_RETRIES").value == 9


@pytest.mark.parametrize(
    ("read", "line", "sentence"),
    [
        (lambda t: t.text("retries"), 3, "task.retries has to be text in quotes"),
        (lambda t: t.integer("name", 0), 2, "task.name has to be a whole number, at least 0"),
        (lambda t: t.integer("on", 0), 10 - 1, "task.on has to be a whole number"),
        (lambda t: t.integer("retries", 9, minimum=5), 3, "at least 5"),
        (
            lambda t: t.choice("mode", ["slow", "faster"], "slow"),
            4,
            "has to be one of slow, faster; did you mean faster?",
        ),
        (lambda t: t.size_bytes("name", 0), 2, "'nightly' is not a size"),
        (lambda t: t.size_bytes("on", 0), 9, "task.on has to be text"),
        (lambda t: t.rate_bytes_per_s("name"), 2, "'nightly' is not a rate"),
        (lambda t: t.duration_s("name", 0), 2, "'nightly' is not a duration"),
        (lambda t: t.duration_s("retries", 0), 3, "has to be text"),
        (lambda t: t.flag("name"), 2, "has to be true or false"),
        (lambda t: t.flag("retries"), 3, "has to be true or false"),
        (lambda t: t.texts("name"), 2, "has to be a list"),
    ],
)
def test_a_value_of_another_type_is_reported_with_file_line_and_name(tmp_path, read, line, sentence):
    with pytest.raises(ConfigError) as caught:
        read(section(tmp_path))
    assert caught.value.message.startswith(f"{tmp_path}/f.toml:{line}: ")
    assert sentence in caught.value.message


def test_a_wrong_variable_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"^\$TASK_ON has to be true or false"):
        section(tmp_path, environ={"TASK_ON": "maybe"}).flag("on", variable="TASK_ON")


def test_an_unknown_key_names_the_nearest_known_one(tmp_path):
    task = section(tmp_path, "[task]\nretrys = 1\n")
    task.integer("retries", 0)
    with pytest.raises(ConfigError, match=r"f.toml:2: unknown setting task.retrys") as caught:
        task.finish()
    assert caught.value.hint == "Did you mean retries?"


def test_a_section_that_is_no_table_is_refused(tmp_path):
    document = parse_document("[task]\n", tmp_path / "f.toml")
    with pytest.raises(ConfigError, match=r"f.toml:1: task.x has to be a table"):
        Section(document, ("task", "x"), 3)


def test_a_secret_shows_itself_to_nobody(caplog):
    secret = Secret("hunter2")
    logging.getLogger("t").warning("got %s and %r", secret, {"k": secret})
    shown = f"{secret} {secret!r} {[secret]} {secret!s:>10} {caplog.text}"
    assert "hunter2" not in shown
    assert "***" in shown
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("other")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
    assert secret
    assert not Secret("")
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written anywhere"):
            write(secret)
