"""The command line in this process: usage errors, help, exit codes."""

import pytest

from lakelink.cli import main, supervise
from lakelink.errors import Busy, InternalError, LakelinkError, Unreachable, all_errors


def run(*arguments: str) -> int:
    return main.run(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sync"], 'Command "sync" parameter SOURCE requires an argument.'),
        (["sync", "a", "b", "--exclud", "x"], "Unknown option: --exclud. Did you mean --exclude?"),
        (["sync", "a", "b", "--bandwidth", "fast"], "--bandwidth: 'fast' is not a rate"),
        (["sync", "a", "b", "--bandwidth", "0"], "less than one byte per second"),
        (["sync", "a", "b", "--concurrency", "0"], "--concurrency: '0' is not a whole number above zero"),
        (
            ["sync", "a", "b", "--max-delete", "many"],
            "--max-delete: 'many' is neither a number of paths nor a percentage",
        ),
        (["sync", "a", "b", "--max-delete", "101%"], "write a number from 0 to 100"),
        (["sync", "a", "b", "--sse", "DES"], "--sse: 'DES' is not AES256, aws:kms or aws:kms:KEY"),
        (["sync", "a", "b", "--symlinks", "maybe"], "--symlinks"),
        (["sync", "a", "b", "--exclude", ""], "--exclude needs a pattern"),
        (["sync", "a", "b", "--filter-from", "/nowhere/at-all"], "/nowhere/at-all cannot be read"),
        (["sync", "a", "b", "c"], "Unused Tokens: ['c']"),
        (["sycn", "a", "b"], 'Did you mean "sync"?'),
        (["sync", "a", "b", "--report", "/nowhere/at-all/x"], "/nowhere/at-all/x cannot be written"),
    ],
)
def test_a_wrong_request_is_told_with_a_hint_and_exit_code_2(arguments, sentence, capsys):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.startswith("error[LL100]: ")
    assert "\nhint: " in err
    assert "Traceback" not in err


def test_help_lists_every_command_with_its_line(capsys):
    assert run("--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, command in main.COMMANDS.items():
        assert name in out
        assert command.summary in out


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_with_the_same_summary_and_an_example(name, capsys):
    assert run(name, "--help") == 0
    out = capsys.readouterr().out
    assert main.COMMANDS[name].summary in out
    assert f" lakelink {name} " in out or f" lakelink {name}\n" in out.replace("  ", "")


def test_no_arguments_show_the_help(capsys):
    assert run() == 0
    assert "Usage: lakelink COMMAND" in capsys.readouterr().out


def test_every_error_ends_with_its_own_exit_code(capsys):
    for cls in all_errors():
        error = cls("it did not work", hint="Do something.")

        def command(error: LakelinkError = error) -> int:
            raise error

        assert supervise.supervised(command, debug=False) == cls.exit_code
        assert f"error[{cls.code}]: it did not work\nhint: Do something." in capsys.readouterr().err


def test_a_defect_is_one_line_and_exit_code_70(capsys):
    assert supervise.supervised(lambda: 1 // 0, debug=False) == 70
    err = capsys.readouterr().err
    assert "error[LL900]" in err
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err


def test_debug_adds_the_traceback(capsys):
    assert supervise.supervised(lambda: 1 // 0, debug=True) == 70
    assert "Traceback" in capsys.readouterr().err


def test_several_errors_at_once_are_all_told_and_the_gravest_decides(capsys):
    def command() -> int:
        raise ExceptionGroup("both", [Busy("somebody else is at it"), ExceptionGroup("", [Unreachable("no answer")])])

    assert supervise.supervised(command, debug=False) == 4
    err = capsys.readouterr().err
    assert "somebody else is at it" in err
    assert "no answer" in err


def test_a_defect_among_several_errors_is_a_defect():
    def command() -> int:
        raise ExceptionGroup("both", [Busy("somebody else is at it"), KeyError("x")])

    assert supervise.supervised(command, debug=False) == InternalError.exit_code


def test_an_interrupted_command_ends_with_130():
    def command() -> int:
        raise KeyboardInterrupt

    assert supervise.supervised(command, debug=False) == 130


@pytest.mark.parametrize(
    ("arguments", "kept", "debug"),
    [
        (["sync", "a", "--debug", "b"], ["sync", "a", "b"], True),
        (["sync", "a", "b"], ["sync", "a", "b"], False),
        (["rm", "--", "--debug"], ["rm", "--", "--debug"], False),
    ],
)
def test_debug_is_taken_anywhere_among_the_options_but_not_behind_two_dashes(arguments, kept, debug, monkeypatch):
    monkeypatch.delenv("LAKELINK_DEBUG", raising=False)
    assert main._without_debug(arguments) == (kept, debug)


def test_a_log_level_that_nobody_knows_is_a_usage_error(monkeypatch, capsys):
    monkeypatch.setenv("LAKELINK_LOG", "loud")
    assert run("sync", "a", "b") == 2
    assert "LAKELINK_LOG=loud is not understood" in capsys.readouterr().err
