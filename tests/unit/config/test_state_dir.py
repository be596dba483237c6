import os
from pathlib import Path

import pytest

from lakelink.config import state_dir as module
from lakelink.config.state_dir import state_dir, state_dir_path
from lakelink.errors import ConfigError


def test_the_variable_wins(tmp_path):
    assert state_dir_path({"LAKELINK_STATE_DIR": str(tmp_path / "s"), "XDG_STATE_HOME": "/x"}) == tmp_path / "s"


def test_root_keeps_it_below_var(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_dir_path({"XDG_STATE_HOME": "/x"}) == Path("/var/lib/lakelink")


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/lakelink"),
        ({"HOME": "/h"}, "/h/.local/state/lakelink"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/lakelink"),
    ],
)
def test_an_ordinary_user_keeps_it_where_xdg_says(monkeypatch, environ, path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(state_dir_path(environ)) == path


def test_it_is_made_for_this_user_alone(tmp_path):
    path = state_dir({"LAKELINK_STATE_DIR": str(tmp_path / "a" / "b")})
    assert path.stat().st_mode & 0o777 == 0o700
    assert state_dir({"LAKELINK_STATE_DIR": str(path)}) == path


def test_a_place_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made") as caught:
        state_dir({"LAKELINK_STATE_DIR": str(tmp_path / "file" / "x")})
    assert "LAKELINK_STATE_DIR" in caught.value.hint


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="cannot be written to"):
        state_dir({"LAKELINK_STATE_DIR": str(tmp_path)})
