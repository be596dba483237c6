"""`lakelink infra`, command by command: results on stdout, exit codes, and one specification that drives them all."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lakelink.cli.infra import run
from tests.docs.warm import warm
from tests.infra.matrix import REGION, SSH_KEY, spec

SPECIFICATION = f'[infra]\nname = "lab"\nregion = "{REGION}"\n'


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("LAKELINK_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "lakelink.toml"
    path.write_text(SPECIFICATION)
    return path


def test_check_says_what_the_choice_gives_and_that_it_can_be_created(config, capsys):
    assert run(["check"]) == 0
    assert "146 MB/s" in capsys.readouterr().out


def test_check_refuses_with_3_and_says_what_is_allowed(config, capsys):
    config.write_text(SPECIFICATION + "storage_capacity_gib = 10800\n")
    assert run(["check", "--config", str(config)]) == 3
    out = capsys.readouterr().out
    assert "9,600 or 12,000" in out
    assert "1 rule is broken" in out


def test_check_as_json_is_one_document(config, capsys):
    assert run(["check", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["rule"], found["level"], found["field"]) == (
        "throughput-total",
        "note",
        "per_unit_storage_throughput",
    )


def test_check_finds_a_link_of_the_same_file_on_an_associated_prefix(config, capsys):
    links = '[locations.l]\nurl = "s3://lab-eu-central-1-lake/data"\n[links.mine]\nfiles = "/x"\nlake = "l:sub"\n'
    config.write_text(SPECIFICATION + links)
    assert run(["check"]) == 3
    assert "the link 'mine'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[infra]\nname = 'lab'\nregoin = 'x'\n", "did you mean 'region'"),
        ("[infra\n", "not valid TOML"),
        ("[links]\n", "has no [infra]"),
    ],
)
def test_a_wrong_file_is_a_usage_error_that_names_it(config, capsys, text, words):
    config.write_text(text)
    assert run(["check"]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "lakelink.toml" in err
    assert "hint: " in err


def test_a_missing_file_and_an_unknown_option_are_usage_errors(config, capsys):
    assert run(["check", "--config", "nowhere.toml"]) == 2
    assert "there is no settings file nowhere.toml" in capsys.readouterr().err
    assert run(["check", "--nope"]) == 2
    assert run(["graph", "--format", "svg"]) == 2


def test_the_environment_names_the_file_and_the_option_wins(config, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other.toml"
    other.write_text(SPECIFICATION.replace("lab", "other"))
    monkeypatch.setenv("LAKELINK_CONFIG", str(other))
    run(["check", "--no-policy"])
    assert "other in" in capsys.readouterr().out
    run(["check", "--no-policy", "--config", str(config)])
    assert "lab in" in capsys.readouterr().out


def test_graph_speaks_text_json_and_mermaid(config, capsys):
    assert run(["graph"]) == 0
    assert "lab-file-system (LustreFileSystem)" in capsys.readouterr().out
    assert run(["graph", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "lab-client" in {node["name"] for node in document["resources"]}
    assert run(["graph", "--format", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR")


def test_userdata_prints_the_script_of_the_specification(config, capsys):
    config.write_text(SPECIFICATION + '[infra.client]\nmount_point = "/data"\n')
    assert run(["userdata", "--dns-name", "fs.example", "--mount-name", "abc"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("#!/bin/bash\n")
    assert "FSX_DNS_NAME=fs.example\nFSX_MOUNT_NAME=abc\nMOUNT_POINT=/data\n" in out


def test_userdata_of_the_agent_is_there_if_there_is_one(config, capsys):
    assert run(["userdata", "--part", "agent"]) == 2
    assert "specifies no agent" in capsys.readouterr().err
    config.write_text(SPECIFICATION + "file_system = false\n[infra.agent]\nenabled = true\n")
    assert run(["userdata", "--part", "agent"]) == 0
    assert "lakelink.service" in capsys.readouterr().out
    assert run(["userdata"]) == 2
    assert run(["userdata", "--part", "server"]) == 2


def test_link_file_gives_the_same_links_self_hosted(config, capsys):
    links = (
        '[[infra.associations]]\nfile_system_path = "/a"\nprefix = "x/y"\nauto_import = ["NEW"]\nauto_export = []\n'
        '[[infra.associations]]\nfile_system_path = "/b/"\nprefix = "b"\n'
    )
    config.write_text(SPECIFICATION + links)
    assert run(["link-file", "--files-root", "/srv"]) == 0
    found = tomllib.loads(capsys.readouterr().out)
    assert found["locations"] == {"lab-lake": {"url": "s3://lab-eu-central-1-lake", "region": REGION}}
    everything = ["new", "changed", "deleted"]
    assert found["links"] == {
        "lab-0": {"files": "/srv/a", "lake": "lab-lake:x/y/", "import": ["new"], "export": []},
        "lab-1": {"files": "/srv/b", "lake": "lab-lake:b/", "import": everything, "export": everything},
    }


def test_the_configuration_of_the_agent_is_one_that_the_program_takes(config, tmp_path, monkeypatch, capsys):
    from lakelink.cli import main
    from lakelink.infra import agent

    queue = f"arn:aws:sqs:{REGION}:123456789012:lab-lake-events"
    config.write_text(agent.configuration(spec(agent={"enabled": True, "prefix": "in"}), queue))
    monkeypatch.setenv("LAKELINK_STATE_DIR", str(tmp_path / "state"))
    assert main.run(["link", "list", "--json"]) == 0
    assert [link["name"] for link in json.loads(capsys.readouterr().out)["links"]] == ["lab"]
    assert tomllib.loads(config.read_text())["links"]["lab"]["events"] == queue


def test_a_link_of_the_written_file_is_one_that_the_program_takes(config, tmp_path, monkeypatch, capsys):
    from lakelink.cli import main

    links = (
        '[[infra.associations]]\nfile_system_path = "/a"\nprefix = "x/y"\nauto_import = ["NEW"]\nauto_export = ["NEW", "CHANGED"]\n'
        '[[infra.associations]]\nfile_system_path = "/b/"\nprefix = "b"\n'
    )
    config.write_text(SPECIFICATION + links)
    assert run(["link-file", "--files-root", str(tmp_path / "lake")]) == 0
    config.write_text(config.read_text() + capsys.readouterr().out)
    monkeypatch.setenv("LAKELINK_STATE_DIR", str(tmp_path / "state"))
    assert main.run(["link", "list", "--json"]) == 0
    assert {link["name"] for link in json.loads(capsys.readouterr().out)["links"]} == {"lab-0", "lab-1"}
    assert run(["check", "--no-policy"]) == 3, "beside the associations they would be a second syncer"


def test_iam_prints_one_policy_per_part(config, capsys):
    config.write_text(
        SPECIFICATION
        + f'file_system = false\n[infra.agent]\nenabled = true\nprefix = "in"\n[[infra.transfer_users]]\nname = "anna"\npublic_key = "{SSH_KEY}"\n'
    )
    assert run(["iam"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"deployer", "drift", "agent", "sftp-anna"}
    objects = next(one for one in found["agent"]["Statement"] if one["Sid"] == "Objects")
    assert objects["Resource"] == ["arn:aws:s3:::lab-eu-central-1-lake/in/*"]


def test_drift_exits_with_1_on_a_difference_and_names_it(config, aws, fsx_endpoint, capsys):
    assert run(["drift", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {"part": "bucket", "attribute": "exists", "wanted": "yes", "found": "absent"} in found


# The Pulumi CLI, played by the stand-in


@pytest.fixture(scope="module")
def shim() -> Iterator[str]:
    """The command of the program that stands where the Pulumi CLI would."""
    with TemporaryDirectory(prefix="shim") as folder, warm(Path(folder), "tests.infra.pulumi_shim") as command:
        yield command


@pytest.fixture
def pulumi(tmp_path, monkeypatch, config, shim) -> Path:
    """A `pulumi` on PATH; its log of calls."""
    folder, state, log = tmp_path / "bin", tmp_path / "state", tmp_path / "log"
    folder.mkdir()
    state.mkdir()
    log.touch()
    program = folder / "pulumi"
    program.write_text(f'#!/bin/sh\nexec {shim} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{state}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret passphrase")
    monkeypatch.setenv("PULUMI_SHIM_LOG", str(log))
    return log


def calls(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("verb", ["preview", "up", "destroy"])
def test_without_the_pulumi_cli_the_version_that_is_needed_is_named(config, monkeypatch, capsys, verb):
    monkeypatch.setenv("PATH", "/nowhere")
    assert run([verb]) == 2
    assert "version 3.200.0 or newer is needed" in capsys.readouterr().err


def test_a_pulumi_cli_that_is_too_old_is_named_with_its_version(pulumi, monkeypatch, capsys):
    monkeypatch.setenv("PULUMI_SHIM_VERSION", "v3.199.9")
    assert run(["preview"]) == 2
    assert "v3.199.9" in capsys.readouterr().err


def test_a_broken_rule_stops_before_pulumi_is_asked_for_anything_but_its_version(pulumi, config, capsys):
    config.write_text(SPECIFICATION + "storage_capacity_gib = 1300\n")
    assert run(["up", "--yes"]) == 3
    assert calls(pulumi) == [["version"]]


def test_preview_changes_nothing_and_the_passphrase_is_no_argument(
    pulumi, config, aws, fsx_endpoint, fsx_service, capfd
):
    assert run(["preview", "--stack", "s1"]) == 0
    assert calls(pulumi)[-1] == ["preview", "--cwd", str(config.parent / "infra"), "--stack", "s1"]
    assert aws("s3").list_buckets()["Buckets"] == []
    assert fsx_service.state.file_systems == {}
    assert "secret passphrase" not in pulumi.read_text(), "it would be seen in the process list"


def test_destroy_spares_what_is_protected_and_says_so(pulumi, config, capfd):
    assert run(["destroy", "--yes"]) == 0
    assert calls(pulumi)[-1][0] == "destroy"
    assert {"--yes", "--exclude-protected"} <= set(calls(pulumi)[-1])
    assert "lab-eu-central-1-lake is protected and kept" in capfd.readouterr().out


def test_up_makes_everything_and_a_project_of_ones_own_is_kept(pulumi, config, aws, fsx_endpoint, fsx_service, capfd):
    own = config.parent / "infra"
    own.mkdir()
    (own / "Pulumi.yaml").write_text("name: mine\nruntime: python\n")
    assert run(["up", "--yes"]) == 0
    out = capfd.readouterr().out
    assert "all 34 resources exist" in out
    assert (own / "Pulumi.yaml").read_text() == "name: mine\nruntime: python\n"
    assert run(["drift"]) == 0
    assert "no differences" in capfd.readouterr().out


def test_when_the_subnet_fails_the_summary_says_what_exists_and_a_second_run_finishes(
    pulumi, config, aws, fsx_endpoint, fsx_service, capfd
):
    config.write_text(SPECIFICATION + f'[infra.network]\navailability_zone = "{REGION}z"\n')
    assert run(["up", "--yes"]) == 1
    captured = capfd.readouterr()
    assert "lab-subnet" in captured.err
    created, missing = (line.partition(": ")[2].split(", ") for line in captured.out.splitlines()[:2])
    assert captured.out.startswith("created: ")
    assert "\nnot created: " in captured.out
    assert {"lab-bucket", "lab-vpc", "lab-file-system-group", "lab-client-group"} <= set(created)
    assert {"lab-subnet", "lab-file-system", "lab-association-0", "lab-client"} <= set(missing)
    assert "run `lakelink infra up` again" in captured.out
    assert fsx_service.state.file_systems == {}
    assert [vpc["CidrBlock"] for vpc in aws("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == ["10.60.0.0/16"]
    config.write_text(SPECIFICATION + f'[infra.network]\navailability_zone = "{REGION}a"\n')
    assert run(["up", "--yes"]) == 0
    assert "all 34 resources exist" in capfd.readouterr().out
    assert [vpc["CidrBlock"] for vpc in aws("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == ["10.60.0.0/16"]
    assert run(["drift"]) == 0


def test_the_ready_project_is_eight_lines_and_builds_what_the_file_of_the_stack_says(config):
    from pulumi.runtime import set_all_config

    from lakelink.infra.record import run as run_program

    source = Path(sys.modules["lakelink"].__path__[0]) / "infra" / "project"
    lines = [line for line in (source / "__main__.py").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 8

    def main(key: str, file: str) -> None:
        set_all_config({key: file})
        runpy.run_path(str(source / "__main__.py"), run_name="__main__")

    assert "name: lakelink-infra\n" in (source / "Pulumi.yaml").read_text()
    for stack in ("dev", "production"):
        (line,) = [line for line in (source / f"Pulumi.{stack}.yaml").read_text().splitlines() if line.startswith("  ")]
        key, file = line.strip().split(": ")
        (config.parent / file).write_text(SPECIFICATION.replace("lab", stack))
        assert run_program(partial(main, key, file)).graph.one("Bucket").name == f"{stack}-bucket"


def test_without_the_extra_the_rules_are_checked_and_what_is_left_out_is_said(config):
    """In a process of its own, in which the libraries of the extra cannot be imported."""
    code = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] in {'pulumi', 'pulumi_aws', 'grpc', 'boto3', 'google'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'pulumi_aws' else found(name, package)\n"
        "from lakelink.cli.infra import run\n"
        "print([run([word]) for word in ('check', 'userdata', 'link-file', 'graph', 'drift')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 2, 2]", done.stderr
    assert "[not-recorded]" in done.stdout
    assert done.stderr.count("pip install 'lakelink[infra]'") == 2


def test_it_is_a_noun_of_the_program_like_any_other(config, monkeypatch, capsys):
    from lakelink.cli import main

    command = main.Command("lakelink.cli.infra:app", main.GROUPS[-1], "Provision, check and compare the AWS side.")
    monkeypatch.setitem(main.COMMANDS, "infra", command)
    assert main.run(["infra", "check", "--no-policy"]) == 0
    assert "lab in" in capsys.readouterr().out
    config.write_text(SPECIFICATION + "storage_capacity_gib = 1300\n")
    assert main.run(["infra", "check", "--no-policy"]) == 3
    assert main.run(["infra", "graph"]) == 3
    assert "error[LL200]" in capsys.readouterr().err


def test_the_module_runs_by_itself(config):
    done = subprocess.run(
        [sys.executable, "-m", "lakelink.cli.infra", "check", "--no-policy"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
