"""The rules over specifications: tables of what must be refused, and generated specifications one step on either side of the line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakelink.errors import ConfigError, Refused
from lakelink.infra import rules
from lakelink.infra.check_links import link_overlaps
from lakelink.infra.checks import check
from lakelink.infra.decode import decode
from lakelink.infra.findings import Level, errors, refuse_errors
from tests.infra.matrix import KMS, MATRIX, SSH_KEY, TIERING, spec

HDD = {"deployment_type": "PERSISTENT_1", "storage_type": "HDD", "drive_cache_type": "READ"}
P1 = {"deployment_type": "PERSISTENT_1"}
TWO = [{"file_system_path": "/a", "prefix": "a"}, {"file_system_path": "/b", "prefix": "b"}]

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"storage_capacity_gib": 1300}, "capacity", "1,200 or 2,400"),
    ({"storage_capacity_gib": 10800}, "capacity", "9,600 or 12,000"),
    ({"storage_capacity_gib": 1}, "capacity", "1,200"),
    ({"storage_capacity_gib": 0}, "capacity", "1,200"),
    ({"storage_capacity_gib": -2400}, "capacity", "1,200"),
    ({"per_unit_storage_throughput": 0}, "throughput", "125, 250, 500 or 1,000"),
    ({"deployment_type": "SCRATCH_1", "storage_capacity_gib": 4800, "associations": []}, "capacity", "3,600 or 7,200"),
    (HDD | {"per_unit_storage_throughput": 12, "storage_capacity_gib": 1800}, "capacity", "6,000"),
    (HDD | {"per_unit_storage_throughput": 40, "storage_capacity_gib": 6000}, "capacity", "5,400 or 7,200"),
    (HDD | {"per_unit_storage_throughput": 40}, "capacity", "required"),
    (P1 | {"per_unit_storage_throughput": 125}, "throughput", "50, 100 or 200"),
    (P1, "throughput", "required"),
    ({"per_unit_storage_throughput": 200}, "throughput", "125, 250, 500 or 1,000"),
    ({"deployment_type": "SCRATCH_2", "per_unit_storage_throughput": 125}, "throughput", "must be absent"),
    ({"storage_type": "HDD", "drive_cache_type": "READ"}, "storage-type", "only with PERSISTENT_1"),
    ({"deployment_type": "PERSISTENT_3"}, "deployment-type", "SCRATCH_1"),
    ({"storage_type": "TAPE"}, "storage-type", "SSD"),
    ({"deployment_type": "SCRATCH_2", "storage_type": "INTELLIGENT_TIERING", "associations": []}, "storage-type", "PERSISTENT_2"),
    ({"deployment_type": "SCRATCH_1"}, "association-deployment", "PERSISTENT_2"),
    ({key: value for key, value in TIERING.items() if key != "associations"}, "association-storage", "SSD"),
    ({"file_system_type_version": "2.10"}, "version", "2.12 or 2.15"),
    ({"deployment_type": "SCRATCH_2", "file_system_type_version": "2.10"}, "association-version", "2.12 or 2.15"),
    ({"file_system_type_version": "2.12", "metadata_configuration": {"mode": "AUTOMATIC"}}, "version", "2.15"),
    ({"automatic_backup_retention_days": 7}, "association-backups", "must be 0"),
    ({"automatic_backup_retention_days": 91, "associations": []}, "backups", "0 to 90"),
    ({"copy_tags_to_backups": True}, "association-backups", "false"),
    ({"import_path": "s3://b"}, "legacy-link", "associations"),
    ({"imported_file_chunk_size": 1}, "legacy-link", "associations"),
    ({"associations": [{"file_system_path": f"/{n}", "prefix": f"{n}"} for n in range(9)]}, "association-count", "at most 8"),
    ({"associations": [{"file_system_path": "/a", "prefix": "a"}, {"file_system_path": "/a/b/", "prefix": "c"}]}, "association-overlap", "/a/b/"),
    ({"associations": [{"file_system_path": "/a", "prefix": "a"}, {"file_system_path": "/b", "prefix": "a/b"}]}, "association-overlap", "a/b/"),
    ({"associations": [{"file_system_path": "/", "prefix": "a"}, {"file_system_path": "/b", "prefix": "b"}]}, "association-overlap", "/b and /"),
    ({"associations": [{"file_system_path": "a"}]}, "association-path", "begin with /"),
    ({"associations": [{"file_system_path": "/a\nb"}]}, "association-path", "control"),
    ({"associations": [{"file_system_path": "/" + "a" * 4096}]}, "association-path", "4,096"),
    ({"associations": [{"file_system_path": "/a", "prefix": "/a"}]}, "association-prefix", "without a slash"),
    ({"associations": [{"file_system_path": "/a", "prefix": "a//b"}]}, "association-prefix", "empty components"),
    ({"associations": [{"file_system_path": "/a", "prefix": "a/../b"}]}, "association-prefix", ".."),
    ({"associations": [{"file_system_path": "/a", "prefix": "ä" * 512}]}, "association-prefix", "1,024 bytes"),
    ({"associations": [{"file_system_path": "/a/b", "prefix": "a"}, {"file_system_path": "/a//b", "prefix": "b"}]}, "association-path", "empty"),
    ({"associations": [{"file_system_path": "/a/./b"}]}, "association-path", ". and .."),
    ({"associations": [{"file_system_path": "/.."}]}, "association-path", ". and .."),
    ({"associations": [{"file_system_path": "/a", "auto_import": ["new"]}]}, "association-events", "NEW, CHANGED or DELETED"),
    ({"associations": [{"file_system_path": "/a", "auto_export": ["NEW", "NEW"]}]}, "association-events", "twice"),
    ({"associations": [{"file_system_path": "/a", "imported_file_chunk_size_mib": 0}]}, "association-chunk", "512,000"),
    ({"bucket": {"versioning": False}}, "deletes-unversioned", "i_know_deletes_are_final"),
    ({"drive_cache_type": "READ"}, "drive-cache", "only HDD"),
    (HDD | {"drive_cache_type": "SOME"}, "drive-cache", "NONE or READ"),
    ({"throughput_capacity": 4000}, "tiering", "INTELLIGENT_TIERING"),
    (TIERING | {"throughput_capacity": 5000}, "tiering", "multiple of 4,000"),
    (TIERING | {"storage_capacity_gib": 1200}, "capacity", "must be absent"),
    (TIERING | {"data_read_cache_configuration": {"sizing_mode": "ALL"}}, "read-cache", "NO_CACHE"),
    (TIERING | {"data_read_cache_configuration": {"sizing_mode": "USER_PROVISIONED"}}, "read-cache", "32 to 131,072"),
    (TIERING | {"data_read_cache_configuration": {"sizing_mode": "NO_CACHE", "size_gib": 32}}, "read-cache", "absent"),
    (TIERING | {"metadata_configuration": {"mode": "AUTOMATIC"}}, "metadata", "USER_PROVISIONED"),
    (TIERING | {"metadata_configuration": {"mode": "USER_PROVISIONED", "iops": 3000}}, "metadata", "6,000 or 12,000"),
    ({"metadata_configuration": {"mode": "USER_PROVISIONED", "iops": 4500}}, "metadata", "1,500, 3,000 or 6,000"),
    ({"metadata_configuration": {"mode": "AUTOMATIC", "iops": 1500}}, "metadata", "must be absent"),
    ({"metadata_configuration": {"mode": "MANUAL"}}, "metadata", "AUTOMATIC or USER_PROVISIONED"),
    ({"deployment_type": "SCRATCH_2", "metadata_configuration": {"mode": "AUTOMATIC"}}, "metadata", "PERSISTENT_2"),
    ({"efa_enabled": True}, "efa", "metadata_configuration"),
    ({"efa_enabled": True, "metadata_configuration": {"mode": "AUTOMATIC"}}, "capacity-efa", "38,400"),
    ({"data_compression_type": "ZSTD"}, "compression", "NONE or LZ4"),
    ({"deployment_type": "SCRATCH_2", "kms_key_id": KMS}, "kms", "persistent"),
    ({"kms_key_id": "alias/mine"}, "kms-arn", "ARN"),
    ({"weekly_maintenance_start_time": "8:00:00"}, "maintenance", "d:HH:MM"),
    ({"root_squash": "0:5"}, "root-squash", "both from 1"),
    ({"root_squash": "nobody"}, "root-squash", "UID:GID"),
    ({"root_squash": "1:4294967295"}, "root-squash", "4,294,967,294"),
    ({"kms_key_id": KMS.replace("eu-central-1", "us-east-1")}, "kms-region", "in eu-central-1"),
    ({"tags": {"aws:team": "x"}}, "tags", "reserved"),
    ({"tags": {"Name": "mine"}}, "tags", "another key"),
    ({"tags": {"team": "a&b"}}, "tags", "letters, digits"),
    ({"tags": {"team": "x" * 257}}, "tags", "256"),
    ({"name": "Lab"}, "name", "a-z"),
    ({"region": "frankfurt"}, "region", "eu-central-1"),
    ({"bucket": {"name": "a.b"}}, "bucket-name", "without dots"),
    ({"bucket": {"existing": True}}, "bucket-name", "must be named"),
    ({"tags": {f"t{n}": "v" for n in range(47)}}, "tags", "50"),
    ({"network": {"mode": "auto"}}, "network-mode", "create, default or given"),
    ({"network": {"mode": "given"}}, "network-given", "required"),
    ({"network": {"vpc_id": "vpc-1"}}, "network-given", "mode = given"),
    ({"network": {"mode": "given", "vpc_id": "v", "subnet_id": "s", "availability_zone": "eu-central-1a"}}, "zone", "absent"),
    ({"network": {"availability_zone": "us-east-1a"}}, "zone", "eu-central-1a"),
    ({"network": {"cidr": "10.0.0.0/8"}}, "cidr", "/16 to /28"),
    ({"network": {"cidr": "10.0.0.1/16"}}, "cidr", "host bits"),
    ({"network": {"cidr": "ten"}}, "cidr", "not an IPv4 network"),
    ({"network": {"cidr": "10.60.0.0/255.255.0.0"}}, "cidr", "10.60.0.0/16"),
    ({"network": {"interface_endpoints": ["s3"], "on_premises_cidrs": ["192.168.0.1"]}}, "cidr", "192.168.0.1/32"),
    ({"network": {"interface_endpoints": ["s3"], "on_premises_cidrs": ["10.0.0.0/8"]}}, "cidr", "overlap"),
    ({"network": {"interface_endpoints": ["s3"], "on_premises_cidrs": ["192.168.0.0/16"] * 2}}, "cidr", "twice"),
    ({"network": {"mode": "given", "vpc_id": "subnet-1", "subnet_id": "subnet-1"}}, "network-given", "vpc-0123"),
    ({"network": {"mode": "given", "vpc_id": "vpc-1", "subnet_id": "subnet-1", "route_table_ids": ["main"]}}, "network-given", "rtb-0123"),
    ({"network": {"subnet_cidr": "10.61.0.0/24"}}, "cidr", "not within"),
    ({"network": {"subnet_cidr": "10.60.0.0/29"}}, "cidr", "at most /28"),
    ({"network": {"interface_endpoints": ["sqs"]}}, "endpoint", "s3 or transfer"),
    ({"network": {"interface_endpoints": ["s3", "s3"]}}, "endpoint", "once"),
    ({"network": {"on_premises_cidrs": ["192.168.0.0/16"]}}, "endpoint", "gateway endpoint"),
    ({"network": {"interface_endpoints": ["s3"], "on_premises_cidrs": ["0.0.0.0/0"]}}, "cidr", "everyone"),
    ({"network": {"internet": False, "gateway_endpoint": False}}, "endpoint", "nothing reaches S3"),
    ({"network": {"internet": False}, "client": {"os": "ubuntu-22.04"}}, "client-offline", "amazon-linux-2023"),
    ({"client": {"os": "plan9"}}, "client-os", "amazon-linux-2023"),
    ({"client": {"os": "el8"}}, "client-ami", "required"),
    ({"client": {"mount_point": "mnt"}}, "mount-point", "absolute"),
    ({"client": {"mount_point": "/mnt/x; rm -rf /"}}, "mount-point", "absolute"),
    ({"client": {"mount_point": "/mnt/../etc"}}, "mount-point", ".."),
    ({"client": {"mount_point": "/usr"}}, "mount-point", "/mnt/fsx"),
    ({"client": {"mount_point": "/dev/x"}}, "mount-point", "/mnt/fsx"),
    ({"client": {"ami": "debian"}}, "client-ami", "ami-0123"),
    ({"client": {"instance_type": "large"}}, "instance-type", "c6i.large"),
    ({"agent": {"enabled": True, "files": "/etc/lakelink"}, "file_system": False}, "agent-files", "/srv/lake"),
    ({"agent": {"enabled": True, "prefix": "/in"}, "file_system": False}, "agent-prefix", "without a slash"),
    ({"agent": {"enabled": True}, "file_system": False, "network": {"internet": False}}, "agent-offline", "turn it on"),
    ({"events": {"enabled": True, "prefix": "a//b"}, "file_system": False}, "events-prefix", "empty"),
    ({"transfer_users": [{"name": "anna", "public_key": SSH_KEY, "prefix": "../x"}]}, "transfer-prefix", ".."),
    ({"client": {"lustre_package": "x; reboot"}}, "client-package", "not a package name"),
    ({"events": {"enabled": True}}, "events-beside-import", "MISCONFIGURED"),
    ({"agent": {"enabled": True}}, "two-syncers", "two syncers"),
    ({"file_system": False, "agent": {"enabled": True, "files": "srv"}}, "agent-files", "absolute"),
    ({"transfer_users": [{"name": "a", "public_key": SSH_KEY}]}, "transfer-user", "3 to 100"),
    ({"transfer_users": [{"name": "anna", "public_key": SSH_KEY}] * 2}, "transfer-user", "unique"),
    ({"transfer_users": [{"name": "anna", "public_key": "-----BEGIN PRIVATE KEY-----"}]}, "transfer-key", "public key"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "rule", "words"), REFUSED, ids=[f"{n}-{case[1]}" for n, case in enumerate(REFUSED)])
def test_what_aws_would_refuse_is_refused_before_and_the_message_says_what_is_allowed(keys, rule, words):
    found = [finding for finding in errors(check(spec(**keys))) if finding.rule == rule]
    assert any(words in finding.message for finding in found), [f.message for f in check(spec(**keys))]


WARNED = [
    ({"region": "eu-south-1"}, "region-table"),
    (P1 | {"per_unit_storage_throughput": 50}, "association-provider"),
    ({"bucket": {"name": "theirs", "existing": True}}, "deletes-existing"),
    ({"client": {"noatime": True}}, "noatime"),
    ({"client": {"os": "amazon-linux-2"}}, "client-os"),
    ({"client": {"lustre_package": "amazon-linux-extras"}}, "client-package"),
    ({"client": {"lustre_package": "lustre2.10"}}, "client-package"),
    ({"client": {"os": "ubuntu-24.04"}}, "client-http"),
    ({"network": {"cidr": "8.8.0.0/16"}}, "cidr"),
    ({"storage_capacity_gib": 103_200}, "capacity-quota"),
    ({"file_system": False, "events": {"enabled": True, "prefix": "a"}, "agent": {"enabled": True}}, "events-elsewhere"),
    ({"network": {"internet": False}, "client": {"session_manager": True}}, "session-offline"),
    ({"file_system": False, "events": {"enabled": True}, "bucket": {"name": "b-b", "existing": True}}, "events-existing"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "rule"), WARNED, ids=[case[1] for case in WARNED])
def test_what_works_but_should_be_known_is_a_warning(keys, rule):
    found = check(spec(**keys))
    assert errors(found) == []
    assert [f.level for f in found if f.rule == rule] == [Level.WARNING]


def test_a_region_outside_of_the_table_can_be_declared_known():
    assert [f.rule for f in check(spec(region="eu-south-1", known_regions=["eu-south-1"]))] == ["throughput-total"]


def test_the_choice_says_what_it_gives():
    (found,) = check(spec())
    assert (found.level, found.message) == (Level.NOTE, "1,200 GiB × 125 MB/s/TiB = 146 MB/s")


def test_the_old_package_name_is_told_its_successor():
    (found,) = [f for f in check(spec(client={"lustre_package": "lustre2.10"})) if f.rule == "client-package"]
    assert "dnf install lustre-client" in found.message


def test_deletes_without_versions_are_allowed_to_who_says_so_or_exports_none():
    plain = {"versioning": False}
    assert errors(check(spec(bucket=plain, i_know_deletes_are_final=True))) == []
    link = {"file_system_path": "/a", "auto_export": ["NEW", "CHANGED"]}
    assert errors(check(spec(bucket=plain, associations=[link]))) == []


@pytest.mark.parametrize("name", MATRIX)
def test_every_specification_of_the_matrix_is_allowed(name):
    assert errors(check(spec(**MATRIX[name]))) == []


def test_an_error_stops_with_the_rule_and_a_warning_does_not():
    refuse_errors(check(spec(region="eu-south-1")))
    with pytest.raises(Refused, match=r"1,200 or 2,400 \[capacity\]") as problem:
        refuse_errors(check(spec(storage_capacity_gib=1300)))
    assert problem.value.exit_code == 3


def test_a_link_of_ours_on_an_associated_prefix_is_refused():
    lake = "lab-eu-central-1-lake"
    found = {
        url: [f.rule for f in link_overlaps(spec(associations=TWO), {"mine": url})]
        for url in (f"s3://{lake}/a/below", f"s3://{lake}", f"s3://{lake}/ab", "s3://other/a", f"s3://{lake}/b/")
    }
    assert [len(rules_) for rules_ in found.values()] == [1, 2, 0, 0, 1]


# Keys and types


UNKNOWN_KEYS = [
    ({"regoin": "x"}, "did you mean 'region'"),
    ({"storage_capacity": 1200}, "did you mean 'storage_capacity_gib'"),
    ({"associations": [{"file_system_path": "/a", "prefx": "b"}]}, "did you mean 'prefix'"),
    ({"client": {"instancetype": "x"}}, "did you mean 'instance_type'"),
    ({"zzzzz": 1}, "known are"),
    ({"storage_capacity_gib": "1200"}, "must be a whole number"),
    ({"storage_capacity_gib": True}, "must be a whole number"),
    ({"protect": 1}, "must be true or false"),
    ({"network": "create"}, "must be a table"),
    ({"associations": {}}, "must be a list"),
    ({"associations": [{}]}, "needs 'file_system_path'"),
    ({"tags": {"a": 1}}, "must be a table of texts"),
    ({"known_regions": "eu-south-1"}, "must be a list"),
]


@pytest.mark.parametrize(("keys", "words"), UNKNOWN_KEYS, ids=[words for _, words in UNKNOWN_KEYS])
def test_unknown_keys_and_wrong_types_are_named(keys, words):
    with pytest.raises(ConfigError, match=words) as problem:
        spec(**keys)
    assert problem.value.exit_code == 2


def test_name_and_region_are_required_and_all_problems_are_named_at_once():
    with pytest.raises(ConfigError) as problem:
        decode({"protekt": True, "efa_enabled": "yes"})
    for words in ("'protect'", "needs 'name'", "needs 'region'", "efa_enabled must be true or false"):
        assert words in problem.value.message


# Generated from the same rows as the documentation's table


def _capacity(row: rules.Offering, efa: bool) -> st.SearchStrategy[int]:
    if efa:
        return st.integers(1, 5).map(lambda n: n * rules.EFA_STEP_GIB[row.throughput])
    multiples = st.integers(1, 50).map(lambda n: n * row.step_gib)
    return st.sampled_from(row.firsts) | multiples if row.firsts else multiples


@st.composite
def allowed(draw: st.DrawFn) -> dict[str, Any]:
    """A specification that keeps every rule."""
    row = draw(st.sampled_from(rules.OFFERINGS))
    tiering, second = row.storage_type == "INTELLIGENT_TIERING", row.deployment_type == "PERSISTENT_2"
    meta = draw(st.booleans()) if second else False
    efa = meta and not tiering and draw(st.booleans())
    found: dict[str, Any] = {
        "deployment_type": row.deployment_type,
        "storage_type": row.storage_type,
        "efa_enabled": efa,
        "data_compression_type": draw(st.sampled_from(rules.COMPRESSION_TYPES)),
    }
    if row.throughput is not None:
        found["per_unit_storage_throughput"] = row.throughput
    if row.step_gib:
        found["storage_capacity_gib"] = draw(_capacity(row, efa))
    if row.storage_type == "HDD":
        found["drive_cache_type"] = draw(st.sampled_from(rules.DRIVE_CACHE_TYPES))
    if tiering:
        steps = draw(st.integers(1, 500))
        found["throughput_capacity"] = steps * rules.TIERING_THROUGHPUT_STEP
        found["data_read_cache_configuration"] = {
            "sizing_mode": "USER_PROVISIONED",
            "size_gib": draw(st.integers(*(bound * steps for bound in rules.READ_CACHE_GIB_PER_STEP))),
        }
    if meta:
        iops = rules.METADATA_IOPS_TIERING if tiering else (*rules.METADATA_IOPS_FIRSTS, 12_000, 192_000)
        found["metadata_configuration"] = {"mode": "USER_PROVISIONED", "iops": draw(st.sampled_from(iops))}
    linkable = row.deployment_type not in rules.NO_ASSOCIATION_DEPLOYMENTS and not tiering
    count = draw(st.integers(0, rules.MAX_ASSOCIATIONS)) if linkable else 0
    versions = rules.METADATA_VERSIONS if meta else rules.VERSIONS[row.deployment_type]
    usable = [version for version in versions if not count or version in rules.ASSOCIATION_VERSIONS]
    found["file_system_type_version"] = draw(st.sampled_from(usable))
    events = st.lists(st.sampled_from(rules.EVENTS), unique=True)
    found["associations"] = [
        {"file_system_path": f"/p{n}", "prefix": f"p{n}/", "auto_import": draw(events), "auto_export": draw(events)}
        for n in range(count)
    ]
    return found


GENERATED = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@GENERATED
@given(allowed())
def test_every_generated_specification_is_allowed(keys):
    assert errors(check(spec(**keys))) == []


def _wrong_capacity(keys: dict[str, Any], draw: st.DrawFn) -> str:
    keys["storage_capacity_gib"] = keys.get("storage_capacity_gib", 1200) + draw(st.integers(1, 599))
    return "capacity"


def _wrong_throughput(keys: dict[str, Any], draw: st.DrawFn) -> str:
    every = {row.throughput for row in rules.OFFERINGS} | {7}
    same = {row.throughput for row in rules.offerings(keys["deployment_type"], keys["storage_type"])}
    keys["per_unit_storage_throughput"] = draw(st.sampled_from(sorted(t for t in every - same if t is not None)))
    return "throughput"


def _wrong_storage(keys: dict[str, Any], draw: st.DrawFn) -> str:
    other = [kind for kind in rules.STORAGE_TYPES if not rules.offerings(keys["deployment_type"], kind)]
    if not other:
        keys["storage_type"] = "TAPE"
    else:
        keys["storage_type"] = draw(st.sampled_from(other))
    return "storage-type"


def _wrong_version(keys: dict[str, Any], draw: st.DrawFn) -> str:
    keys["file_system_type_version"] = draw(st.sampled_from(["2.9", "2.16", "3"]))
    return "version"


def _wrong_cache(keys: dict[str, Any], draw: st.DrawFn) -> str:
    if keys["storage_type"] == "HDD":
        del keys["drive_cache_type"]
    else:
        keys["drive_cache_type"] = draw(st.sampled_from(rules.DRIVE_CACHE_TYPES))
    return "drive-cache"


def _wrong_compression(keys: dict[str, Any], draw: st.DrawFn) -> str:
    keys["data_compression_type"] = draw(st.sampled_from(["lz4", "GZIP", ""]))
    return "compression"


def _too_many(keys: dict[str, Any], draw: st.DrawFn) -> str:
    count = draw(st.integers(rules.MAX_ASSOCIATIONS + 1, 20))
    keys["associations"] = [{"file_system_path": f"/p{n}", "prefix": f"p{n}/"} for n in range(count)]
    return "association-count"


def _overlapping(keys: dict[str, Any], draw: st.DrawFn) -> str:
    inner = draw(st.sampled_from(["/p", "/p/", "/p/q", "/p/q/r"]))
    keys["associations"] = [{"file_system_path": "/p", "prefix": "a"}, {"file_system_path": inner, "prefix": "b"}]
    return "association-overlap"


STEPS = [
    _wrong_capacity, _wrong_throughput, _wrong_storage, _wrong_version, _wrong_cache, _wrong_compression, _too_many, _overlapping,
]  # fmt: skip


@GENERATED
@given(st.data())
def test_one_step_over_the_line_is_refused_and_the_rule_is_named(data):
    keys = copy.deepcopy(data.draw(allowed()))
    step = data.draw(st.sampled_from(STEPS))
    rule = step(keys, data.draw)
    assert rule in {finding.rule for finding in errors(check(spec(**keys)))}


@GENERATED
@given(st.sampled_from([row for row in rules.OFFERINGS if row.step_gib]), st.integers(1, 200_000))
def test_the_neighbours_that_are_named_can_be_ordered_and_are_the_nearest(row, capacity):
    if row.holds(capacity):
        return
    around = row.around(capacity)
    assert all(row.holds(one) for one in around)
    assert not any(row.holds(one) for one in range(around[0] + 1, around[-1]) if len(around) == 2)
    assert around[-1] > capacity
    assert len(around) == 1 or around[0] < capacity
