"""Every session in the documentation does what it shows; every page of the reference is what the program says."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lakelink.errors import Unsupported
from lakelink.locations.embedded import EmbeddedStore
from tests.docs.transcript import blocks, environment, play
from tests.docs.warm import warm

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if any(block.language in {"console", "python"} and not block.not_executed for block in blocks(path))
    and "infra" not in path.parts
    and path.name != "ADAPTERS.md"  # tests/contract plays that one
)
EVERY_PAGE = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A server of its own: the pages say s3://lake/…, so they need the bucket for themselves."""
    server = EmbeddedStore(tmp_path_factory.mktemp("pages"))
    try:
        server.start()
    except Unsupported as error:
        pytest.skip(f"{error} ({error.hint})")
    yield {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": "us-east-1",
    }
    server.stop()


@pytest.fixture(scope="module")
def program():
    with tempfile.TemporaryDirectory(prefix="ll-") as folder, warm(Path(folder)) as command:
        yield command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_shows(page, tmp_path, store, program):
    if re.search(r"\bsftp -q", page.read_text(encoding="utf-8")) and shutil.which("sftp") is None:
        pytest.skip("needs the OpenSSH client (apt: openssh-client)")
    home = tmp_path / "home"
    home.mkdir()
    env = environment(home, store, program)
    try:
        play(page, home, env)
    finally:
        (tmp_path / "nothing").mkdir()
        empty = ["lakelink", "sync", tmp_path / "nothing", "s3://lake", "--delete", "--allow-empty-source", "--quiet"]
        subprocess.run([*empty, "--max-delete", "100%"], env=env, check=True)


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    broken = [
        target
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_written_as_sessions_so_that_they_are_played(page):
    assert [block.line for block in blocks(page) if block.language in {"sh", "bash", "shell"}] == []


def test_the_reference_is_what_the_program_says():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
