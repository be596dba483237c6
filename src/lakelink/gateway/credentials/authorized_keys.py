"""Lines of authorized_keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT): what they allow, and which are refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lakelink.errors import UsageError
from lakelink.gateway.credentials.key_options import Options, read_options

SMALLEST_RSA_BITS = 2048
TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LINE = re.compile(r"(?P<type>\S+)[ \t]+(?P<blob>[A-Za-z0-9+/=]+)(?:[ \t]+(?P<comment>.*))?")
_ANY_TYPE = re.compile(r"(?:^|\s)(?:sk-)?(?:ssh|ecdsa|x509v3)-\S+\s")
HOW = 'It looks like: ssh-ed25519 AAAAC3… name, with options such as from="203.0.113.0/24" in front.'


@dataclass(frozen=True, slots=True)
class AuthorizedKey:
    """One line."""

    type: str
    blob: bytes = field(repr=False)
    comment: str
    options: Options

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    @property
    def demand(self) -> str:
        """The line again, with only what the SSH library has to heed: `from` and `expiry-time` are asked by `admits`."""
        options = self.options
        words = ["cert-authority"] if options.is_authority else []
        if options.principals:
            words.append(f'principals="{",".join(options.principals)}"')
        if not options.needs_touch:
            words.append("no-touch-required")
        return f"{','.join(words)}{' ' if words else ''}{self.type} {base64.b64encode(self.blob).decode()}"

    def admits(self, address: str, now_ns: int) -> bool:
        """Whether it may be used from there, now."""
        return self.options.admits(address, now_ns)


def parse_key(line: str) -> AuthorizedKey:
    """The key of a line.

    Raises:
        UsageError: it is none, is too weak (ssh-dss, RSA below 2048 bits), or has an option that cannot be kept.
    """
    text = line.strip()
    options = Options()
    if text.startswith("-----") or not _ANY_TYPE.search(text):
        raise UsageError(f"not a public key: {_shown(line)}", hint=HOW)
    if text.partition(" ")[0].partition("\t")[0] not in TYPES:
        options, text = read_options(text)
    match = _LINE.fullmatch(text)
    if match is None or "\n" in line.strip():
        raise UsageError(f"not a public key: {_shown(line)}", hint=HOW)
    kind, comment = match["type"], (match["comment"] or "").strip()
    if kind not in TYPES:
        raise UsageError(f"keys of the type {kind} are not taken", hint=f"Taken: {', '.join(TYPES)}.")
    blob, parts = _decoded(match["blob"])
    if not parts or parts[0] != kind.encode():
        raise UsageError(f"a damaged public key: {_shown(line)}", hint="Copy the whole line of the .pub file.")
    if kind == "ssh-rsa" and _bits(parts) < SMALLEST_RSA_BITS:
        raise UsageError(
            f"an RSA key of {_bits(parts)} bits is too weak", hint=f"At least {SMALLEST_RSA_BITS}; better ed25519."
        )
    return AuthorizedKey(kind, blob, comment, options)


def parse_file(text: str) -> Sequence[str]:
    """The lines of an authorized_keys or .pub file that hold keys, as they are; each is a key that is taken.

    Raises:
        UsageError: one is not, or there is none; the message names the line.
    """
    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            parse_key(line)
        except UsageError as error:
            raise UsageError(f"line {number}: {error.message}", hint=error.hint) from error
        found.append(line)
    if not found:
        raise UsageError("there is no public key", hint=HOW)
    return found


def _shown(line: str) -> str:
    """What may be shown: a private key pasted by mistake may not."""
    return repr(line.strip()[:24] + "…") if "PRIVATE" not in line else "a private key"


def _decoded(text: str) -> tuple[bytes, list[bytes]]:
    """The key itself and its parts; no parts where it is damaged."""
    try:
        blob = base64.b64decode(text, validate=True)
        return blob, _strings(blob)
    except (binascii.Error, ValueError):
        return b"", []


def _strings(blob: bytes) -> list[bytes]:
    """The length-prefixed parts (RFC 4251, section 5)."""
    parts, at = [], 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4])
        part = blob[at + 4 : at + 4 + size]
        if len(part) != size or at + 4 > len(blob):
            raise ValueError("cut short")
        parts.append(part)
        at += 4 + size
    return parts


def _bits(parts: Sequence[bytes]) -> int:
    return int.from_bytes(parts[2]).bit_length() if len(parts) > 2 else 0
