"""The first boot of a host that runs lakelink: its own environment, its configuration, a service that restarts."""

from __future__ import annotations

import shlex
from importlib import resources

from lakelink.infra import linkfile, names
from lakelink.infra.spec import LakeSpec


def configuration(spec: LakeSpec, queue_arn: str = "") -> str:
    """The `lakelink.toml` of the host: one link, between its directory and its prefix, which hears of changes from the queue."""
    location = f"{spec.name}-lake"
    lake = linkfile.section(
        f"locations.{location}", [("url", f"s3://{names.bucket_name(spec)}"), ("region", spec.region)]
    )
    link = linkfile.section(
        f"links.{spec.name}",
        [
            ("files", spec.agent.files),
            ("lake", f"{location}:{names.prefix_key(spec.agent.prefix)}"),
            *([("events", queue_arn)] if queue_arn else []),
        ],
    )
    return f"{lake}\n{link}"


def render(spec: LakeSpec, queue_arn: str = "") -> str:
    """The script; the configuration travels quoted, so that no value of it can become a command."""
    values = f"CONFIGURATION={shlex.quote(configuration(spec, queue_arn))}\nFILES={shlex.quote(spec.agent.files)}\n"
    body = resources.files(__package__).joinpath("agent.sh").read_text(encoding="utf-8")
    return body.replace("#VALUES#\n", values)
