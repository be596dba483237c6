"""What the documentation shows is what happens."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from lakelink.cli.infra import app, run
from lakelink.infra import reference
from lakelink.infra.checks import check
from lakelink.infra.decode import decode
from lakelink.infra.findings import errors
from lakelink.infra.meanings import MEANINGS

DOCS = Path(__file__).parents[2] / "docs" / "infra"
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", TUTORIAL, re.DOTALL)


def test_the_reference_is_what_the_tables_give():
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == reference.render()


def test_every_key_has_its_meaning_and_no_meaning_is_left_over():
    assert {(kind.__name__, field.name) for _, kind in reference.SECTIONS for field in fields(kind)} == set(MEANINGS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_specification_of_the_tutorial_is_allowed(number):
    assert errors(check(decode(tomllib.loads(BLOCKS[number])["infra"]))) == []


def test_the_first_check_prints_what_the_tutorial_shows(tmp_path, capsys):
    path = tmp_path / "lakelink.toml"
    path.write_text(BLOCKS[0])
    assert run(["check", "--config", str(path)]) == 0
    shown = re.search(r"```\n(note .*?)```", TUTORIAL, re.DOTALL)
    assert shown is not None
    assert capsys.readouterr().out == shown[1]


def test_the_python_of_the_tutorial_builds_the_component():
    from lakelink.infra.record import run as run_program

    (code,) = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
    graph = run_program(lambda: exec(compile(code, "tutorial", "exec"), {})).graph  # noqa: S102
    assert {"LustreFileSystem", "DataRepositoryAssociation", "Instance"} <= {node.kind for node in graph.nodes}


def test_the_python_of_the_fake_creates_a_file_system(aws, fsx_endpoint, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "testing.md").read_text(encoding="utf-8"), re.DOTALL)
    subnet = aws("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    assert '"/tmp/file-systems"' in code
    names = {}
    code = code.replace("/tmp/file-systems", str(tmp_path / "own"))  # noqa: S108
    code = code.replace("subnet-0123456789abcdef0", subnet)
    exec(compile(code, "testing", "exec"), names)  # noqa: S102
    assert names["made"]["FileSystem"]["FileSystemType"] == "LUSTRE"
    assert any((tmp_path / "own").iterdir())


def test_every_command_is_in_the_tutorial_and_the_other_way_round():
    shown = set(re.findall(r"lakelink infra ([a-z-]+)", TUTORIAL))
    assert shown == {name for name in app if not name.startswith("-")}


def test_the_number_of_planted_mistakes_is_the_one_that_is_said():
    from tests.infra.test_mutations import MISTAKES

    assert len(MISTAKES) == 31
    assert "thirty-one mistakes" in (DOCS / "testing.md").read_text(encoding="utf-8")


def test_the_limits_of_the_tests_are_said():
    text = (DOCS / "testing.md").read_text(encoding="utf-8")
    assert "No real AWS account was used" in text
    assert "LAKELINK_AWS_TEST=1" in text
