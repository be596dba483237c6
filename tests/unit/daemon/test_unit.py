"""The unit for systemd: this installation's program is in it, and systemd understands it."""

import os
import shutil
import subprocess

import pytest

from lakelink.daemon.unit import unit


def test_the_unit_runs_this_program_and_speaks_to_systemd():
    lines = unit().splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    program = start.removeprefix("ExecStart=").split()[0]
    assert os.access(program, os.X_OK)
    assert start.endswith(" serve --quiet")
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "WatchdogSec=60"):
        assert line in lines


def test_systemd_understands_it(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "lakelink.service"
    file.write_text(unit(), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr and str(file) not in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert str(file) not in done.stderr
