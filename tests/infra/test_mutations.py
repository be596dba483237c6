"""Planted mistakes: each is put into the source of the program, one at a time, and must be noticed by the graph's tests."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lakelink.infra.findings import errors
from lakelink.infra.policy import findings
from lakelink.infra.record import run
from tests.infra.matrix import MATRIX, spec
from tests.infra.oracle import complaints
from tests.infra.test_graph import Answering

LAKE, BUCKET, NET, SISTERS = (f"lakelink.infra.program.{name}" for name in ("lake", "bucket", "network", "sisters"))
FLOWS = "lakelink.infra.network"

MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "the client does not wait for the associations": (LAKE, "[*lake.associations, file_system, ", "[file_system, ", "defaults"),
    "the file system does not wait for the rules": (LAKE, "depends_on=made.rules", "depends_on=[]", "defaults"),
    "ports 1018-1022": (FLOWS, "(1018, 1023)", "(1018, 1022)", "defaults"),
    "deletes are not exported": (
        LAKE,
        '"events": list(link.auto_export)',
        '"events": [one for one in link.auto_export if one != "DELETED"]',
        "defaults",
    ),
    "the bucket is named by a text": (
        LAKE,
        'lake.name.apply(lambda bucket_name: f"s3://{bucket_name}/{prefix}")',
        'f"s3://{names.bucket_name(scope.spec)}/{prefix}"',
        "defaults",
    ),
    "the association has no tags": (
        LAKE,
        "        tags=scope.tags(part),\n        opts=pulumi.ResourceOptions(\n            parent=scope.owner,\n            depends_on=[file_system",
        "        opts=pulumi.ResourceOptions(\n            parent=scope.owner,\n            depends_on=[file_system",
        "defaults",
    ),
    "IMDSv1 is allowed": (LAKE, '"http_tokens": "required"', '"http_tokens": "optional"', "defaults"),
    "the root disk is open": (LAKE, '{"encrypted": True}', '{"encrypted": False}', "defaults"),
    "a new image replaces the machine": (LAKE, ', ignore_changes=["ami"]', "", "defaults"),
    "removing the association removes data": (LAKE, "delete_data_in_filesystem=False", "delete_data_in_filesystem=True", "defaults"),
    "the association does not wait for the bucket's guards": (LAKE, "[file_system, *lake.ready]", "[file_system]", "defaults"),
    "the Lustre version is left to the service": (
        LAKE,
        "        file_system_type_version=spec.file_system_type_version,\n",
        "",
        "defaults",
    ),
    "no time to create": (LAKE, "            custom_timeouts=FILE_SYSTEM_TIMEOUTS,\n", "", "defaults"),
    "production is not protected": (LAKE, "            protect=spec.protect,\n", "", "production"),
    "the client has no way out": (
        FLOWS,
        "        found.append(_out(names.CLIENT_GROUP, 443",
        "        (_out(names.CLIENT_GROUP, 443",
        "defaults",
    ),
    "ports are open one way only": (FLOWS, "for ingress in (True, False)\n        for low", "for ingress in (True,)\n        for low", "defaults"),
    "the servers do not reach each other": (FLOWS, "[(server, server), (server, client)", "[(server, client)", "defaults"),
    "everyone may come in": (FLOWS, "return Flow(group, False, ANYWHERE", "return Flow(group, True, ANYWHERE", "defaults"),
    "one public lock is open": (BUCKET, "block_public_policy=True", "block_public_policy=False", "defaults"),
    "versions are off": (BUCKET, '"Enabled" if spec.versioning else "Suspended"', '"Suspended"', "defaults"),
    "the bucket is not protected": (BUCKET, "protect=True, ", "", "defaults"),
    "the bucket goes with its stack": (BUCKET, ", retain_on_delete=True", "", "defaults"),
    "plain requests are served": (BUCKET, "iam.tls_only(arn)", "iam.assumed_by(arn)", "defaults"),
    "the policy does not wait for the lock": (BUCKET, "opts=scope.under(after=[block])", "opts=scope.under()", "defaults"),
    "the key is not used": (BUCKET, '"aws:kms" if spec.kms_key_id else "AES256"', '"AES256"', "kms"),
    "the first subnet listed is taken": (NET, "apply(min)", "apply(lambda ids: ids[0])", "default-vpc"),
    "the gateway leads nowhere": (NET, "            route_table_ids=made.route_table_ids,\n", "", "defaults"),
    "the wrong network may use the endpoints": (NET, "net.vpc_cidr if flow.peer == INSIDE else flow.peer", '"0.0.0.0/0"', "private"),
    "the region is the environment's": ("lakelink.infra.program", 'aws.Provider("aws", region=spec.region)', 'aws.Provider("aws")', "defaults"),
    "the agent does not hear from the queue": (
        SISTERS,
        "queue_arn.apply(lambda arn: agent.render(spec, arn))",
        "agent.render(spec)",
        "sisters",
    ),
    "the agent may do anything": (
        "lakelink.infra.iam",
        """_prefix_rights(bucket_arn, prefix, objects),
        _allow("Bucket\"""",
        """_prefix_rights(bucket_arn, prefix, ["*"]),
        _allow("Bucket\"""",
        "sisters",
    ),
}  # fmt: skip


