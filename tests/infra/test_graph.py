"""The recorded program over a matrix of specifications: order, ports, tags, protection, outputs instead of texts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakelink.errors import Refused, UsageError
from lakelink.infra.findings import Level
from lakelink.infra.graph import UNKNOWN, Graph, Node, as_json, as_mermaid, as_text, ordered
from lakelink.infra.policy import findings
from lakelink.infra.record import Provider, record, run
from lakelink.testing.aws.shapes import request_problems, service_model
from tests.infra.emulator import association_request, file_system_request
from tests.infra.matrix import MATRIX, SSH_KEY, spec
from tests.infra.oracle import complaints

SNAPSHOT = Path(__file__).parent / "snapshots" / "defaults.json"


@pytest.mark.parametrize("name", MATRIX)
def test_the_graph_is_as_it_must_be(graphs, name):
    assert complaints(graphs[name], MATRIX[name]) == []


@pytest.mark.parametrize("name", MATRIX)
def test_the_policies_find_nothing(graphs, name):
    assert [finding for finding in findings(graphs[name]) if finding.level is Level.ERROR] == []


@pytest.mark.parametrize("name", MATRIX)
def test_what_would_be_sent_fits_the_api_model_with_its_enums_and_patterns(graphs, name):
    from botocore.validate import validate_parameters

    known = {
        "subnetIds": "subnet-0123456789abcdef0",
        "securityGroupIds": ["sg-0123456789abcdef0"],
        "fileSystemId": "fs-0123456789abcdef0",
    }
    requests = [("CreateFileSystem", file_system_request, node) for node in graphs[name].of("LustreFileSystem")]
    requests += [
        ("CreateDataRepositoryAssociation", association_request, node)
        for node in graphs[name].of("DataRepositoryAssociation")
    ]
    for operation, build, node in requests:
        given = {key: known.get(key, value) for key, value in node.inputs.items()}
        if given.get("dataRepositoryPath") == UNKNOWN:
            given["dataRepositoryPath"] = "s3://bucket/"
        request = build(given)
        assert request_problems("fsx", operation, request) == []
        validate_parameters(request, service_model("fsx").operation_model(operation).input_shape)


def test_the_model_walk_sees_what_the_library_lets_through():
    request = {
        "FileSystemType": "LUSTRE",
        "SubnetIds": ["subnet-1"],
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_9"},
    }
    (problem,) = [text for text in request_problems("fsx", "CreateFileSystem", request) if "PERSISTENT_9" in text]
    assert "PERSISTENT_2" in problem


def test_the_default_graph_is_the_one_that_was_reviewed(graphs):
    if os.environ.get("LAKELINK_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(as_json(graphs["defaults"]), encoding="utf-8")
    assert as_json(graphs["defaults"]) == SNAPSHOT.read_text(encoding="utf-8")


def test_recording_twice_gives_the_same_graph(graphs):
    assert record(spec()) == graphs["defaults"]


def test_nothing_the_account_would_answer_is_known_in_a_preview(graphs):
    graph = graphs["default-vpc"]
    assert graph.one("LustreFileSystem").inputs["subnetIds"] == UNKNOWN
    assert {"getVpc", "getParameter"} <= {look.token.rpartition(":")[2] for look in graph.lookups}
    assert graphs["defaults"].one("Instance").inputs["userData"] == UNKNOWN


def test_a_broken_rule_stops_before_anything_is_registered():
    seen: list[str] = []

    class Watching:
        def create(self, node: Node) -> tuple[str, dict[str, Any]]:
            seen.append(node.kind)
            return node.name, {}

        def look_up(self, token: str, arguments: Any) -> dict[str, Any]:
            seen.append(token)
            return {}

    from lakelink.infra.program import LakeFileSystem

    broken = spec(storage_capacity_gib=1300)
    with pytest.raises(Refused, match="1,200 or 2,400"):
        run(lambda: LakeFileSystem("lab", broken), Watching())
    assert seen == []


def test_outside_of_an_engine_the_program_says_so_instead_of_doing_nothing():
    from lakelink.infra.program import LakeFileSystem

    with pytest.raises(UsageError, match="no Pulumi engine"):
        LakeFileSystem("lab", spec())


def test_the_queue_of_events_is_refused_beside_an_association_that_imports():
    from lakelink.infra.program import LakeEvents, LakeFileSystem

    def program():
        given = spec()
        LakeEvents("events", given, LakeFileSystem("lab", given))

    with pytest.raises(Refused, match="events-beside-import"):
        run(program)


def test_an_agent_that_the_lake_does_not_know_of_is_refused():
    from lakelink.infra.program import AgentHost, LakeFileSystem

    def program():
        AgentHost("agent", spec(), LakeFileSystem("lab", spec()))

    with pytest.raises(UsageError, match="no security group"):
        run(program)


def test_a_role_of_a_user_with_a_long_name_has_a_name_that_aws_takes():
    names = [f"{'u' * 90}{last}" for last in "ab"]
    users = [{"name": name, "public_key": SSH_KEY} for name in names]
    roles = [node.name for node in record(spec(file_system=False, transfer_users=users)).of("Role")]
    assert len(set(roles)) == 2
    assert max(len(role) for role in roles) + len("-1234567") <= 64


def changed(graph: Graph, name: str, **inputs: Any) -> Graph:
    """The graph with other inputs of one resource."""
    return replace(
        graph,
        nodes=tuple(
            replace(node, inputs={**node.inputs, **inputs}) if node.name == name else node for node in graph.nodes
        ),
    )


def test_every_port_open_is_found_unless_efa_needs_it(graphs):
    rule = "lab-file-system-group-from-client-group-988"
    found = findings(changed(graphs["defaults"], rule, ipProtocol="-1", fromPort=None, toPort=None))
    assert any(one.rule == "lustre-ports" and one.field == rule and "every port" in one.message for one in found)
    assert [one for one in findings(graphs["efa"]) if one.level is Level.ERROR] == []


def test_a_lustre_port_that_is_open_to_addresses_instead_of_a_group_is_found(graphs):
    rule = "lab-file-system-group-from-client-group-988"
    node = graphs["defaults"].named(rule)
    uses = {key: value for key, value in node.uses.items() if key != "referencedSecurityGroupId"}
    nodes = tuple(replace(one, uses=uses) if one is node else one for one in graphs["defaults"].nodes)
    assert "lustre-peer" in {
        one.rule for one in findings(replace(graphs["defaults"], nodes=nodes)) if one.field == rule
    }


class Answering:
    """A provider whose lookups answer in a given order, and whose resources get an id each."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.subnet = ""

    def create(self, node: Node) -> tuple[str, dict[str, Any]]:
        if node.kind == "LustreFileSystem":
            self.subnet = node.inputs["subnetIds"]
        return f"id-{node.name}", {
            "arn": f"arn:{node.name}",
            "dnsName": "dns",
            "mountName": "mount",
            "name": node.name,
            "dnsEntries": [],
        }

    def look_up(self, token: str, arguments: Any) -> dict[str, Any]:
        return {"ids": self.ids, "id": "vpc-1", "cidrBlock": "172.31.0.0/16", "value": "ami-1"}


