"""The player of the documentation must notice what is wrong in it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.transcript import environment, matches, play
from tests.docs.warm import warm


def write(tmp_path: Path, text: str) -> tuple[Path, Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path, folder


def played(tmp_path: Path, text: str) -> None:
    path, folder = write(tmp_path, text)
    play(path, folder, environment(folder, {}))


def test_a_session_that_is_right_passes(tmp_path):
    played(
        tmp_path, "```console\n$ cd /tmp\n$ pwd\n/tmp\n$ printf 'a\\nb\\nc'\na\n...\nc\n$ echo one two\none ...\n```\n"
    )


def test_state_is_kept_from_block_to_block(tmp_path):
    played(tmp_path, "```console\n$ x=5\n```\ntext\n```console\n$ echo $x\n5\n```\n")


def test_other_output_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="but it said"):
        played(tmp_path, "```console\n$ echo hello\ngoodbye\n```\n")


def test_output_that_nobody_expected_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="but it said"):
        played(tmp_path, "```console\n$ echo hello\n```\n")


def test_a_failing_command_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="ended with 1"):
        played(tmp_path, "```console\n$ false\n```\n")


def test_a_failure_that_is_asked_for_is_fine(tmp_path):
    played(tmp_path, "```console\n$ (exit 3)\n$ echo $?\n3\n```\n")


def test_a_failing_program_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        played(tmp_path, "```python\n1 / 0\n```\n")


def test_lines_may_be_continued_and_here_documents_written(tmp_path):
    played(tmp_path, "```console\n$ cat > x <<'END'\n> one\n>\n> two\n> END\n$ wc -l < x\n3\n```\n")


def test_what_is_in_the_background_ends_with_the_session(tmp_path):
    page = "<!-- background -->\n```console\n$ sh -c 'echo ready; echo $$ > pid; exec sleep 60'\nready\n```\n"
    played(tmp_path, page)
    pid = int((tmp_path / "home" / "pid").read_text(encoding="utf-8"))
    assert not Path(f"/proc/{pid}").exists()


def test_what_is_not_executed_needs_a_reason_and_does_not_run(tmp_path):
    played(tmp_path, "<!-- not executed: it needs a moon -->\n```console\n$ false\n```\n")


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (["..."], [], True),
        (["...", "b"], ["a", "a", "b"], True),
        (["a", "..."], ["a"], True),
        (["a ... c"], ["a b c"], True),
        (["a ... c"], ["a b d"], False),
        (["a.c"], ["abc"], False),
        ([], [""], False),
    ],
)
def test_dots_stand_for_anything_and_for_nothing_else(expected, actual, same):
    assert matches(expected, actual) is same


def test_a_warm_program_does_what_the_program_does(tmp_path):
    env = environment(tmp_path / "home", {}) | {"LAKELINK_STATE_DIR": "state"}
    sessions = [
        "printf 'a line' > a && {} put - there < a && {} cat there && echo && cat there",
        "{} cat nothing-there 2> errors; echo $?; cat errors",
        "cd / && {} ls here-is-nothing; echo $?",
        "seq 100000 | {} put - many -q && {} cat many | head -n 1",
        "LAKELINK_CONFIG=missing.toml {} link list 2>&1; echo $?",
        "{} --version",
    ]
    with tempfile.TemporaryDirectory(prefix="ll-") as folder, warm(Path(folder)) as quick:
        said = [
            [_said(session, program, tmp_path / f"{n}", env) for session in sessions]
            for n, program in enumerate((f"{sys.executable} -m lakelink", quick))
        ]
    assert said[0] == said[1]
    assert said[0][0].splitlines()[-2:] == ["a line", "a line"]


def _said(session: str, program: str, folder: Path, env: dict[str, str]) -> str:
    folder.mkdir(exist_ok=True)
    command = session.replace("{}", program)
    done = subprocess.run(
        ["/bin/bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert not done.stderr or "error[" in done.stderr or "stored" in done.stderr, done.stderr
    return done.stdout.replace(str(folder), "")
