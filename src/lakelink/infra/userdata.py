"""The client's first boot: one bash script that installs the Lustre client and mounts, safe to run again.

Package names and repositories: https://docs.aws.amazon.com/fsx/latest/LustreGuide/install-lustre-client.html; fstab options:
https://docs.aws.amazon.com/fsx/latest/LustreGuide/mount-fs-auto-mount-onreboot.html.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from importlib import resources
from typing import Final

from lakelink.infra.spec import ClientSpec


@dataclass(frozen=True, slots=True)
class System:
    """One operating system: the public SSM parameter of its newest image (with the architecture to fill in), and its mirrors."""

    image: str
    arm: str
    x86: str
    http_mirrors: bool = False
    packages_in_s3: bool = False


SYSTEMS: Final = {
    "amazon-linux-2023": System(
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-{arch}", "arm64", "x86_64", packages_in_s3=True
    ),
    "amazon-linux-2": System(
        "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-{arch}-gp2", "arm64", "x86_64", packages_in_s3=True
    ),
    "ubuntu-22.04": System(
        "/aws/service/canonical/ubuntu/server/22.04/stable/current/{arch}/hvm/ebs-gp2/ami-id",
        "arm64",
        "amd64",
        http_mirrors=True,
    ),
    "ubuntu-24.04": System(
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",
        "arm64",
        "amd64",
        http_mirrors=True,
    ),
    "el8": System("", "arm64", "x86_64"),
}
# Topics of amazon-linux-extras on Amazon Linux 2, and the tool's own name, as they stand in older scripts.
RETIRED_PACKAGES: Final = {
    "amazon-linux-extras": "lustre-client",
    "lustre": "lustre-client",
    "lustre2.10": "lustre-client",
}


def mount_options(client: ClientSpec) -> str:
    """The options of the mount itself. `relatime` keeps the access times by which data is released."""
    return "noatime,flock" if client.noatime else "relatime,flock"


def mount_command(client: ClientSpec, dns_name: str, mount_name: str) -> str:
    """What a person types on another client."""
    source, target = shlex.quote(f"{dns_name}@tcp:/{mount_name}"), shlex.quote(client.mount_point)
    return f"sudo mount -t lustre -o {mount_options(client)} {source} {target}"


def image_parameter(client: ClientSpec) -> str:
    """The SSM parameter that names the newest image for the client's system and processor; "" where there is none."""
    system = SYSTEMS[client.os]
    family = client.instance_type.partition(".")[0]
    # Graviton families carry a "g" right after the generation: c7g, m6gd, t4g, im4gn; g5g is one too, g5 is not.
    generation = next((index for index, letter in enumerate(family) if letter.isdigit()), len(family))
    arm = "g" in family[generation:] or family == "a1"
    return system.image.format(arch=system.arm if arm else system.x86)


def render(client: ClientSpec, dns_name: str, mount_name: str) -> str:
    """The script for one file system. Every value is quoted for the shell; nothing else of the script varies."""
    package = RETIRED_PACKAGES.get(client.lustre_package, client.lustre_package)
    values = {
        "FSX_DNS_NAME": dns_name,
        "FSX_MOUNT_NAME": mount_name,
        "MOUNT_POINT": client.mount_point,
        "MOUNT_OPTIONS": mount_options(client),
        "LUSTRE_PACKAGE": package,
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    body = resources.files(__package__).joinpath("client.sh").read_text(encoding="utf-8")
    return body.replace("#VALUES#\n", "\n".join(lines) + "\n")
