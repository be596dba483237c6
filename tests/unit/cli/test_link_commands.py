"""`lakelink link`: its commands explain themselves, and wrong requests are told before anything is touched."""

import pytest

from lakelink.cli import link, main


def run(*arguments):
    return main.run(arguments)


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKELINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def test_help_lists_every_command_with_its_line(capsys):
    assert run("link", "--help") == 0
    out = capsys.readouterr().out
    for name, command in link.COMMANDS.items():
        assert name in out
        assert command.summary[:40] in out


@pytest.mark.parametrize("name", link.COMMANDS)
def test_every_command_has_help_with_the_same_summary_and_an_example(name, capsys):
    assert run("link", name, "--help") == 0
    out = capsys.readouterr().out
    assert link.COMMANDS[name].summary[:60] in out
    assert f"lakelink link {name} " in out or f"lakelink link {name}\n" in out.replace("  ", "")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["link", "ad"], 2, "ad"),
        (["link", "add", "logs", "files"], 2, "LAKE"),
        (["link", "add", "logs", "files", "s3://lake", "--import", "nwe"], 2, "did you mean new?"),
        (["link", "add", "logs", "files", "s3://lake", "--conflict", "loudest"], 2, "--conflict"),
        (["link", "add", "logs", "files", "s3://lake", "--scan-interval", "5"], 2, "is not a duration"),
        (["link", "add", "logs", "files", "s3://lake", "--list-interval", "10ms"], 2, "is less than 1s"),
        (["link", "add", "logs", "files", "s3://lake", "--trash-max", "much"], 2, "is not a size"),
        (["link", "add", "logs", "missing", "s3://lake"], 4, "is not there"),
        (["link", "add", "logs", "file", "s3://lake"], 2, "is no directory"),
        (["link", "add", "logs", "s3://lake/a", "s3://lake/b"], 2, "is no directory of this machine"),
        (["link", "show", "logs"], 1, "there is no link 'logs'"),
        (["link", "pause", "logs"], 1, "there is no link 'logs'"),
        (["link", "remove", "logs"], 1, "there is no link 'logs'"),
        (["link", "reconcile", "logs"], 4, "no daemon serves"),
        (["link", "reconcile", "logs", "../up"], 2, "leads out of the link"),
        (["link", "export", "logs", "/abs"], 2, "is absolute"),
        (["link", "resolve", "logs", "1", "--keep", "files"], 4, "no daemon serves"),
        (["link", "trash", "empty", "logs"], 2, "removed for good?"),
        (["link", "update", "logs", "--clear-filters", "--exclude", "x"], 2, "--clear-filters"),
        (["status"], 4, "no daemon serves"),
        (["status", "--interval", "0"], 2, "not above zero"),
        (["serve", "--metrics", "here"], 2, "no port"),
    ],
)
def test_wrong_requests_are_told_with_a_code(tmp_path, arguments, code, sentence, capsys):
    (tmp_path / "files").mkdir()
    (tmp_path / "file").touch()
    assert run(*arguments) == code
    err = capsys.readouterr().err
    assert err.startswith("error[LL")
    assert sentence in err
    assert "\nhint: " in err


def test_links_are_made_listed_changed_and_removed_without_a_daemon(tmp_path, capsys):
    (tmp_path / "files").mkdir()
    assert run("link", "add", "logs", "files", "memory:x", "--import", "new,changed", "--export", "none", "--json") == 0
    assert run("link", "list") == 0
    assert f"logs  {tmp_path}/files <-- memory:x" in capsys.readouterr().out
    assert run("link", "add", "other", "files", "memory:y") == 3
    assert "is the same place as" in capsys.readouterr().err
    assert run("link", "update", "logs", "--exclude", "*.tmp", "--max-delete", "5", "--trash-keep", "1d") == 0
    out = capsys.readouterr().out
    assert "import new,changed, export none" in out
    assert "*.tmp" in out
    assert "0% and 5 paths" in out
    assert run("link", "pause", "logs") == 0
    assert "paused" in capsys.readouterr().out
    assert run("link", "resume", "logs") == 0
    assert run("link", "resume", "logs", "--allow-deletes") == 4
    for listing in ("conflicts", "held", "problems", "log", "tasks"):
        assert run("link", listing, "logs", "--json") == 0
    assert run("link", "trash", "list", "logs") == 0
    capsys.readouterr()
    assert run("link", "remove", "logs") == 3
    assert "not known, since no daemon runs" in capsys.readouterr().err
    assert run("link", "remove", "logs", "--discard", "--delete-files") == 4
    assert run("link", "remove", "logs", "--discard") == 0
    assert run("link", "list", "-q") == 0
    assert (tmp_path / "files").is_dir()


def test_declared_links_are_known_without_a_daemon_and_are_not_the_commands_to_change(tmp_path, capsys):
    (tmp_path / "files").mkdir()
    settings = tmp_path / "lakelink.toml"
    settings.write_text(f'[links.logs]\nfiles = "{tmp_path}/files"\nlake = "memory:x"\n', encoding="utf-8")
    assert run("link", "list") == 0
    assert "(declared)" in capsys.readouterr().out
    assert run("link", "update", "logs", "--export", "none") == 3
    assert run("link", "remove", "logs", "--discard") == 3
    capsys.readouterr()
    settings.unlink()  # other settings that declare no link withdraw none
    assert run("link", "list") == 0
    assert "(declared)" in capsys.readouterr().out
