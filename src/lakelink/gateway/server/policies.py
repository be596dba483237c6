"""Algorithm policies by name. Explicit lists: what a library offers by default changes with its version, and is more than is wise."""

from __future__ import annotations

from dataclasses import dataclass

_AEAD = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
)  # in the order of their cost
_CTR = ("aes256-ctr", "aes192-ctr", "aes128-ctr")
_KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
)
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
_HOST_KEYS = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
_NIST_KEYS = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_SIGNATURES = (
    "ssh-ed25519",
    *_NIST_KEYS,
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is offered, in the order of preference."""

    name: str
    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    host_keys: tuple[str, ...]  # signatures that the server makes
    signatures: tuple[str, ...]  # signatures that it takes from users; certificates of these as well
    smallest_rsa_bits: int


MODERN = Policy(
    name="modern",
    kex=_KEX,
    ciphers=(*_AEAD, *_CTR),
    macs=_MACS,
    host_keys=_HOST_KEYS,
    signatures=_SIGNATURES,
    smallest_rsa_bits=2048,
)
"""Every client from about 2014 on: OpenSSH 6.5, PuTTY 0.75, WinSCP 5.19, JSch of mwiede, paramiko 2.9. `ssh-audit` finds nothing to say about it."""

COMPATIBLE = Policy(
    name="compatible",
    kex=(
        *_KEX,
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group14-sha1",
    ),
    ciphers=(*_AEAD, *_CTR),
    macs=(*_MACS, "hmac-sha2-256", "hmac-sha2-512", "hmac-sha1"),
    host_keys=(*_HOST_KEYS, *_NIST_KEYS, "ssh-rsa"),
    signatures=(*_SIGNATURES, "ssh-rsa"),
    smallest_rsa_bits=2048,
)
"""What JSch 0.1.55, WinSCP 5.1 and paramiko 1.x still need: SHA-1 in signatures and MACs, a group of 2048 bits. No CBC, no group 1, no DSA."""

POLICIES = {policy.name: policy for policy in (MODERN, COMPATIBLE)}