class _Planting(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from changed source."""

    def __init__(self, name: str, old: str, new: str) -> None:
        self.name, self.old, self.new = name, old, new

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        try:
            found = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        assert found is not None and found.origin is not None  # noqa: PT018
        self.origin = Path(found.origin)
        return importlib.util.spec_from_file_location(
            fullname, found.origin, loader=self, submodule_search_locations=found.submodule_search_locations
        )

    def exec_module(self, module: ModuleType) -> None:
        text = self.origin.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.old!r} occurs {text.count(self.old)} times in {self.name}"
        exec(compile(text.replace(self.old, self.new), str(self.origin), "exec"), module.__dict__)  # noqa: S102


@contextmanager
def planted(name: str, old: str, new: str) -> Iterator[ModuleType]:
    """The program, imported afresh with one mistake in it; afterwards everything is as it was."""
    fresh = [module for module in sys.modules if module.startswith("lakelink.infra.program") or module == name]
    before = {module: sys.modules.pop(module) for module in fresh}
    finder = _Planting(name, old, new)
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module(name)
        yield importlib.import_module("lakelink.infra.program")
    finally:
        sys.meta_path.remove(finder)
        for module in [m for m in sys.modules if m.startswith("lakelink.infra.program") or m == name]:
            del sys.modules[module]
        sys.modules.update(before)
        package = sys.modules["lakelink.infra"]
        for module, original in before.items():
            if module.count(".") == 2:
                setattr(package, module.rpartition(".")[2], original)


def noticed(program: ModuleType, given: dict[str, Any]) -> Iterator[str]:
    """What the tests of the graph would say: of the preview first, then of what an account's answers make of it."""
    graph = run(lambda: program.deploy(spec(**given))).graph
    yield from complaints(graph, given)
    yield from (finding.message for finding in errors(findings(graph)))
    # The order of a list matters only where the account is asked for one.
    listed = given.get("network", {}).get("mode") == "default"
    subnets = []
    for ids in (["subnet-b", "subnet-a"], ["subnet-a", "subnet-b"])[: 2 if listed else 1]:
        provider = Answering(ids)
        made = run(lambda: program.deploy(spec(**given)), provider).graph  # run at once
        subnets.append(provider.subnet)
        yield from (finding.message for finding in errors(findings(made)))
    if len(set(subnets)) > 1:
        yield "the subnet depends on the order of a list"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_noticed(mistake):
    name, old, new, given = MISTAKES[mistake]
    with planted(name, old, new) as program:
        assert next(noticed(program, MATRIX[given]), None) is not None


@pytest.mark.parametrize("given", sorted({case[3] for case in MISTAKES.values()}))
def test_without_a_mistake_nothing_is_noticed(given):
    with planted(LAKE, "FILE_SYSTEM_TIMEOUTS = ", "FILE_SYSTEM_TIMEOUTS  = ") as program:
        assert list(noticed(program, MATRIX[given])) == []
