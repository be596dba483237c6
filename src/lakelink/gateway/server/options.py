"""What asyncssh is told: explicit lists, and nothing that an SFTP gateway does not give."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import asyncssh
from asyncssh.connection import SSHServerConnectionOptions

from lakelink.errors import ConfigError
from lakelink.gateway.server.policies import Policy

VERSION = "lakelink"
KEEPALIVE_S = 60.0
KEEPALIVES = 3
REKEY_BYTES = 1 << 30

HostKeyPair = tuple[asyncssh.SSHKey, asyncssh.SSHCertificate | None]


def server_options(
    policy: Policy, keys: Sequence[HostKeyPair], login_timeout_s: float, owner: Callable[[], asyncssh.SSHServer]
) -> SSHServerConnectionOptions:
    """Options for one connection or many.

    Raises:
        ConfigError: no host key is one that the policy uses.
    """
    options = SSHServerConnectionOptions(
        server_factory=owner,
        server_host_keys=[key if certificate is None else (key, certificate) for key, certificate in keys],
        send_server_host_keys=True,
        server_version=VERSION,
        kex_algs=policy.kex,
        encryption_algs=policy.ciphers,
        mac_algs=policy.macs,
        compression_algs=["none"],
        signature_algs=policy.signatures,
        public_key_auth=True,
        password_auth=True,
        kbdint_auth=True,
        host_based_auth=False,
        gss_host=None,
        allow_pty=False,
        x11_forwarding=False,
        agent_forwarding=False,
        rdns_lookup=False,
        allow_scp=False,
        login_timeout=login_timeout_s,
        keepalive_interval=KEEPALIVE_S,
        keepalive_count_max=KEEPALIVES,
        rekey_bytes=REKEY_BYTES,
        encoding=None,
        config=None,
    )
    # The library signs with every algorithm that a key could sign with; the policy says which are offered.
    shown = _shown(policy)
    options.server_host_keys = OrderedDict(
        (name, pair) for name, pair in options.server_host_keys.items() if name.decode("ascii") in shown
    )
    if not options.server_host_keys:
        raise ConfigError(
            f"no host key can be used with the policy {policy.name}",
            hint='lakelink gateway hostkey generate makes some; policy = "compatible" takes ecdsa keys too.',
        )
    return options


def _shown(policy: Policy) -> frozenset[str]:
    return frozenset(policy.host_keys) | {f"{name}-cert-v01@openssh.com" for name in policy.host_keys}
