"""Rules over the machines and the components beside the file system: client, agent, event queue, SFTP users."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lakelink.infra.check_links import link_overlaps, prefix_checks
from lakelink.infra.check_network import is_id
from lakelink.infra.findings import Finding, error, listed, warning
from lakelink.infra.names import bucket_name, prefix_key
from lakelink.infra.spec import LakeSpec
from lakelink.infra.userdata import RETIRED_PACKAGES, SYSTEMS

_MOUNT = re.compile(r"(/[A-Za-z0-9._-]+)+")
# What a machine lives on; a file system mounted over it, or lakelink keeping it in step, would take the machine down.
_SYSTEM = re.compile(
    r"/(bin|lib|lib64|opt|root|run|sbin|tmp|usr|var|var/lib|opt/lakelink|(boot|dev|etc|proc|sys)(/.*)?)"
)
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@.-]{2,99}")  # Transfer Family, CreateUser, UserName
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( .*)?")


def client_checks(spec: LakeSpec) -> Iterator[Finding]:
    """The client, the agent, the event queue and the SFTP users."""
    if spec.mounts:
        yield from _client(spec)
    if spec.events.enabled and any(link.auto_import for link in spec.links):
        yield error(
            "events-beside-import",
            "events.enabled",
            "FSx keeps its own notification in the bucket's one notification configuration for auto_import, and a second "
            "owner of it stops the association (MISCONFIGURED): use another bucket, or associations without auto_import",
        )
    if spec.events.enabled and spec.bucket.existing:
        yield warning(
            "events-existing",
            "events.enabled",
            "the notification configuration of the existing bucket is replaced as a whole",
        )
    if spec.agent.enabled:
        yield from _agent(spec)
    if spec.events.enabled:
        yield from prefix_checks("events-prefix", "events.prefix", spec.events.prefix)
        heard, kept = prefix_key(spec.events.prefix), prefix_key(spec.agent.prefix)
        if spec.agent.enabled and not kept.startswith(heard):
            yield warning(
                "events-elsewhere",
                "events.prefix",
                f"the queue hears of {heard}, the agent keeps {kept or 'the whole bucket'} in step: the agent then finds most "
                "changes by looking for them; leave events.prefix out, or make it hold agent.prefix",
            )
    yield from _offline_shell(spec)
    yield from _transfer(spec)


def _agent(spec: LakeSpec) -> Iterator[Finding]:
    yield from _directory("agent-files", "agent.files", spec.agent.files)
    yield from _machine("agent", spec.agent.ami, spec.agent.instance_type)
    yield from prefix_checks("agent-prefix", "agent.prefix", spec.agent.prefix)
    if spec.network.mode == "create" and not spec.network.internet:
        yield error(
            "agent-offline",
            "network.internet",
            "without internet the agent can install no lakelink and reach no queue: turn it on, or take a given network",
        )
    yield from link_overlaps(spec, {"agent": f"s3://{bucket_name(spec)}/{spec.agent.prefix}"})


def _directory(rule: str, field: str, path: str) -> Iterator[Finding]:
    """A directory of a machine that is given away: nothing that the machine itself lives on may disappear below it."""
    if not _MOUNT.fullmatch(path) or {".", ".."} & set(path.split("/")):
        yield error(rule, field, f"{path!r} must be absolute, of A-Z, a-z, 0-9, . _ and -, without . and .. components")
    elif _SYSTEM.fullmatch(path):
        yield error(
            rule, field, f"{path} belongs to the machine itself: choose a directory such as /mnt/fsx or /srv/lake"
        )


def _machine(part: str, ami: str, instance_type: str) -> Iterator[Finding]:
    if ami and not is_id("ami-", ami):
        yield error(f"{part}-ami", f"{part}.ami", f"{ami!r} must be an id such as ami-0123456789abcdef0")
    if not _TYPE.fullmatch(instance_type):
        yield error("instance-type", f"{part}.instance_type", f"{instance_type!r} must be a type such as c6i.large")


def _client(spec: LakeSpec) -> Iterator[Finding]:
    client = spec.client
    if client.os not in SYSTEMS:
        yield error("client-os", "client.os", f"{client.os!r}: choose {listed(tuple(SYSTEMS))}")
        return
    system = SYSTEMS[client.os]
    if client.os == "amazon-linux-2":
        yield warning(
            "client-os", "client.os", "Amazon Linux 2 has reached its end; its successor is amazon-linux-2023"
        )
    if successor := RETIRED_PACKAGES.get(client.lustre_package):
        yield warning(
            "client-package",
            "client.lustre_package",
            f"{client.lustre_package!r} is the name on Amazon Linux 2; the successor on Amazon Linux 2023 is "
            f"{successor!r} (dnf install {successor}), which is taken",
        )
    elif client.lustre_package and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", client.lustre_package):
        yield error("client-package", "client.lustre_package", f"{client.lustre_package!r} is not a package name")
    if not client.ami and not system.image:
        yield error(
            "client-ami", "client.ami", f"is required for {client.os}: there is no public parameter to look it up"
        )
    if system.http_mirrors and not client.http_out:
        yield warning(
            "client-http",
            "client.http_out",
            f"the package mirrors of {client.os} answer on port 80: set http_out = true",
        )
    yield from _directory("mount-point", "client.mount_point", client.mount_point)
    yield from _machine("client", client.ami, client.instance_type)
    if client.noatime:
        yield warning(
            "noatime",
            "client.noatime",
            "releasing data by age goes by access times, which noatime stops; relatime is safe",
        )
    if spec.network.mode == "create" and not spec.network.internet and not system.packages_in_s3:
        yield error(
            "client-offline",
            "network.internet",
            f"without internet the client cannot install from the mirrors of {client.os}; amazon-linux-2023 can, from S3",
        )


def _offline_shell(spec: LakeSpec) -> Iterator[Finding]:
    if spec.mounts and spec.client.session_manager and spec.network.mode == "create" and not spec.network.internet:
        yield warning(
            "session-offline",
            "client.session_manager",
            "without internet Session Manager needs interface endpoints of its own (ssm, ssmmessages, ec2messages)",
        )


def _transfer(spec: LakeSpec) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, user in enumerate(spec.transfer_users):
        field = f"transfer_users[{index}]"
        if not _USER.fullmatch(user.name) or user.name in seen:
            yield error(
                "transfer-user", f"{field}.name", f"{user.name!r} must be unique, 3 to 100 of A-Z a-z 0-9 _ @ . -"
            )
        seen.add(user.name)
        if not _KEY.fullmatch(user.public_key):
            yield error("transfer-key", f"{field}.public_key", "must be one OpenSSH public key (ed25519, RSA or ECDSA)")
        yield from prefix_checks("transfer-prefix", f"{field}.prefix", user.prefix)
