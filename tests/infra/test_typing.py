"""The program is typed strictly against the provider's own types: a misspelt argument is found here, before any engine sees it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "src/lakelink/infra/program"
CACHE = ROOT / ".mypy_cache" / "infra"
COMMON = ("_enums.py", "_inputs.py", "_utilities.py", "outputs.py", "provider.py", "py.typed")


def window(folder: Path) -> Path:
    """The provider's package with only those of its modules that the program names: the whole takes mypy most of a minute.

    `make check` holds the program against the whole.
    """
    import pulumi_aws

    source, target = Path(pulumi_aws.__path__[0]), folder / "pulumi_aws"
    used = sorted(
        {name for path in PROGRAM.glob("*.py") for name in re.findall(r"\baws\.([a-z]\w+)", path.read_text())}
    )
    assert "fsx" in used
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in (*used, *COMMON):
        if (source / name).exists():
            (target / name).symlink_to(source / name)
    (target / "__init__.py").write_text(f"from . import {', '.join(used)}\nfrom .provider import *\n")
    return folder


def with_mistake(path: Path, right: str, mistake: str) -> str:
    """The file system's module with one word spelt wrong."""
    text = (PROGRAM / "lake.py").read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, mistake), encoding="utf-8")
    return str(path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_program_passes_strict_typing_and_misspelt_arguments_do_not(tmp_path):
    argument = with_mistake(tmp_path / "argument.py", "storage_capacity=", "storage_capcity=")
    nested = with_mistake(tmp_path / "nested.py", '"auto_import_policy":', '"auto_import_polcy":')
    # One run, since what takes long is the provider's types; its cache is kept beside that of `make check`.
    command = ["--strict", "--follow-imports=silent", f"--cache-dir={CACHE / 'cache'}", str(PROGRAM), argument, nested]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *command],
        env={**os.environ, "MYPYPATH": str(window(CACHE / "provider"))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    *complaints, summary = done.stdout.splitlines()
    assert (done.returncode, summary.startswith("Found ")) == (1, True), done.stdout + done.stderr
    assert any("argument.py:" in line and "storage_capcity" in line for line in complaints), done.stdout
    assert any("nested.py:" in line and "DataRepositoryAssociation" in line for line in complaints), done.stdout
    assert [line for line in complaints if "argument.py:" not in line and "nested.py:" not in line] == []
