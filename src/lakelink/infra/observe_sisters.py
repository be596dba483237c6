"""Reads what stands beside the file system: the queue of bucket events, and the managed SFTP server with its users."""

from __future__ import annotations

from lakelink.infra import names
from lakelink.infra.answers import GONE, Client, place, tag_facts, unless
from lakelink.infra.drift import ABSENT, Facts
from lakelink.infra.spec import LakeSpec


def queue(sqs: Client, s3: Client, spec: LakeSpec) -> Facts:
    """The queue of bucket events, and what the bucket sends to it."""
    url = unless(GONE, lambda: sqs.get_queue_url(QueueName=names.queue_name(spec)))
    if url is None:
        return {}
    attributes = sqs.get_queue_attributes(QueueUrl=url["QueueUrl"], AttributeNames=["QueueArn"])["Attributes"]
    sent = unless(GONE, lambda: s3.get_bucket_notification_configuration(Bucket=names.bucket_name(spec))) or {}
    facts = {"id": attributes["QueueArn"], "notification": ABSENT}
    for rule in sent.get("QueueConfigurations", []):
        if rule["QueueArn"] == attributes["QueueArn"]:
            key = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            prefix = next((one["Value"] for one in key if one["Name"].lower() == "prefix"), "")
            facts["notification"] = f"{' '.join(sorted(rule['Events']))} {prefix}".strip()
    return {"queue": facts}


def transfer_server(transfer: Client, spec: LakeSpec) -> Facts:
    """The managed SFTP server of the stack, and of its users those that the specification names; others are counted."""
    facts: Facts = {}
    servers = [one["ServerId"] for page in transfer.get_paginator("list_servers").paginate() for one in page["Servers"]]
    for identity in servers:
        server = transfer.describe_server(ServerId=identity)["Server"]
        tags = server.get("Tags", [])
        if {"Key": names.STACK_TAG, "Value": spec.name} not in tags:
            continue
        facts[place(facts, tags, identity)] = {
            "id": identity,
            "endpoint_type": server.get("EndpointType", ABSENT),
            "protocols": sorted(server.get("Protocols", [])),
            "users": server.get("UserCount", 0),
            **tag_facts(tags),
        }
        for wanted in spec.transfer_users:
            facts |= _transfer_user(transfer, identity, wanted.name)
    return facts


def _transfer_user(transfer: Client, server: str, name: str) -> Facts:
    found = unless(GONE, lambda: transfer.describe_user(ServerId=server, UserName=name))
    if found is None:
        return {}
    user = found["User"]
    homes = [f"{one['Entry']} is {one['Target']}" for one in user.get("HomeDirectoryMappings", [])]
    return {
        f"sftp-{name}": {
            "id": user["UserName"],
            "home": f"{user.get('HomeDirectoryType', ABSENT)}: {', '.join(homes)}",
            # The comment behind a key is not part of it.
            "keys": sorted(" ".join(key["SshPublicKeyBody"].split()[:2]) for key in user.get("SshPublicKeys", [])),
            **tag_facts(user.get("Tags", [])),
        }
    }