def test_the_order_in_which_subnets_are_listed_changes_nothing():
    from lakelink.infra.program import deploy

    chosen = set()
    for ids in (["subnet-b", "subnet-a"], ["subnet-a", "subnet-b"]):
        provider: Provider = Answering(ids)
        run(lambda: deploy(spec(network={"mode": "default"})), provider)
        chosen.add(provider.subnet)
    assert chosen == {"subnet-a"}


def test_the_text_names_every_resource_once_and_in_order(graphs):
    lines = as_text(graphs["defaults"]).splitlines()
    names = [line.split()[1] for line in lines if not line.startswith("  ?")]
    assert len(names) == len(set(names)) == len([node for node in graphs["defaults"].nodes if node.custom])
    assert (
        names.index("lab-bucket")
        < names.index("lab-file-system")
        < names.index("lab-association-0")
        < names.index("lab-client")
    )
    assert "13 security-group rules" in next(line for line in lines if " lab-file-system " in line)


def test_the_picture_has_every_resource_and_no_arrow_that_another_way_implies(graphs):
    text = as_mermaid(graphs["defaults"])
    assert text.startswith("flowchart LR\n")
    assert text.count("<br/>") == len([node for node in graphs["defaults"].nodes if node.custom])
    places = {
        line.split('"')[1].split("<")[0]: line.split("[")[0].strip() for line in text.splitlines() if "<br/>" in line
    }
    assert f"{places['lab-association-0']} --> {places['lab-client']}" in text
    assert f"{places['lab-bucket']} --> {places['lab-client']}" not in text


def test_resources_that_wait_for_each_other_are_an_error():
    nodes = {name: Node(name=name, type="t", inputs={}, after=(other,)) for name, other in (("a", "b"), ("b", "a"))}
    with pytest.raises(ValueError, match="a, b"):
        ordered(nodes)


def test_only_the_program_and_the_recorder_import_the_heavy_libraries():
    source = Path(sys.modules["lakelink"].__path__[0])
    heavy = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if any(
            line.strip().startswith(("import pulumi", "from pulumi", "import grpc"))
            for line in path.read_text().splitlines()
        )
    }
    assert {path for path in heavy if not path.startswith("infra/program/")} == {
        "infra/record.py",
        "infra/project/__main__.py",
    }


def test_the_commands_start_without_the_heavy_libraries():
    code = (
        "import sys, lakelink.cli.infra, lakelink.infra.checks;"
        "sys.exit(any(name.split('.')[0] in {'pulumi', 'pulumi_aws', 'grpc', 'boto3', 'botocore'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
