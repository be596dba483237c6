"""The keys of users and of the server, read from their files into facts and secrets."""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lakelink.errors import UsageError
from lakelink.gateway.credentials.authorized_keys import parse_key
from lakelink.gateway.takeover.facts import HostKeyFact, KeyFact
from lakelink.gateway.takeover.people import Person
from lakelink.gateway.takeover.source import Source

_BLOB = re.compile(
    r"(?P<type>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+)[ \t]+(?P<blob>AAAA[A-Za-z0-9+/=]+)[ \t]*(?P<comment>.*)$"
)
_OPTION = re.compile(r'[A-Za-z0-9-]+(?:="(?:[^"\\]|\\.)*")?')
_SOURCES = re.compile(r'(?:^|,)from="([^"]*)"', re.IGNORECASE)
MAGIC = b"openssh-key-v1\0"


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A line of a file of authorized keys and what it says."""

    fact: KeyFact
    line: str


def expand(pattern: str, person: Person) -> str:
    """%h, %u, %U and %% of AuthorizedKeysFile and ChrootDirectory."""
    words = {"%%": "%", "%h": person.home, "%u": person.name, "%U": str(person.uid)}
    return re.sub(r"%.", lambda match: words.get(match[0], match[0]), pattern)


def authorized_keys(
    source: Source, person: Person, patterns: Sequence[str], accepted: Sequence[str], *, strict: bool
) -> list[KeyLine]:
    """The keys in all files that `patterns` (AuthorizedKeysFile) name. `accepted`: the algorithms that sshd takes, [] = not known."""
    found: list[KeyLine] = []
    for pattern in patterns:
        if pattern == "none":
            continue
        path = expand(pattern, person)
        path = path if path.startswith("/") else f"{person.home.rstrip('/')}/{path}"
        raw = source.read(path)
        if raw is None:
            continue
        ignored = _loose(source, path, person) if strict else ""
        for line in raw.decode("utf-8", "surrogateescape").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                fact = _key(line.strip(), len(found), path, ignored, accepted)
                found.append(KeyLine(fact, line.strip()))
    return found


def _key(line: str, number: int, path: str, ignored: str, accepted: Sequence[str]) -> KeyFact:
    match = _BLOB.search(line)
    kind = match["type"] if match else "?"
    refused, expires_ns = "", 0
    try:
        parsed = parse_key(line)
        expires_ns = parsed.options.expires_ns
    except UsageError as error:
        refused = error.message
    options = line[: match.start()].strip() if match else ""
    sources = [part.strip() for found in _SOURCES.findall(options) for part in found.split(",") if part.strip()]
    return KeyFact(
        number=number,
        fingerprint=_fingerprint(match["blob"]) if match else "not a key",
        type=kind,
        comment=match["comment"] if match else "",
        options=_OPTION.findall(options),
        file=path,
        refused=refused,
        ignored=ignored or _unaccepted(kind, accepted),
        sources=sources,
        expires_ns=expires_ns,
    )


def key_line(line: str, number: int, path: str) -> KeyLine:
    """A line that was put together here, of something that stands in `path`."""
    return KeyLine(_key(line, number, path, "", ()), line)


def _unaccepted(kind: str, accepted: Sequence[str]) -> str:
    """Keys of a type that sshd did not take never worked there."""
    if not accepted or kind == "?":
        return ""
    also = {"ssh-rsa": {"rsa-sha2-256", "rsa-sha2-512"}}.get(kind, set())
    return "" if {kind, *also} & set(accepted) else f"sshd takes no {kind} keys"


def _loose(source: Source, path: str, person: Person) -> str:
    """Why sshd with StrictModes passes a file over: others could write to it, or to a directory above it, up to the home."""
    home = person.home.rstrip("/")
    at = path
    while at and at != "/":
        node = source.look(at)
        if node and (node.uid not in {0, person.uid} or stat.S_IMODE(node.mode) & 0o022):
            return f"StrictModes: {at} can be written to by others"
        if at == home:
            break
        at = at.rpartition("/")[0]
    return ""


def _fingerprint(blob: str) -> str:
    try:
        raw = base64.b64decode(blob)
    except ValueError:
        return "not a key"
    return fingerprint(raw)


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def host_key(path: str, private: bytes, public: bytes | None) -> HostKeyFact:
    """What a private host key is. One in OpenSSH's form tells its public half even when it is protected; others need the .pub beside them.

    Raises:
        ValueError: it is no private key, or its public half is not to be had.
    """
    blob, is_protected = _public_half(private)
    if blob is None and public is not None:
        match = _BLOB.search(public.decode("utf-8", "replace"))
        blob = base64.b64decode(match["blob"]) if match else None
    if blob is None:
        blob = _derived(private)
    kind = blob[4 : 4 + int.from_bytes(blob[:4])].decode("ascii")
    return HostKeyFact(path=path, type=kind, fingerprint=fingerprint(blob), needs_passphrase=is_protected)


def _public_half(private: bytes) -> tuple[bytes | None, bool]:
    text = private.decode("ascii", "replace")
    body = re.search(r"-----BEGIN (?P<what>[A-Z ]*PRIVATE KEY)-----(?P<body>.*?)-----END", text, re.DOTALL)
    if not body:
        raise ValueError("it is no private key")
    if body["what"] != "OPENSSH PRIVATE KEY":
        return None, "ENCRYPTED" in text
    raw = base64.b64decode("".join(body["body"].split()))
    if not raw.startswith(MAGIC):
        raise ValueError("it is no private key of OpenSSH")
    parts = _strings(raw[len(MAGIC) :])
    cipher = next(parts)
    next(parts), next(parts)
    return next(parts), cipher != b"none"


def _strings(raw: bytes) -> Iterator[bytes]:
    """cipher, kdf, its options, then (after the number of keys) the public half."""
    at = 0
    for index in range(4):
        if index == 3:
            at += 4
        size = int.from_bytes(raw[at : at + 4])
        if at + 4 + size > len(raw):
            raise ValueError("it is cut short")
        yield raw[at + 4 : at + 4 + size]
        at += 4 + size


def _derived(private: bytes) -> bytes:
    import asyncssh

    try:
        return asyncssh.import_private_key(private).public_data
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ValueError(str(error)) from error


def unlocked(private: str, passphrase: str) -> str:
    """The same key without a passphrase, in OpenSSH's form.

    Raises:
        ValueError: the passphrase is not its, or it is no key.
    """
    import asyncssh

    try:
        key = asyncssh.import_private_key(private, passphrase)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ValueError("the passphrase is not the one of this key") from error
    return key.export_private_key("openssh").decode("ascii")
