"""The rules over a specification: what AWS would refuse after minutes, or do although it loses data, is said before anything exists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from lakelink.infra import rules
from lakelink.infra.check_client import client_checks
from lakelink.infra.check_links import association_checks
from lakelink.infra.check_network import network_checks
from lakelink.infra.findings import Finding, Level, error, listed, warning
from lakelink.infra.names import OWN_TAGS, bucket_name
from lakelink.infra.spec import LakeSpec

Check = Callable[[LakeSpec], Iterator[Finding]]
_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; dots break TLS with virtual-hosted addressing.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_WEEKLY = re.compile(r"[1-7]:([01]\d|2[0-3]):[0-5]\d")
_KMS = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
_SQUASH = re.compile(r"(\d{1,10}):(\d{1,10})")


def check(spec: LakeSpec) -> list[Finding]:
    """All findings about a specification, in the order of the specification; needs no credentials and no network."""
    return [finding for step in CHECKS for finding in step(spec)]


def _identity(spec: LakeSpec) -> Iterator[Finding]:
    if not _NAME.fullmatch(spec.name):
        yield error("name", "name", f"{spec.name!r} must be 3 to 32 of a-z, 0-9 and -, beginning with a letter")
    if not _REGION.fullmatch(spec.region):
        yield error("region", "region", f"{spec.region!r} is not a region name such as eu-central-1")
    elif spec.file_system and spec.deployment_type == "PERSISTENT_2":
        known = spec.known_regions or rules.PERSISTENT_2_REGIONS
        if spec.region not in known:
            yield warning(
                "region-table",
                "region",
                f"{spec.region} is not among the regions known on {rules.REGIONS_AS_OF} to offer PERSISTENT_2 with "
                f"associations ({', '.join(known)}); if AWS offers it there, say so with known_regions",
            )
    if not _BUCKET.fullmatch(bucket_name(spec)):
        yield error(
            "bucket-name", "bucket.name", f"{bucket_name(spec)!r} must be 3 to 63 of a-z, 0-9 and -, without dots"
        )
    if spec.bucket.existing and not spec.bucket.name:
        yield error("bucket-name", "bucket.name", "an existing bucket must be named")
    for field, key in (("bucket.kms_key_id", spec.bucket.kms_key_id), ("kms_key_id", spec.kms_key_id)):
        if key and not _KMS.fullmatch(key):
            yield error("kms-arn", field, f"{key!r} must be the ARN of a key: policies and `drift` compare ARNs")
        elif key and (region := key.split(":")[3]) != spec.region:
            yield error("kms-region", field, f"the key is in {region}: choose one in {spec.region}, where it is used")
    yield from _tags(spec)


def _tags(spec: LakeSpec) -> Iterator[Finding]:
    """How many, and of which characters: the narrowest of the services that carry them (FSx, API model, TagKey and TagValue)."""
    for key, value in spec.tags.items():
        field = f"tags.{key}"
        if key in OWN_TAGS:
            yield error("tags", field, f"is set by lakelink on every part ({listed(OWN_TAGS)}): choose another key")
        elif key.lower().startswith("aws:"):
            yield error("tags", field, "aws: is reserved by AWS: choose a key that does not begin with it")
        elif not (0 < len(key) <= rules.TAG_KEY_LENGTH and len(value) <= rules.TAG_VALUE_LENGTH):
            yield error(
                "tags",
                field,
                f"a key takes 1 to {rules.TAG_KEY_LENGTH} characters, a value up to {rules.TAG_VALUE_LENGTH}",
            )
        elif not (_taggable(key) and _taggable(value)):
            yield error("tags", field, "keys and values take letters, digits, spaces and _ . : / = + - @")
    if len(spec.tags) + len(OWN_TAGS) > rules.MAX_TAGS:
        yield error(
            "tags", "tags", f"{len(spec.tags)} tags and {len(OWN_TAGS)} of our own are more than {rules.MAX_TAGS}"
        )


def _taggable(text: str) -> bool:
    r"""Whether a text keeps the services' pattern: \p{L}, \p{Z}, \p{N} and a few signs."""
    return all(unicodedata.category(letter)[0] in "LZN" or letter in "_.:/=+-@" for letter in text)


