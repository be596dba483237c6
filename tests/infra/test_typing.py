"""The program is typed strictly against the provider's own types: a misspelt argument is found here, before any engine sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")
ROOT = Path(__file__).parents[2]


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The cache is the project's own, so that only the first run after a change of the provider is slow.
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_program_passes_strict_typing_and_a_misspelt_argument_does_not(tmp_path):
    wrong = tmp_path / "wrong.py"
    text = (ROOT / "src/lakelink/infra/program/lake.py").read_text(encoding="utf-8")
    assert text.count("storage_capacity=") == 1
    wrong.write_text(text.replace("storage_capacity=", "storage_capcity="), encoding="utf-8")
    done = mypy("src/lakelink/infra/program", str(wrong))  # one run: what takes long is the provider's own types
    *complaints, summary = done.stdout.splitlines()
    assert (done.returncode, summary.startswith("Found ")) == (1, True), done.stdout + done.stderr
    assert "storage_capcity" in done.stdout
    assert [line for line in complaints if "/wrong.py:" not in line] == []
