"""The architecture as tests: the import contracts hold, and no module has grown into a monster."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "lakelink"
LONGEST_MODULE = 400
CATCH_ALL = "supervise.py"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_the_import_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_no_module_is_longer_than_the_limit():
    lengths = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}
    assert len(lengths) > 20


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """Catches all and does not raise it again at its end."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else {"Exception"}
    )
    last = handler.body[-1]
    raised_again = isinstance(last, ast.Raise) and last.exc is None
    return bool(names & {"Exception", "BaseException"}) and not raised_again


def test_everything_is_caught_only_at_the_edges():
    """`except Exception` hides defects; it stands only in the modules whose work is to supervise, or where it is raised again."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        if path.name != CATCH_ALL
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    assert found == []


def test_the_check_for_catching_everything_finds_it():
    tree = ast.parse("try: ...\nexcept (ValueError, Exception): pass\ntry: ...\nexcept Exception:\n  x = 1\n  raise")
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert [swallows_everything(handler) for handler in handlers] == [True, False]


def test_nothing_is_raised_from_a_starred_except():
    """Python before 3.11.4 puts it into an exception group, which nobody expects; Debian 12 has 3.11.2."""
    found = [
        f"{path.relative_to(ROOT)}:{handler.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
        if any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))
    ]
    assert found == []


HEAVY = ("awscrt", "boto3", "botocore", "rich", "msgspec", "pathspec", "sqlite3", "cyclopts", "asyncio", "ssl")


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_the_version_is_answered_before_any_library_loads(arguments):
    code = (
        "import sys; sys.argv[1:] = " + repr(arguments) + "\n"
        "from lakelink.__main__ import main; main()\n"
        "print(*[name for name in " + repr(HEAVY) + " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded = done.stdout.splitlines()
    assert version.startswith("lakelink ")
    assert loaded == ""


def test_a_command_loads_no_library_that_it_does_not_use():
    """A local sync pays neither for S3 nor for a display that nobody sees."""
    code = (
        "import sys\nfrom lakelink.cli.main import run\n"
        "assert run(['sync', 'only-one-argument']) == 2\n"
        "print(*[name for name in ('awscrt', 'boto3', 'rich.live', 'sqlite3', 'ssl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