def _combination(spec: LakeSpec) -> Iterator[Finding]:
    if spec.deployment_type not in rules.DEPLOYMENT_TYPES:
        yield error(
            "deployment-type", "deployment_type", f"{spec.deployment_type!r}: choose {listed(rules.DEPLOYMENT_TYPES)}"
        )
    elif spec.storage_type not in rules.STORAGE_TYPES:
        yield error("storage-type", "storage_type", f"{spec.storage_type!r}: choose {listed(rules.STORAGE_TYPES)}")
    elif not rules.offerings(spec.deployment_type, spec.storage_type):
        homes = dict.fromkeys(row.deployment_type for row in rules.OFFERINGS if row.storage_type == spec.storage_type)
        classes = dict.fromkeys(
            row.storage_type for row in rules.OFFERINGS if row.deployment_type == spec.deployment_type
        )
        yield error(
            "storage-type",
            "storage_type",
            f"{spec.storage_type} is offered only with {listed(tuple(homes))}; "
            f"{spec.deployment_type} takes {listed(tuple(classes))}",
        )
    else:
        yield from _throughput(spec)


def _throughput(spec: LakeSpec) -> Iterator[Finding]:
    rows = rules.offerings(spec.deployment_type, spec.storage_type)
    values = tuple(row.throughput for row in rows if row.throughput is not None)
    chosen, field = spec.throughput_per_tib, "per_unit_storage_throughput"
    what = f"{spec.deployment_type} {spec.storage_type}"
    if not values and chosen is not None:
        yield error("throughput", field, f"must be absent on {what}, which has no throughput to choose")
    elif values and chosen is None:
        yield error("throughput", field, f"is required on {what}: choose {listed(values)} MB/s/TiB")
    elif values and chosen not in values:
        yield error("throughput", field, f"{chosen} is not offered on {what}: choose {listed(values)} MB/s/TiB")
    else:
        yield from _capacity(spec, next(row for row in rows if row.throughput == chosen))


def _capacity(spec: LakeSpec, row: rules.Offering) -> Iterator[Finding]:
    field, chosen = "storage_capacity_gib", spec.capacity_gib
    if row.step_gib == 0:
        if spec.storage_capacity_gib is not None:
            yield error("capacity", field, f"must be absent: {row.storage_type} storage grows and shrinks by itself")
    elif chosen is None:
        yield error("capacity", field, f"is required: a multiple of {row.step_gib:,} GiB")
    elif not row.holds(chosen):
        yield error(
            "capacity", field, f"{chosen:,} GiB cannot be ordered; the nearest are {listed(row.around(chosen))}"
        )
    elif spec.efa_enabled and row.throughput in rules.EFA_STEP_GIB and chosen % rules.EFA_STEP_GIB[row.throughput]:
        step = rules.EFA_STEP_GIB[row.throughput]
        yield error("capacity-efa", field, f"with EFA at {row.throughput} MB/s/TiB choose a multiple of {step:,} GiB")
    else:
        yield from _ordered(chosen, row)


def _ordered(chosen: int, row: rules.Offering) -> Iterator[Finding]:
    """What can be ordered: what it gives, and whether the account may have to ask first."""
    field = "storage_capacity_gib"
    if chosen > rules.REGION_QUOTA_GIB:
        yield warning(
            "capacity-quota",
            field,
            f"{chosen:,} GiB are more than the default quota of a region, {rules.REGION_QUOTA_GIB:,} GiB: have it raised first",
        )
    if row.throughput is not None:
        total = rules.throughput_mb_per_s(chosen, row.throughput)
        message = f"{chosen:,} GiB × {row.throughput} MB/s/TiB = {total:,.0f} MB/s"  # the sign of the docs
        yield Finding("throughput-total", Level.NOTE, "per_unit_storage_throughput", message)


def _hdd(spec: LakeSpec) -> Iterator[Finding]:
    field, choices = "drive_cache_type", listed(rules.DRIVE_CACHE_TYPES)
    if spec.storage_type == "HDD" and spec.drive_cache_type not in rules.DRIVE_CACHE_TYPES:
        yield error("drive-cache", field, f"is required with HDD: choose {choices}")
    if spec.storage_type != "HDD" and spec.drive_cache_type is not None:
        yield error("drive-cache", field, "must be absent: only HDD storage has a drive cache")


