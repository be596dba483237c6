"""The summary of skipped tests, by running pytest on a file of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_pytest(folder: Path, text: str) -> str:
    (folder / "test_sample.py").write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.plugins.skips",
        "-p",
        "no:cacheprovider",
        "-q",
        "test_sample.py",
    ]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout


def test_every_skip_is_listed_under_its_reason(tmp_path):
    out = run_pytest(
        tmp_path,
        "import pytest\n"
        "@pytest.mark.skip(reason='needs root')\n"
        "def test_one(): ...\n"
        "def test_two(): pytest.skip('needs root')\n"
        "def test_three(): pytest.skip('needs a moon')\n"
        "def test_four(): ...\n",
    )
    assert "skipped: 3 tests, and why" in out
    assert "   2  needs root\n        test_sample.py" in out
    assert "   1  needs a moon" in out


def test_a_run_without_skips_says_so(tmp_path):
    assert "skipped: nothing" in run_pytest(tmp_path, "def test_four(): ...\n")
