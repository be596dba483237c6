"""Specifications that between them take every way through the program."""

from __future__ import annotations

from typing import Any

from lakelink.infra.decode import decode
from lakelink.infra.spec import LakeSpec

REGION = "eu-central-1"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEo8m0tdNl7VYyjP3bD9m2kCkZ0vYxM5mB3vX1s2c4d5 someone"
KMS = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TIERING = {
    "storage_type": "INTELLIGENT_TIERING",
    "throughput_capacity": 4000,
    "data_read_cache_configuration": {"sizing_mode": "USER_PROVISIONED", "size_gib": 32},
    "metadata_configuration": {"mode": "USER_PROVISIONED", "iops": 6000},
    "associations": [],
}
LINKS = [
    {"file_system_path": "/a", "prefix": "a/", "auto_import": [], "auto_export": ["NEW", "CHANGED", "DELETED"]},
    {"file_system_path": "/b/c", "prefix": "b", "auto_import": ["NEW"], "auto_export": []},
    {"file_system_path": "/d", "prefix": "d/e/", "batch_import_on_create": False, "imported_file_chunk_size_mib": 2048},
]
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "default-vpc": {"network": {"mode": "default"}},
    "default-vpc-zone": {"network": {"mode": "default", "availability_zone": "eu-central-1b"}},
    "given-network": {"network": {"mode": "given", "vpc_id": "vpc-1", "subnet_id": "subnet-1"}},
    "given-tables": {
        "network": {"mode": "given", "vpc_id": "vpc-1", "subnet_id": "subnet-1", "route_table_ids": ["rtb-1"]}
    },
    "no-internet": {"network": {"internet": False}},
    "no-gateway": {"network": {"gateway_endpoint": False}},
    "private": {"network": {"interface_endpoints": ["s3", "transfer"], "on_premises_cidrs": ["192.168.0.0/16"]}},
    "private-given": {
        "network": {"mode": "given", "vpc_id": "vpc-1", "subnet_id": "subnet-1", "interface_endpoints": ["s3"]}
    },
    "small-vpc": {"network": {"cidr": "10.1.0.0/24", "availability_zone": "eu-central-1a"}},
    "existing-bucket": {"bucket": {"name": "theirs", "existing": True}},
    "kms": {"bucket": {"kms_key_id": KMS}, "kms_key_id": KMS},
    "several-links": {"associations": LINKS},
    "no-links": {"associations": []},
    "production": {
        "protect": True,
        "tags": {"team": "x"},
        "weekly_maintenance_start_time": "7:03:30",
        "root_squash": "65534:65534",
    },
    "scratch-2": {"deployment_type": "SCRATCH_2"},
    "persistent-1-hdd": {
        "deployment_type": "PERSISTENT_1",
        "storage_type": "HDD",
        "storage_capacity_gib": 6000,
        "per_unit_storage_throughput": 12,
        "drive_cache_type": "READ",
    },
    "tiering": TIERING,
    "efa": {
        "efa_enabled": True,
        "storage_capacity_gib": 4800,
        "per_unit_storage_throughput": 1000,
        "metadata_configuration": {"mode": "AUTOMATIC"},
    },
    "ubuntu": {"client": {"os": "ubuntu-22.04", "http_out": True, "session_manager": True, "key_name": "k"}},
    "el8": {"client": {"os": "el8", "ami": "ami-1", "noatime": True}},
    "no-client": {"client": {"enabled": False}},
    "sisters": {
        "file_system": False,
        "events": {"enabled": True, "prefix": "in"},
        "agent": {"enabled": True, "prefix": "in"},
        "transfer_users": [
            {"name": "anna", "public_key": SSH_KEY, "prefix": "anna"},
            {"name": "bob", "public_key": SSH_KEY},
        ],
    },
}


def spec(**keys: Any) -> LakeSpec:
    """A specification as the configuration file gives it."""
    return decode({"name": "lab", "region": REGION} | keys)
