"""Rules over the associations: where they may exist, what they may not share, and where deletes would be final."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from lakelink.infra import rules
from lakelink.infra.findings import Finding, error, listed, warning
from lakelink.infra.names import bucket_name, prefix_key
from lakelink.infra.spec import Association, LakeSpec

# Both patterns of the API forbid these in paths (API model, Namespace and ArchivePath).
_FORBIDDEN = re.compile("[\0\r\n\x85\u2028\u2029]")
_LEGACY = ("import_path", "export_path", "auto_import_policy", "imported_file_chunk_size")


def association_checks(spec: LakeSpec) -> Iterator[Finding]:
    """Everything there is to say about the associations of a specification."""
    for field in _LEGACY:
        if getattr(spec, field) not in ("", None):
            yield error(
                "legacy-link",
                field,
                "belongs to the older link of a whole file system, which excludes associations; use [[infra.associations]]",
            )
    if not spec.links:
        return
    yield from _offered(spec)
    if len(spec.links) > rules.MAX_ASSOCIATIONS:
        yield error(
            "association-count",
            "associations",
            f"{len(spec.links)} associations: a file system takes at most {rules.MAX_ASSOCIATIONS}",
        )
    for index, link in enumerate(spec.links):
        yield from _one(f"associations[{index}]", link)
    yield from _overlaps(spec.links)
    yield from _deletes(spec)


def _offered(spec: LakeSpec) -> Iterator[Finding]:
    """Whether this file system can have an association at all."""
    if spec.deployment_type in rules.NO_ASSOCIATION_DEPLOYMENTS:
        yield error(
            "association-deployment",
            "associations",
            f"{spec.deployment_type} cannot have associations: choose PERSISTENT_2 (or SCRATCH_2), or associations = []",
        )
    if spec.storage_type in rules.NO_ASSOCIATION_STORAGE:
        yield error(
            "association-storage",
            "associations",
            f"{spec.storage_type} storage cannot have associations: choose SSD, or associations = []",
        )
    if spec.file_system_type_version not in rules.ASSOCIATION_VERSIONS:
        choices = listed(rules.ASSOCIATION_VERSIONS)
        yield error("association-version", "file_system_type_version", f"associations need Lustre {choices}")
    if spec.automatic_backup_retention_days:
        yield error(
            "association-backups",
            "automatic_backup_retention_days",
            "must be 0: file systems linked to S3 cannot have backups; the bucket's versions are the backup",
        )
    if spec.copy_tags_to_backups:
        yield error(
            "association-backups", "copy_tags_to_backups", "must be false: there are no backups to copy tags to"
        )
    if spec.deployment_type not in {"PERSISTENT_2", *rules.NO_ASSOCIATION_DEPLOYMENTS}:
        yield warning(
            "association-provider",
            "deployment_type",
            "AWS takes associations here, while the provider's documentation speaks of PERSISTENT_2 only",
        )


def _one(field: str, link: Association) -> Iterator[Finding]:
    """One association by itself."""
    path = link.file_system_path
    if (
        not path.startswith("/")
        or len(path) > rules.MAX_PATH
        or _FORBIDDEN.search(path)
        or not _plain_components(path.removeprefix("/"))
    ):
        yield error(
            "association-path",
            f"{field}.file_system_path",
            f"{path!r} must begin with / and be at most {rules.MAX_PATH:,} characters without control characters, "
            "and without empty, . and .. components",
        )
    yield from prefix_checks("association-prefix", f"{field}.prefix", link.prefix)
    for name, events in (("auto_import", link.auto_import), ("auto_export", link.auto_export)):
        if unknown := [event for event in events if event not in rules.EVENTS]:
            yield error(
                "association-events", f"{field}.{name}", f"{unknown[0]!r}: choose any of {listed(rules.EVENTS)}"
            )
        elif len(set(events)) != len(events):
            yield error("association-events", f"{field}.{name}", "names an event twice")
    low, high = rules.CHUNK_MIB
    if not low <= link.imported_file_chunk_size_mib <= high:
        yield error("association-chunk", f"{field}.imported_file_chunk_size_mib", f"must be {low} to {high:,} MiB")


def prefix_checks(rule: str, field: str, prefix: str) -> Iterator[Finding]:
    """Whether a text can be the beginning of keys that are files as well."""
    if (
        _FORBIDDEN.search(prefix)
        or not _plain_components(prefix)
        or len(prefix_key(prefix).encode("utf-8", "replace")) >= rules.MAX_KEY_BYTES
    ):
        yield error(
            rule,
            field,
            f"{prefix!r} must be a key prefix such as films/2026/ below {rules.MAX_KEY_BYTES:,} bytes, without a slash in front "
            "and without empty components, . and ..",
        )


def _plain_components(path: str) -> bool:
    """Whether every component is a name: two spellings of one directory would hide that two paths overlap."""
    return not path or not {"", ".", ".."} & set(path.removesuffix("/").split("/"))


def _overlaps(links: Sequence[Association]) -> Iterator[Finding]:
    """No path within another path, no prefix within another prefix: two syncers on one file would fight."""
    for (a, one), (b, two) in combinations(enumerate(links), 2):
        if _within(one.file_system_path, two.file_system_path):
            yield error(
                "association-overlap",
                f"associations[{b}].file_system_path",
                f"{two.file_system_path} and {one.file_system_path} (associations[{a}]) overlap: neither may hold the other",
            )
        if _within(one.prefix, two.prefix):
            yield error(
                "association-overlap",
                f"associations[{b}].prefix",
                f"{prefix_key(two.prefix)!r} and {prefix_key(one.prefix)!r} (associations[{a}]) overlap in the bucket: "
                "neither may hold the other",
            )


def _within(one: str, two: str) -> bool:
    """Whether one of two paths holds the other, component by component."""
    parts = [part.strip("/").split("/") if part.strip("/") else [] for part in (one, two)]
    shortest = min(len(part) for part in parts)
    return parts[0][:shortest] == parts[1][:shortest]


def _deletes(spec: LakeSpec) -> Iterator[Finding]:
    """A file deleted by mistake deletes its object; only a version of the object brings it back."""
    if not any("DELETED" in link.auto_export for link in spec.links):
        return
    if spec.bucket.existing:
        yield warning(
            "deletes-existing",
            "bucket.existing",
            f"deletes reach {bucket_name(spec)}: make sure that versioning is on there; `drift` looks at it",
        )
    elif not spec.bucket.versioning and not spec.i_know_deletes_are_final:
        yield error(
            "deletes-unversioned",
            "bucket.versioning",
            "deletes on the file system would be final in an unversioned bucket: turn versioning on, take DELETED out of "
            "auto_export, or set i_know_deletes_are_final = true",
        )


def link_overlaps(spec: LakeSpec, lakes: dict[str, str]) -> Iterator[Finding]:
    """Associations and lakelink's own links (name to lake URL) on the same prefix: two syncers, and every change goes round."""
    for name, url in lakes.items():
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        for index, link in enumerate(spec.links):
            if bucket == bucket_name(spec) and _within(prefix, link.prefix):
                yield error(
                    "two-syncers",
                    f"associations[{index}]",
                    f"the link {name!r} keeps {url} in step as well: two syncers on one prefix overwrite each other; "
                    "remove one or give them different prefixes",
                )
