"""The Pulumi program. This package alone builds resources; everything it decides with is in the pure modules beside it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from lakelink.infra.program.lake import LakeFileSystem
from lakelink.infra.program.sisters import AgentHost, LakeEvents, TransferGateway
from lakelink.infra.spec import LakeSpec

__all__ = ["AgentHost", "LakeEvents", "LakeFileSystem", "TransferGateway", "deploy"]


def deploy(spec: LakeSpec) -> LakeFileSystem:
    """Everything the specification names, in its region whatever the environment says; the outputs are exported."""
    provider = aws.Provider("aws", region=spec.region)
    opts = pulumi.ResourceOptions(providers=[provider])
    lake = LakeFileSystem(spec.name, spec, opts)
    outputs = lake.outputs()
    events = LakeEvents(f"{spec.name}-events", spec, lake, opts) if spec.events.enabled else None
    if events is not None:
        outputs["queue_url"] = events.queue.url
        outputs["queue_arn"] = events.queue.arn
    if spec.agent.enabled:
        outputs["agent_id"] = AgentHost(f"{spec.name}-agent", spec, lake, events, opts).host.id
    if spec.transfer_users:
        outputs["sftp_endpoint"] = TransferGateway(f"{spec.name}-sftp", spec, lake, opts).server.endpoint
    for name, value in outputs.items():
        pulumi.export(name, value)
    return lake