def _tiering(spec: LakeSpec) -> Iterator[Finding]:
    step, most = rules.TIERING_THROUGHPUT_STEP, rules.TIERING_THROUGHPUT_MAX
    capacity, cache = spec.throughput_capacity, spec.data_read_cache_configuration
    if spec.storage_type != "INTELLIGENT_TIERING":
        for field, value in (("throughput_capacity", capacity), ("data_read_cache_configuration", cache)):
            if value is not None:
                yield error("tiering", field, "must be absent: it belongs to INTELLIGENT_TIERING storage")
        return
    if capacity is None or capacity % step or not step <= capacity <= most:
        yield error("tiering", "throughput_capacity", f"is required: a multiple of {step:,} MB/s up to {most:,}")
        return
    field = "data_read_cache_configuration"
    if cache is None or cache.sizing_mode not in rules.READ_CACHE_MODES:
        yield error("read-cache", field, f"is required: sizing_mode {listed(rules.READ_CACHE_MODES)}")
        return
    low, high = (bound * capacity // step for bound in rules.READ_CACHE_GIB_PER_STEP)
    if cache.sizing_mode != "USER_PROVISIONED" and cache.size_gib is not None:
        yield error("read-cache", f"{field}.size_gib", "must be absent unless sizing_mode is USER_PROVISIONED")
    if cache.sizing_mode == "USER_PROVISIONED" and not low <= (cache.size_gib or 0) <= high:
        yield error("read-cache", f"{field}.size_gib", f"is required: {low:,} to {high:,} GiB at {capacity:,} MB/s")


def _version(spec: LakeSpec) -> Iterator[Finding]:
    field, version = "file_system_type_version", spec.file_system_type_version
    allowed = rules.VERSIONS.get(spec.deployment_type, ())
    if spec.metadata_configuration is not None:
        allowed = tuple(v for v in allowed if v in rules.METADATA_VERSIONS)
    if allowed and version not in allowed:
        suffix = " with a metadata configuration" if spec.metadata_configuration is not None else ""
        yield error("version", field, f"{version!r} on {spec.deployment_type}{suffix}: choose {listed(allowed)}")


def _metadata(spec: LakeSpec) -> Iterator[Finding]:
    field, meta = "metadata_configuration", spec.metadata_configuration
    if meta is None:
        if spec.efa_enabled:
            yield error("efa", "efa_enabled", "EFA needs PERSISTENT_2 with a metadata_configuration")
        return
    if spec.deployment_type != "PERSISTENT_2":
        yield error("metadata", field, "is offered only with PERSISTENT_2")
    if meta.mode not in rules.METADATA_MODES:
        yield error("metadata", f"{field}.mode", f"{meta.mode!r}: choose {listed(rules.METADATA_MODES)}")
    elif meta.mode == "AUTOMATIC" and spec.storage_type != "SSD":
        yield error("metadata", f"{field}.mode", "AUTOMATIC is offered only with SSD; use USER_PROVISIONED")
    elif meta.mode == "AUTOMATIC" and meta.iops is not None:
        yield error("metadata", f"{field}.iops", "must be absent with AUTOMATIC")
    elif meta.mode == "USER_PROVISIONED" and not rules.metadata_iops_allowed(meta.iops or 0, spec.storage_type):
        choices = (
            f"{listed(rules.METADATA_IOPS_FIRSTS)} or a multiple of {rules.METADATA_IOPS_STEP:,} "
            f"up to {rules.METADATA_IOPS_MAX:,}"
        )
        tiering = spec.storage_type == "INTELLIGENT_TIERING"
        yield error(
            "metadata", f"{field}.iops", f"choose {listed(rules.METADATA_IOPS_TIERING) if tiering else choices}"
        )


def _formats(spec: LakeSpec) -> Iterator[Finding]:
    if spec.data_compression_type not in rules.COMPRESSION_TYPES:
        choices = listed(rules.COMPRESSION_TYPES)
        yield error("compression", "data_compression_type", f"{spec.data_compression_type!r}: choose {choices}")
    if spec.kms_key_id and not spec.deployment_type.startswith("PERSISTENT"):
        yield error("kms", "kms_key_id", "is offered only with the persistent types; scratch uses the service's key")
    start = spec.weekly_maintenance_start_time
    if start and not _WEEKLY.fullmatch(start):
        yield error(
            "maintenance", "weekly_maintenance_start_time", f"{start!r} must be d:HH:MM in UTC, d from 1 (Monday) to 7"
        )
    squash = _SQUASH.fullmatch(spec.root_squash)
    ids = [int(one) for one in squash.groups()] if squash else [-1]
    if spec.root_squash and (max(ids) > rules.MAX_UID or min(ids) < 0 or (min(ids) == 0) != (max(ids) == 0)):
        text = f"must be UID:GID, both from 1 to {rules.MAX_UID:,}, or 0:0 for off"
        yield error("root-squash", "root_squash", text)
    low, high = rules.BACKUP_DAYS
    if not low <= spec.automatic_backup_retention_days <= high:
        yield error("backups", "automatic_backup_retention_days", f"must be {low} to {high} days; 0 is off")


_FILE_SYSTEM: Final[tuple[Check, ...]] = (
    _combination,
    _hdd,
    _tiering,
    _version,
    _metadata,
    _formats,
    association_checks,
)


def _file_system(spec: LakeSpec) -> Iterator[Finding]:
    if spec.file_system:
        for step in _FILE_SYSTEM:
            yield from step(spec)


CHECKS: Final[tuple[Check, ...]] = (_identity, _file_system, network_checks, client_checks)
