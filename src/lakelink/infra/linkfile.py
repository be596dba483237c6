"""The same links, self-hosted: the sections of `lakelink.toml` that do with a plain directory what the associations do."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lakelink.infra import names
from lakelink.infra.spec import LakeSpec


def render(spec: LakeSpec, files_root: str = "") -> str:
    """The location of the lake, and one link per association: the same directories, prefixes and policies.

    `files_root` replaces the client's mount point; a directory that lakelink keeps in step needs no Lustre below it.
    """
    root = (files_root or spec.client.mount_point).rstrip("/")
    location, bucket = f"{spec.name}-lake", names.bucket_name(spec)
    sections = [section(f"locations.{location}", [("url", f"s3://{bucket}"), ("region", spec.region)])]
    for index, link in enumerate(spec.links):
        files = f"{root}/{link.file_system_path.strip('/')}".rstrip("/")
        sections.append(
            section(
                f"links.{spec.name}-{index}",
                [
                    ("files", files),
                    ("lake", f"{location}:{names.prefix_key(link.prefix)}"),
                    ("import", [event.lower() for event in link.auto_import]),
                    ("export", [event.lower() for event in link.auto_export]),
                ],
            )
        )
    return "\n".join(sections)


def section(title: str, pairs: Sequence[tuple[str, str | list[str]]]) -> str:
    """One TOML table. A JSON text or list of texts is a TOML one as well (TOML 1.0, basic strings), but for DEL."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f") for key, value in pairs]
    return "\n".join([f"[{title}]", *lines, ""])
